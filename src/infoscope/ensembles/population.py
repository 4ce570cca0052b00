"""Many trained networks as a value."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from infoscope.data.task import Task
from infoscope.ensembles.stacked_weights import StackedWeights, member
from infoscope.ensembles.ways import Way
from infoscope.run.tensor_paths import Path, below, pack_paths, unpack_paths
from infoscope.training.fit import Trained, Window
from infoscope.training.learner import Learner
from infoscope.training.recipe import Loss, Recipe


@dataclass(frozen=True)
class Member:
    """One network to be trained: what `fit(learner, task, validation, seed=seed, window=window)` would train."""

    learner: Learner
    task: Task
    seed: int = 0
    validation: Task | None = None
    name: str = ""
    window: Window | None = None

    def learns_from(self, epoch: int) -> Task:
        """The examples of an epoch."""
        return self.window.task if self.window is not None and self.window.holds(epoch) else self.task

    @property
    def loss(self) -> Loss:
        """What is brought down: the recipe's own loss, or the likelihood of the task's target."""
        return self.learner.recipe.loss_on(self.task.target)

    @property
    def recipe(self) -> Recipe:
        """The learner's recipe with the loss that it has on this task."""
        return dataclasses.replace(self.learner.recipe, loss=self.loss)

    @property
    def called(self) -> str:
        """Its name in messages and results."""
        return self.name or f"{self.task.name}, seed {self.seed}"

    def __describe__(self) -> tuple[Any, ...]:
        # Results name their networks, so that equal members of other names are others.
        known = ("Member", self.learner, self.task, self.seed, self.validation, self.called)
        return known if self.window is None else (*known, self.window)


@dataclass(frozen=True)
class SnapshotSpec:
    """What to keep of each network besides its first and last weights.

    The weights after these `epochs` (0 for the start), and at the first whose mean training loss is at most `loss`.
    """

    epochs: tuple[int, ...] = ()
    loss: float | None = None

    @property
    def states(self) -> int:
        """How many states of a network these may be."""
        return len(self.epochs) + (self.loss is not None)


