"""Three kinds of noise and one null, after "Model Information as an Analysis Tool in Deep Learning", §3, Tables 2-4.

A corruption is a frozen value; `task.corrupted(Massart(0.1), seed=0)` is a new task that knows how it was made. The
examples keep their identity, so a corrupted example is still recognised as the one that was trained on.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from infoscope.data.targets import Tokens
from infoscope.data.task import Task


@dataclass(frozen=True)
class MissingPixels:
    """One square block, `level` of the image's area, is blank in every image: the task becomes more complex."""

    level: float
    kind: ClassVar[str] = "missing-pixels"

    def __call__(self, task: Task, seed: int = 0) -> Task:
        """The corrupted task."""
        _check_level(self, task, image=True)
        return _blank_blocks(task, np.arange(len(task)), self.level, self, seed)


@dataclass(frozen=True)
class MissingObjects:
    """A block of `portion` of the area is blank in a fraction `level` of the images: pure noise."""

    level: float
    portion: float = 0.6
    kind: ClassVar[str] = "missing-objects"

    def __call__(self, task: Task, seed: int = 0) -> Task:
        """The corrupted task."""
        _check_level(self, task, image=True)
        return _blank_blocks(task, _chosen(task, self.level, seed), self.portion, self, seed)


@dataclass(frozen=True)
class Massart:
    """A fraction `level` of the labels is drawn anew, uniformly over the alphabet (a draw may hit the true one).

    For one class an example.
    """

    level: float
    kind: ClassVar[str] = "massart"

    def __call__(self, task: Task, seed: int = 0) -> Task:
        """The corrupted task."""
        _check_level(self, task)
        rows = _chosen(task, self.level, seed)
        y = task.labels.clone()
        y[torch.from_numpy(rows)] = torch.from_numpy(_rng(seed, "labels").integers(0, task.classes, len(rows)))
        return dataclasses.replace(task, name=_named(task, self), y=y)


@dataclass(frozen=True)
class ShuffledLabels:
    """All labels permuted: nothing is left to learn, the label frequencies stay. For every target but tokens."""

    kind: ClassVar[str] = "shuffled-labels"

    def __call__(self, task: Task, seed: int = 0) -> Task:
        """The corrupted task."""
        if isinstance(task.target, Tokens):
            raise ValueError(f"{task.name!r} has sequences of tokens, which are their own inputs; nothing to shuffle")
        order = torch.from_numpy(_rng(seed, "shuffle").permutation(len(task)))
        return dataclasses.replace(task, name=_named(task, self), y=task.y[order])


Corruption = MissingPixels | MissingObjects | Massart | ShuffledLabels

CORRUPTIONS: dict[str, type[Corruption]] = {
    "missing-pixels": MissingPixels,
    "missing-objects": MissingObjects,
    "massart": Massart,
    "shuffled-labels": ShuffledLabels,
}


def _blank_blocks(task: Task, rows: np.ndarray, area: float, corruption: Corruption, seed: int) -> Task:
    x = task.array.clone()
    height, width = x.shape[2:]
    tall, wide = (max(1, round(side * area**0.5)) if area else 0 for side in (height, width))
    rng = _rng(seed, "blocks")
    blank = float(x.min())
    for row, top, left in zip(
        rows.tolist(),
        rng.integers(0, height - tall + 1, len(rows)).tolist(),
        rng.integers(0, width - wide + 1, len(rows)).tolist(),
        strict=True,
    ):
        x[row, :, top : top + tall, left : left + wide] = blank
    return dataclasses.replace(task, name=_named(task, corruption), x=x)


def _chosen(task: Task, level: float, seed: int) -> np.ndarray:
    """Each example independently with probability `level`; a larger level chooses the same ones and more."""
    return np.flatnonzero(_rng(seed, "choice").random(len(task)) < level)


def _rng(seed: int, use: str) -> np.random.Generator:
    return np.random.default_rng([seed, *use.encode()])


def _named(task: Task, corruption: Corruption) -> str:
    level = getattr(corruption, "level", None)
    return f"{task.name}~{corruption.kind}" + (f"={level:g}" if level is not None else "")


def _check_level(corruption: MissingPixels | MissingObjects | Massart, task: Task, image: bool = False) -> None:
    if not 0 <= corruption.level <= 1:
        raise ValueError(f"{type(corruption).__name__}: level is {corruption.level}; it is a fraction from 0 to 1")
    if image and (isinstance(task.shape, dict) or len(task.shape) != 3):
        raise ValueError(f"{type(corruption).__name__} needs images; {task.name!r} has examples of shape {task.shape}")
