"""Deficits: what keeps a network, for a time, from the data that it is meant for.

A deficit is a frozen value like a corruption; `task.corrupted(Blur(4))` is a new task that knows how it was made, whose
examples keep their identity. "Critical Learning Periods in Deep Networks" (Achille, Rovere & Soatto 2019) trains under
one for a time, and then without.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch.nn import functional as F

from infoscope.data.corruption import Corruption, Massart, MissingObjects, MissingPixels, ShuffledLabels
from infoscope.data.task import Task


@dataclass(frozen=True)
class Blur:
    """Images made `factor` times smaller by averaging, and as large again by bilinear interpolation: 32 → 8 → 32 by 4.

    A cataract: what is small cannot be seen.
    """

    factor: int = 4
    kind: ClassVar[str] = "blur"

    def __call__(self, task: Task, seed: int = 0) -> Task:
        """The blurred task; a ValueError unless the sides of its images are multiples of the factor."""
        _check_images(self, task)
        height, width = task.shape[1:]
        if self.factor < 1 or height % self.factor or width % self.factor:
            raise ValueError(
                f"images of {height} × {width} cannot be made {self.factor} times smaller; take a factor of both sides"
            )
        x = F.avg_pool2d(task.array, self.factor)
        x = F.interpolate(x, size=(height, width), mode="bilinear", align_corners=False)
        return dataclasses.replace(task, name=f"{task.name}~{self.kind}={self.factor}", x=x)


@dataclass(frozen=True)
class VerticalFlip:
    """Images upside down: what is high is low, and nothing is lost."""

    kind: ClassVar[str] = "vertical-flip"

    def __call__(self, task: Task, seed: int = 0) -> Task:
        """The task turned over."""
        _check_images(self, task)
        return dataclasses.replace(task, name=f"{task.name}~{self.kind}", x=task.array.flip(2))


@dataclass(frozen=True)
class NoiseImages:
    """Every image is Gaussian noise of the data's own mean and variance, a fixed one each: sensory deprivation.

    The labels stay, so that they can be learned by heart.
    """

    kind: ClassVar[str] = "noise"

    def __call__(self, task: Task, seed: int = 0) -> Task:
        """The task without images."""
        _check_images(self, task)
        x = task.array
        rng = np.random.default_rng([seed, *b"noise"])
        noise = torch.from_numpy(rng.standard_normal(tuple(x.shape), dtype=np.float32))
        return dataclasses.replace(task, name=f"{task.name}~{self.kind}", x=x.mean() + x.std() * noise)


@dataclass(frozen=True)
class PermutedClasses:
    """Every class takes the name of another one: images are as they were, and what is said of them is all wrong.

    No class keeps its own name. `ShuffledLabels` permutes labels over examples instead, and leaves nothing to learn.
    """

    kind: ClassVar[str] = "permuted-classes"

    def __call__(self, task: Task, seed: int = 0) -> Task:
        """The renamed task; for one class an example, of two classes or more."""
        classes = task.classes
        if classes < 2:
            raise ValueError(f"{task.name!r} has {classes} class; two or more can be permuted")
        order = np.random.default_rng([seed, *b"classes"]).permutation(classes)
        others = np.empty(classes, dtype=np.int64)
        others[order] = np.roll(order, 1)  # one round through all classes
        return dataclasses.replace(task, name=f"{task.name}~{self.kind}", y=torch.from_numpy(others)[task.labels])


Deficit = Blur | VerticalFlip | NoiseImages | PermutedClasses | ShuffledLabels

DEFICITS: dict[str, Deficit] = {
    "blur": Blur(),
    "flip": VerticalFlip(),
    "permute": PermutedClasses(),
    "shuffled-labels": ShuffledLabels(),
    "noise": NoiseImages(),
}
"""The deficits by name."""


KINDS: dict[str, type[Corruption | Deficit]] = {
    "missing-pixels": MissingPixels,
    "missing-objects": MissingObjects,
    "massart": Massart,
    "shuffled-labels": ShuffledLabels,
    "blur": Blur,
    "flip": VerticalFlip,
    "permute": PermutedClasses,
    "noise": NoiseImages,
}
"""Corruptions and deficits by the word that stands for them behind `--corrupt`, or behind a data set and `~`."""


def corruptions(text: str) -> list[Corruption | Deficit]:
    """The corruptions of a word such as `massart=0.1`, or `massart=0,0.1,0.2` for several levels."""
    kind, _, levels = text.partition("=")
    return [corruption(f"{kind}={level}" if level else kind) for level in levels.split(",")]


def corruption(text: str) -> Corruption | Deficit:
    """A corruption or a deficit such as `massart=0.1`, `blur=4` or `flip`.

    >>> corruption("blur"), corruption("massart=0.5")
    (Blur(factor=4), Massart(level=0.5))
    """
    kind, _, number = text.partition("=")
    if kind not in KINDS:
        raise ValueError(f"no corruption {kind!r}; there are {', '.join(KINDS)}")
    make: Any = KINDS[kind]
    if not (fields := dataclasses.fields(make)):
        if number:
            raise ValueError(f"{text!r}: {kind} has no level; it is all or nothing, write {kind}")
        return make()
    if not number and fields[0].default is not dataclasses.MISSING:
        return make()
    read, such = (
        (int, "a whole number, such as blur=4") if kind == "blur" else (float, f"a fraction, such as {kind}=0.1")
    )
    try:
        return make(read(number))
    except ValueError as error:
        raise ValueError(f"{text!r}: write the level as {such}") from error


def _check_images(deficit: Deficit, task: Task) -> None:
    if isinstance(task.shape, dict) or len(task.shape) != 3:
        raise ValueError(f"{type(deficit).__name__} needs images; {task.name!r} has examples of shape {task.shape}")
