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
from infoscope.run.look import pack, unpack
from infoscope.training.fit import Trained
from infoscope.training.learner import Learner
from infoscope.training.recipe import Loss, Recipe

Stacked = Mapping[str, Tensor]
"""A state dict whose tensors have a leading axis of E networks."""


@dataclass(frozen=True)
class Member:
    """One network to be trained: what `fit(learner, task, validation, seed=seed)` would train."""

    learner: Learner
    task: Task
    seed: int = 0
    validation: Task | None = None
    name: str = ""

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
        return ("Member", self.learner, self.task, self.seed, self.validation, self.called)


@dataclass(frozen=True, eq=False)
class Population:
    """E trained networks of one architecture.

    `initial` and `weights` are stacked state dicts before and after training; `snapshots` those after some epochs (0 is
    the start; one that had stopped before stays as it was); `matched` those at the first epoch whose mean training loss
    came down to what was asked, `matched_epochs` (E,) says when, −1 for never (its row is then the last).
    `losses` and `validation_losses` are (E, epochs), nats an example, NaN after the end. A network that diverged is in
    none of them: `failed` names it and says why. `way` says how they were computed.
    """

    names: tuple[str, ...]
    seeds: tuple[int, ...]
    initial: Stacked
    weights: Stacked
    losses: Tensor
    validation_losses: Tensor
    converged: tuple[bool, ...] = ()
    snapshots: Mapping[int, Stacked] = field(default_factory=dict)
    matched: Stacked = field(default_factory=dict)
    matched_epochs: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.long))
    failed: Mapping[str, str] = field(default_factory=dict)
    way: str = "loop"

    def __len__(self) -> int:
        return len(self.names)

    def member(self, i: int) -> dict[str, Tensor]:
        """The trained weights of one network, for `load_weights`."""
        return {name: t[i] for name, t in self.weights.items()}

    def trained(self, i: int) -> Trained:
        """One network as `fit` would have given it."""
        initial = {name: t[i] for name, t in self.initial.items()}
        losses, held_out = (tuple(row[~row.isnan()].tolist()) for row in (self.losses[i], self.validation_losses[i]))
        return Trained(initial, self.member(i), losses, held_out, self.converged[i])

    def take(self, rows: Sequence[int]) -> Population:
        """These networks, in this order."""
        which = torch.tensor(rows, dtype=torch.long)

        def picked(stacked: Stacked) -> Stacked:
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
            matched_epochs=self.matched_epochs[which],
        )

    def to_bytes(self) -> bytes:
        """As one safetensors file."""
        tensors = {"losses": self.losses, "validation_losses": self.validation_losses, "when": self.matched_epochs}
        parts = {"initial": self.initial, "weights": self.weights, "matched": self.matched}
        parts |= {f"epoch {epoch}": stacked for epoch, stacked in self.snapshots.items()}
        tensors |= {f"{part}/{k}": v for part, stacked in parts.items() for k, v in stacked.items()}
        facts = {"names": self.names, "seeds": self.seeds, "failed": dict(self.failed), "way": self.way}
        return pack(tensors, **facts, converged=self.converged, epochs=list(self.snapshots))

    @classmethod
    def from_bytes(cls, data: bytes) -> Population:
        """The value that `to_bytes` wrote."""
        tensors, facts = unpack(data)
        losses, held_out, when = (tensors.pop(k) for k in ("losses", "validation_losses", "when"))

        def part(name: str) -> Stacked:
            return {k.removeprefix(f"{name}/"): v for k, v in tensors.items() if k.startswith(f"{name}/")}

        snapshots = {epoch: part(f"epoch {epoch}") for epoch in facts["epochs"]}
        return cls(
            tuple(facts["names"]), tuple(facts["seeds"]), part("initial"), part("weights"), losses, held_out,
            tuple(facts["converged"]), snapshots, part("matched"), when, facts["failed"], facts["way"],
        )  # fmt: skip


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
    ways = ", ".join(dict.fromkeys(part.way for part in full))
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
        ways,
    )


def padded(rows: Sequence[Tensor]) -> Tensor:
    """Rows of unequal length as one tensor, filled up with NaN."""
    return pad_sequence(list(rows), batch_first=True, padding_value=math.nan) if rows else torch.empty(0, 0)


def _joined(parts: Sequence[Stacked]) -> Stacked:
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
