"""Many networks one after another, each by `fit`: for those that can't be stacked."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

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
    remarks: tuple[str, ...] = (),
) -> Population:
    """Train these members one by one; each is a stack of one to the observers."""
    histories, failed = [History() for _ in members], {}
    initial: list[Weights] = [{} for _ in members]
    for i, (member, history) in enumerate(zip(members, histories, strict=True)):
        start = copy_weights(member.learner.network(member.task.shape, member.task.target.outputs, member.seed))
        keeper = _Keeper(history, start, keep, member.called, observers)
        try:
            one = fit(
                member.learner, member.task, member.validation, seed=member.seed, device=device, observers=[keeper],
                window=member.window,
            )  # fmt: skip
        except Diverged as error:
            failed[member.called] = str(error)
            continue
        history.final, history.held_out, initial[i] = one.weights, list(one.validation_losses), one.initial
        if 0 in keep.epochs:
            history.snapshots[0] = one.initial
        report(i + 1, len(members))
    return population_of(members, initial, histories, failed, keep, Way("loop"), remarks)


class _Keeper:
    """An observer of `fit` that keeps what is wanted, and shows the network to the observers of many."""

    def __init__(
        self, history: History, start: Weights, keep: SnapshotSpec, name: str, observers: Sequence[StackObserver]
    ):
        self.history, self.start, self.keep, self.name, self.observers = history, start, keep, name, observers

    def observe(self, moment: Moment) -> None:
        if moment.end_of_epoch:
            moved = _distance(self.start, moment.network)
            self.history.end_epoch(moment.mean, moved, lambda: copy_weights(moment.network), self.keep)
        if self.observers:
            stacked = {k: v.detach()[None] for k, v in moment.network.state_dict().items()}
            means = torch.tensor([moment.mean]) if moment.end_of_epoch else torch.empty(0)
            seen = StackMoment(
                (self.name,), stacked, moment.step, moment.epoch, moment.loss[None], moment.end_of_epoch, means,
                moment.network,
            )  # fmt: skip
            for observer in self.observers:
                observer.observe(seen)


def _distance(start: Weights, network: nn.Module) -> float:
    """Of the trained weights from where they began."""
    trained = ((name, p.detach().cpu()) for name, p in network.named_parameters() if p.requires_grad)
    squares = [(p - start[name]).double().square().sum() for name, p in trained]
    return float(torch.stack(squares).sum().sqrt()) if squares else 0.0
