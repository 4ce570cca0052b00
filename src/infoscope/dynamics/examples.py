"""What a network is measured on: inputs exactly as it takes them, and one label an example."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Int, Shaped
from torch import Tensor

from infoscope.data.inputs import Inputs
from infoscope.data.task import Task


@dataclass(frozen=True)
class Examples:
    """A task with one class an example, whose inputs `x` a network is given as they are.

    `halves` names the arrays that go in as bfloat16, which a task keeps in float32; "" is that of a single array.
    """

    task: Task
    halves: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.task.labels  # noqa: B018 - refuses other targets at once

    @classmethod
    def of(cls, given: ExamplesLike) -> Examples:
        """The examples of a task, or of arrays (x, y), of which no axis, type or scale is changed.

        Only arrays of numpy's double precision are read in torch's default precision, as a tensor never is.

        >>> Examples.of((np.zeros((4, 3, 2)), [0, 1, 1, 0])).x.shape
        torch.Size([4, 3, 2])
        """
        if isinstance(given, Examples):
            return given
        if isinstance(given, Task):
            return cls(given)
        x, y = given
        named = {k: _read(v) for k, v in x.items()} if isinstance(x, Mapping) else {"": _read(x)}
        halves = tuple(k for k, v in named.items() if getattr(v, "dtype", None) is torch.bfloat16)
        return cls(Task.from_arrays(named if isinstance(x, Mapping) else named[""], y, as_is=True), halves)

    def __len__(self) -> int:
        return len(self.task)

    @cached_property
    def x(self) -> Inputs:
        """The inputs."""
        if not self.halves:
            return self.task.x
        named = self.task.x if isinstance(self.task.x, Mapping) else {"": self.task.x}
        found = {k: t[:].bfloat16() if k in self.halves else t for k, t in named.items()}
        return found if isinstance(self.task.x, Mapping) else found[""]

    @property
    def y(self) -> Int[Tensor, " n"]:
        """The labels."""
        return self.task.labels

    @cached_property
    def patterns(self) -> Int[np.ndarray, " n"]:
        """A number for every distinct input."""
        return np.unique(self.task.content_hashes, return_inverse=True)[1].astype(np.int64)

    @property
    def pattern_entropy(self) -> float:
        """H(X) of the empirical frequencies of the inputs, nats: log n if all differ.

        >>> round(Examples.of((torch.tensor([[0.0], [1.0], [1.0], [0.0]]), [0, 1, 1, 0])).pattern_entropy, 6)
        0.693147
        """
        p = np.bincount(self.patterns) / max(len(self), 1)
        return float(-(p * np.log(p)).sum()) + 0.0

    @property
    def points(self) -> Shaped[Tensor, "n d"]:
        """The inputs as one row of numbers an example, in memory."""
        arrays = list(self.x.values()) if isinstance(self.x, Mapping) else [self.x]
        rows = [t[:].reshape(len(t), -1) for t in arrays]
        return rows[0] if len(rows) == 1 else torch.cat([row.double() for row in rows], 1)


ExamplesLike = Examples | Task | tuple[Any, Any]
"""What is read as examples: a task, or inputs and labels."""


def _read(values: Any) -> Any:
    if isinstance(values, Tensor | np.memmap):
        return values
    array = np.asarray(values)
    return array.astype(torch.zeros(0).numpy().dtype) if array.dtype == np.float64 else array
