"""Nuisances that are planted: something of each example that is drawn independently of its label, and so is known."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from infoscope.data.task import Task
from infoscope.options import above_zero, at_least


class Nuisance(Protocol):
    """What is done to examples by a number of their own, 0 … values − 1."""

    @property
    def values(self) -> int:
        """How many there are."""
        ...

    def place(self, x: Float[Tensor, "n ..."], n: Int[Tensor, " n"], like: Tensor) -> Tensor:
        """The examples, each with its nuisance; how bright or how strong it is follows from those of `like`."""
        ...


@dataclass(frozen=True)
class Turn:
    """Images are turned by 0, 90, 180 or 270 degrees: no pixel is lost."""

    values: int = 4

    def __post_init__(self) -> None:
        if self.values not in (2, 4):
            raise ValueError(f"turn(values={self.values}): quarter turns have 4 values, half turns 2")

    def place(self, x: Float[Tensor, "n ..."], n: Int[Tensor, " n"], like: Tensor) -> Tensor:
        """The turned images."""
        _check_images(x, "turn")
        if x.shape[2] != x.shape[3]:
            raise ValueError(f"turn: images are {x.shape[2]} × {x.shape[3]}; give square ones")
        found = x.clone()
        for k in range(1, self.values):
            found[n == k] = torch.rot90(x[n == k], k * (4 // self.values), (2, 3))
        return found


@dataclass(frozen=True)
class Clutter:
    """A bright square in one of `values` places around the middle of an image; `side` is its share of the side."""

    values: int = 4
    side: float = 0.25

    def __post_init__(self) -> None:
        at_least(self, "values", 2)
        if not 0 < self.side <= 0.5:
            raise ValueError(f"clutter(side={self.side}): side is a share of the image's side, at most 0.5")

    def place(self, x: Float[Tensor, "n ..."], n: Int[Tensor, " n"], like: Tensor) -> Tensor:
        """The cluttered images."""
        _check_images(x, "clutter")
        height, width = x.shape[2:]
        tall, wide = max(1, round(self.side * height)), max(1, round(self.side * width))
        found, bright = x.clone(), like.max()
        for k in range(self.values):
            angle = 2 * np.pi * (k + 0.5) / self.values
            top = round((height - tall) * min(max(0.5 - 0.75 * np.sin(angle), 0.0), 1.0))
            left = round((width - wide) * min(max(0.5 + 0.75 * np.cos(angle), 0.0), 1.0))
            rows = (n == k).nonzero().flatten()
            found[rows, :, top : top + tall, left : left + wide] = bright
        return found


@dataclass(frozen=True)
class Pattern:
    """One of `values` fixed patterns of noise is added, `strength` times as large as examples deviate."""

    values: int = 8
    strength: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        at_least(self, "values", 2)
        above_zero(self, "strength")

    def place(self, x: Float[Tensor, "n ..."], n: Int[Tensor, " n"], like: Tensor) -> Tensor:
        """The examples with their patterns."""
        draws = torch.Generator().manual_seed(self.seed)
        patterns = torch.randn((self.values, *x.shape[1:]), generator=draws)
        return x + self.strength * (like - like.mean(0)).square().mean().sqrt() * patterns[n]


NUISANCES: dict[str, Nuisance] = {"turn": Turn(), "clutter": Clutter(), "pattern": Pattern()}
"""Nuisances by name."""


@dataclass(frozen=True, eq=False)
class Planted:
    """A task with a nuisance in every example, and which."""

    task: Task
    n: Int[Tensor, " n"]


def plant(task: Task, nuisance: Nuisance, seed: int, like: Task | None = None) -> Planted:
    """Every value for as many examples, in a random order that knows nothing of the labels.

    A part of a task has the same nuisance as another where both are planted `like` one of them.

    >>> planted = plant(Task.from_dataset("digits")[:8], Turn(), 0)
    >>> planted.n.bincount().tolist(), planted.task.name
    ([2, 2, 2, 2], 'digits, turn')
    """
    x = task.array
    if not x.is_floating_point():
        raise ValueError(f"{task.name!r} has inputs of {x.dtype}; a nuisance is placed in numbers or images")
    order = np.random.default_rng([seed, *b"nuisance"]).permutation(len(task))
    n = torch.from_numpy(order % nuisance.values)
    placed = nuisance.place(x, n, x if like is None else like.array)
    name = f"{task.name}, {type(nuisance).__name__.lower()}"
    return Planted(dataclasses.replace(task, name=name, x=placed, splits={}), n)


def _check_images(x: Tensor, name: str) -> None:
    if x.ndim != 4:
        raise ValueError(
            f"{name} needs images, and examples have shape {tuple(x.shape[1:])}; take the nuisance pattern"
        )
