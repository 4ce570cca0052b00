"""What is kept of networks while they train, and the population that comes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from infoscope.ensembles.population import Member, Population, SnapshotSpec, padded
from infoscope.ensembles.stacked_weights import StackedWeights, stack
from infoscope.ensembles.ways import Way
from infoscope.training.fit import settled
from infoscope.training.learner import Weights
from infoscope.training.recipe import Recipe


@dataclass
class History:
    """The training of one member so far."""

    losses: list[float] = field(default_factory=list)
    moved: list[float] = field(default_factory=list)
    held_out: list[float] = field(default_factory=list)
    best: Weights | None = None
    snapshots: dict[int, Weights] = field(default_factory=dict)
    matched: Weights | None = None
    matched_epoch: int = -1
    final: Weights | None = None

    def end_epoch(self, mean: float, moved: float, weights: Callable[[], Weights], keep: SnapshotSpec) -> None:
        """Take note of an epoch's mean loss and of how far the weights are from the start; keep them if wanted."""
        self.losses.append(mean)
        self.moved.append(moved)
        if len(self.losses) in keep.epochs:
            self.snapshots[len(self.losses)] = weights()
        if keep.loss is not None and self.matched is None and mean <= keep.loss:
            self.matched, self.matched_epoch = weights(), len(self.losses)

    def validate(self, loss: float, weights: Callable[[], Weights], patience: int | None) -> bool:
        """Take note of an epoch's validation loss; whether training ends."""
        self.held_out.append(loss)
        if patience is None:
            return False
        lowest = min(self.held_out)
        if loss <= lowest:
            self.best = weights()
        return len(self.held_out) - 1 - self.held_out.index(lowest) >= patience

    def converged(self, recipe: Recipe) -> bool:
        """Whether a training by this recipe was stopped before its last epoch, or has settled."""
        stopping = bool(self.held_out) and recipe.patience is not None
        return len(self.losses) < recipe.epochs or settled(self.losses, stopping)


def population_of(
    members: Sequence[Member], initial: Sequence[Weights], histories: Sequence[History], failed: Mapping[str, str],
    keep: SnapshotSpec, way: Way, remarks: tuple[str, ...] = (),
) -> Population:  # fmt: skip
    """The members that did not fail, as one value."""
    good = [i for i, m in enumerate(members) if m.called not in failed]
    ended = [histories[i] for i in good]
    finals = [history.final or {} for history in ended]
    matched = [history.matched or final for history, final in zip(ended, finals, strict=True)]
    snapshots = {
        epoch: _stacked([h.snapshots.get(epoch, final) for h, final in zip(ended, finals, strict=True)])
        for epoch in keep.epochs
    }
    return Population(
        names=tuple(members[i].called for i in good),
        seeds=tuple(members[i].seed for i in good),
        initial=_stacked([initial[i] for i in good]),
        weights=_stacked(finals),
        losses=padded([torch.tensor(history.losses) for history in ended]),
        validation_losses=padded([torch.tensor(history.held_out) for history in ended]),
        converged=tuple(histories[i].converged(members[i].learner.recipe) for i in good),
        snapshots=snapshots,
        matched=_stacked(matched) if keep.loss is not None else {},
        matched_epochs=torch.tensor([history.matched_epoch for history in ended], dtype=torch.long),
        failed=dict(failed),
        ways=(way,),
        remarks=remarks,
        moved=padded([torch.tensor(history.moved, dtype=torch.float64) for history in ended]),
    )


def _stacked(every: Sequence[Weights]) -> StackedWeights:
    return stack(every) if every else {}
