"""What a network is given: one tensor, or a mapping of tensors with one first axis, in memory or mapped from disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

Inputs = Tensor | Mapping[str, Tensor]
"""Examples along the first axis, of any dtype; a mapping goes to a network by keyword."""

Shape = tuple[int, ...] | dict[str, tuple[int, ...]]
"""Of one example."""


def each(x: Inputs, change: Callable[[Tensor], Tensor]) -> Inputs:
    """The inputs with every array changed in one way.

    >>> each({"ids": torch.arange(3)}, lambda t: t[:2])
    {'ids': tensor([0, 1])}
    """
    return change(x) if isinstance(x, Tensor) else {name: change(t) for name, t in x.items()}


def count(x: Inputs) -> int:
    """How many examples there are."""
    return len(x) if isinstance(x, Tensor) else len(next(iter(x.values())))


def shape_of(x: Inputs) -> Shape:
    """Shape of one example, by name for a mapping."""
    return tuple(x.shape[1:]) if isinstance(x, Tensor) else {name: tuple(t.shape[1:]) for name, t in x.items()}


def take(x: Inputs, rows: Any) -> Inputs:
    """These rows of every array; of arrays mapped from disk nothing else is read."""
    return each(x, lambda t: t[rows])


def to(x: Inputs, device: str | torch.device) -> Inputs:
    """The inputs on a device."""
    return each(x, lambda t: t.to(device))


def pieces(x: Inputs, size: int) -> Iterator[Inputs]:
    """The inputs in pieces of at most `size` examples."""
    return (take(x, slice(start, start + size)) for start in range(0, count(x), size))