@dataclass(frozen=True, eq=False)
class Population:
    """E trained networks of one architecture.

    `initial` and `weights` are stacked state dicts before and after training; `snapshots` those after some epochs (0 is
    the start; one that had stopped before stays as it was); `matched` those at the first epoch whose mean training loss
    came down to what was asked, `matched_epochs` (E,) says when, −1 for never (its row is then the last).
    `losses` and `validation_losses` are (E, epochs), nats an example, NaN after the end; so is `moved`, how far the
    trained weights are from the initial ones after each epoch. A network that diverged is in none of them: `failed`
    names it and says why. `ways` are those in which the networks were computed; `remarks` say where that is another
    than was planned, and why.
    """

    names: tuple[str, ...]
    seeds: tuple[int, ...]
    initial: StackedWeights
    weights: StackedWeights
    losses: Tensor
    validation_losses: Tensor
    converged: tuple[bool, ...] = ()
    snapshots: Mapping[int, StackedWeights] = field(default_factory=dict)
    matched: StackedWeights = field(default_factory=dict)
    matched_epochs: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.long))
    failed: Mapping[str, str] = field(default_factory=dict)
    ways: tuple[Way, ...] = ()
    remarks: tuple[str, ...] = ()
    moved: Tensor = field(default_factory=lambda: torch.empty(0, 0, dtype=torch.float64))

    def __len__(self) -> int:
        return len(self.names)

    def member(self, i: int) -> dict[str, Tensor]:
        """The trained weights of one network, for `load_weights`."""
        return member(self.weights, i)

    def trained(self, i: int) -> Trained:
        """One network as `fit` would have given it."""
        losses, held_out = (tuple(row[~row.isnan()].tolist()) for row in (self.losses[i], self.validation_losses[i]))
        return Trained(member(self.initial, i), self.member(i), losses, held_out, self.converged[i])

    def take(self, rows: Sequence[int]) -> Population:
        """These networks, in this order."""
        which = torch.tensor(rows, dtype=torch.long)

        def picked(stacked: StackedWeights) -> StackedWeights:
            return {name: t[which] for name, t in stacked.items()}

        return dataclasses.replace(
            self,
            names=tuple(self.names[i] for i in rows),
            seeds=tuple(self.seeds[i] for i in rows),
            converged=tuple(self.converged[i] for i in rows),
            initial=picked(self.initial),
            weights=picked(self.weights),
            matched=picked(self.matched),
            snapshots={epoch: picked(stacked) for epoch, stacked in self.snapshots.items()},
            losses=self.losses[which],
            validation_losses=self.validation_losses[which],
            moved=self.moved[which] if len(self.moved) else self.moved,
            matched_epochs=self.matched_epochs[which],
        )

    def to_bytes(self) -> bytes:
        """As one safetensors file."""
        tensors: dict[Path, Tensor] = {
            ("losses",): self.losses,
            ("validation_losses",): self.validation_losses,
            ("matched_epochs",): self.matched_epochs,
            ("moved",): self.moved,
        }
        for part, stacked in (("initial", self.initial), ("weights", self.weights), ("matched", self.matched)):
            tensors |= {(part, name): t for name, t in stacked.items()}
        for epoch, stacked in self.snapshots.items():
            tensors |= {("snapshots", epoch, name): t for name, t in stacked.items()}
        facts = {"names": self.names, "seeds": self.seeds, "failed": dict(self.failed), "converged": self.converged}
        ways = [dataclasses.astuple(way) for way in self.ways]
        return pack_paths(tensors, **facts, ways=ways, epochs=list(self.snapshots), remarks=self.remarks)

    @classmethod
    def from_bytes(cls, data: bytes) -> Population:
        """The value that `to_bytes` wrote."""
        tensors, facts = unpack_paths(data)
        return cls(
            names=tuple(facts["names"]),
            seeds=tuple(facts["seeds"]),
            initial=below(tensors, "initial"),
            weights=below(tensors, "weights"),
            losses=tensors["losses",],
            validation_losses=tensors["validation_losses",],
            converged=tuple(facts["converged"]),
            snapshots={epoch: below(tensors, "snapshots", epoch) for epoch in facts["epochs"]},
            matched=below(tensors, "matched"),
            matched_epochs=tensors["matched_epochs",],
            failed=facts["failed"],
            ways=tuple(Way(*way) for way in facts["ways"]),
            remarks=tuple(facts["remarks"]),
            moved=tensors["moved",],
        )


def gathered(parts: Sequence[Population]) -> Population:
    """One population of all that are in these; a ValueError if no network is left, or they differ in architecture."""
    failed = {name: why for part in parts for name, why in part.failed.items()}
    full = [part for part in parts if len(part)]
    if not full:
        first, why = next(iter(failed.items()))
        raise ValueError(f"all {len(failed)} networks failed: {first}: {why}")
    shapes = [{k: v.shape[1:] for k, v in part.weights.items()} for part in full]
    if any(one != shapes[0] for one in shapes):
        raise ValueError("the networks differ in architecture; a population has one")
    return Population(
        tuple(name for part in full for name in part.names),
        tuple(seed for part in full for seed in part.seeds),
        _joined([part.initial for part in full]),
        _joined([part.weights for part in full]),
        padded([row for part in full for row in part.losses]),
        padded([row for part in full for row in part.validation_losses]),
        tuple(c for part in full for c in part.converged),
        {epoch: _joined([part.snapshots[epoch] for part in full]) for epoch in full[0].snapshots},
        _joined([part.matched for part in full]),
        torch.cat([part.matched_epochs for part in full]),
        failed,
        tuple(dict.fromkeys(way for part in full for way in part.ways)),
        tuple(dict.fromkeys(remark for part in full for remark in part.remarks)),
        padded([row for part in full for row in part.moved]),
    )


def padded(rows: Sequence[Tensor]) -> Tensor:
    """Rows of unequal length as one tensor, filled up with NaN."""
    return pad_sequence(list(rows), batch_first=True, padding_value=math.nan) if rows else torch.empty(0, 0)


def _joined(parts: Sequence[StackedWeights]) -> StackedWeights:
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
