"""Many networks one after another, each by `fit`: for those that can't be stacked."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from infoscope.ensembles.history import History, population_of
from infoscope.ensembles.observers import StackMoment, StackObserver
from infoscope.ensembles.population import Member, Population, SnapshotSpec
from infoscope.ensembles.ways import Way
from infoscope.run.progress import report
from infoscope.training.fit import Diverged, Moment, fit
from infoscope.training.learner import Weights, copy_weights


def fit_each(
    members: Sequence[Member],
    device: str | torch.device = "cpu",
    keep: SnapshotSpec = SnapshotSpec(),
    observers: Sequence[StackObserver] = (),
) -> Population:
    """Train these members one by one; each is a stack of one to the observers."""
    histories, failed = [History() for _ in members], {}
    initial: list[Weights] = [{} for _ in members]
    for i, (member, history) in enumerate(zip(members, histories, strict=True)):
        keeper = _Keeper(history, keep, member.called, observers)
        try:
            one = fit(
                member.learner, member.task, member.validation, seed=member.seed, device=device, observers=[keeper]
            )
        except Diverged as error:
            failed[member.called] = str(error)
            continue
        history.final, history.held_out, initial[i] = one.weights, list(one.validation_losses), one.initial
        if 0 in keep.epochs:
            history.snapshots[0] = one.initial
        report(i + 1, len(members))
    return population_of(members, initial, histories, failed, keep, Way("loop"))


class _Keeper:
    """An observer of `fit` that keeps what is wanted, and shows the network to the observers of many."""

    def __init__(self, history: History, keep: SnapshotSpec, name: str, observers: Sequence[StackObserver]):
        self.history, self.keep, self.name, self.observers = history, keep, name, observers

    def observe(self, moment: Moment) -> None:
        if moment.end_of_epoch:
            self.history.end_epoch(moment.mean, lambda: copy_weights(moment.network), self.keep)
        if self.observers:
            stacked = {k: v.detach()[None] for k, v in moment.network.state_dict().items()}
            means = torch.tensor([moment.mean]) if moment.end_of_epoch else torch.empty(0)
            seen = StackMoment(
                (self.name,), stacked, moment.step, moment.epoch, moment.loss[None], moment.end_of_epoch, means,
                moment.network,
            )  # fmt: skip
            for observer in self.observers:
                observer.observe(seen)
