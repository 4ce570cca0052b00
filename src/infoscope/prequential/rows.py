"""Matrices with a row an example that are made block by block, as often as they are asked for, and never held whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

SAMPLE = 16_384
"""Rows up to which a matrix is held whole; of longer ones as many, evenly spaced, stand for all: for means and axes."""

HELD = 1 << 30
"""Bytes up to which longer ones are held, too, where to make them anew would take longer."""

AT_ONCE = 2000
"""Rows that are made together where all are gone through."""


def many(n: int) -> bool:
    """Whether n rows are too many to be held whole."""
    return n > SAMPLE


@dataclass(eq=False)
class Made:
    """Rows that `make` gives, from a slice or from their places; the slice made last is kept for who asks next.

    >>> squares = Made((4, 1), lambda rows: torch.arange(4.0)[rows, None].square())
    >>> squares[1:3], len(squares)
    (tensor([[1.],
            [4.]]), 4)
    """

    shape: tuple[int, ...]
    make: Callable[[Any], Tensor]
    last: tuple[slice, Tensor] | None = field(default=None, init=False, repr=False)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> Tensor:
        if not isinstance(rows, slice):
            return self.make(rows)
        if self.last is None or self.last[0] != rows:
            self.last = None  # its memory is free before the next is made
            self.last = rows, self.make(rows)
        return self.last[1]


Rows = Tensor | Made
"""In memory, or made when they are asked for; both have `len`, `shape` and `[rows]`."""


def changed(rows: Rows, change: Callable[[Tensor], Tensor], width: int) -> Rows:
    """The same change to every row, which then has so many entries.

    >>> changed(torch.ones(2, 3), lambda t: t[:, :1], 1)
    tensor([[1.],
            [1.]])
    """
    if isinstance(rows, Tensor):
        return change(rows)
    return Made((len(rows), width), lambda which: change(rows[which]))


def whole(rows: Rows) -> Tensor:
    """All rows, made at once: the caller's own where they were not in memory."""
    return rows if isinstance(rows, Tensor) else rows.make(slice(None))


def held(rows: Rows, most: int = 0) -> Rows:
    """In memory if they are few, or fill at most so many bytes of single precision; else as they are."""
    if not many(len(rows)):
        return whole(rows)
    if 4 * len(rows) * rows.shape[1] <= most and isinstance(rows, Made):
        return in_parts(rows, lambda part: part, rows.shape[1])
    return rows


def parts(rows: Rows, size: int = AT_ONCE) -> Iterator[Tensor]:
    """All rows in blocks."""
    return (rows[start : start + size] for start in range(0, len(rows), size))


def in_parts(rows: Rows, change: Callable[[Tensor], Tensor], width: int) -> Tensor:
    """`changed`, in memory, without ever holding the rows themselves."""
    found, place = None, 0
    for part in parts(rows):
        own = change(part)
        found = own.new_empty(len(rows), width) if found is None else found
        found[place : place + len(own)] = own
        place += len(own)
    return torch.empty(0, width) if found is None else found


def sample(rows: Rows) -> Tensor:
    """All of them if they are few, else as many as stand for them, evenly spaced."""
    if not many(len(rows)):
        return whole(rows)
    return rows[torch.arange(SAMPLE) * len(rows) // SAMPLE]
