"""Examples that lie on disk: read when they are asked for, a batch at a time."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Mapped:
    """Rows of a tensor that is mapped from disk, in an order; indexing reads just those rows into memory.

    `rows` are the places of the examples in `source`, and `change` is what happens to them when they are read, one by
    one: a slice, a shuffle or a conversion of a set larger than memory costs its list of rows. Nothing writes to the
    file.

    >>> x = Mapped(torch.arange(6.0).reshape(3, 2), range(3))
    >>> x.select([2, 0])[:1], len(x), x.shape
    (tensor([[4., 5.]]), 3, torch.Size([3, 2]))
    """

    source: Tensor
    rows: range | np.ndarray
    change: Callable[[Tensor], Tensor] | None = None
    device: torch.device | str = "cpu"

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> torch.Size:
        """Shape with the examples first, as a tensor's."""
        return torch.Size((len(self), *self.source.shape[1:]))

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self.source.ndim

    @property
    def dtype(self) -> torch.dtype:
        """Type of the elements as they are read."""
        return self.source.dtype if self.change is None else self.change(self.source[:0]).dtype

    def __getitem__(self, which: Any) -> Tensor:
        """These examples, read into memory."""
        # By numpy: glibc reuses the memory that it frees, which torch's aligned allocations of this size keep for ever.
        read = self.source.numpy()[_places(_chosen(self.rows, which))]
        own = read.copy(order="C") if read.base is not None else np.asarray(read, order="C")
        found = torch.from_numpy(own)
        return (found if self.change is None else self.change(found)).to(self.device)

    def select(self, which: Any) -> Mapped:
        """These examples, not yet read."""
        rows = _chosen(self.rows, which)
        return dataclasses.replace(self, rows=range(rows, rows + 1) if isinstance(rows, int) else rows)

    def split(self, size: int) -> Iterator[Tensor]:
        """All examples in pieces, read one after the other."""
        return (self[start : start + size] for start in range(0, len(self), size))

    def to(self, device: torch.device | str) -> Mapped:
        """The same, where what is read goes to a device."""
        return dataclasses.replace(self, device=device)


def _chosen(rows: range | np.ndarray, which: Any) -> range | np.ndarray | int:
    if isinstance(which, int | np.integer):
        return int(rows[int(which)])
    if isinstance(which, slice):
        return rows[which]
    index = which.detach().cpu().numpy() if isinstance(which, Tensor) else np.asarray(which)
    if index.dtype == bool:
        index = np.flatnonzero(index)
    index = index.astype(np.int64)
    if isinstance(rows, np.ndarray):
        return rows[index]
    if len(index) and not (-len(rows) <= index.min() and index.max() < len(rows)):
        raise IndexError(f"rows run from {index.min()} to {index.max()} of {len(rows)}")
    return rows.start + rows.step * np.where(index < 0, index + len(rows), index)


def _places(rows: range | np.ndarray | int) -> slice | list[int] | np.ndarray | int:
    if isinstance(rows, range):
        return slice(rows.start, rows.stop, rows.step) if rows.step > 0 else list(rows)
    return rows


def from_memmap(array: np.memmap) -> Mapped | None:
    """The rows of numpy's map of a file; None where torch cannot lay a tensor over it, so that it must be read.

    The file is mapped anew, so that no network that writes into its input can write to it.
    """
    if not array.dtype.isnative or array.filename is None or any(stride < 0 for stride in array.strides):
        return None
    ours = array if array.mode == "c" else _copy_on_write(array)
    source = torch.from_numpy(np.asarray(ours))
    return Mapped(source, range(len(source)))


def is_memmap(array: Any) -> bool:
    """Whether an array lies in a file; what is computed from one has its class and lies in memory."""
    return isinstance(array, np.memmap) and getattr(array, "_mmap", None) is not None


def map_file(path: Any, dtype: np.dtype, shape: tuple[int, ...], offset: int) -> np.memmap:
    """An array of this shape that begins at this byte of a file."""
    return np.memmap(path, dtype, "c", offset, shape)


def _copy_on_write(array: np.memmap) -> np.ndarray:
    """The same part of the same file in a map of its own, in which writing changes nothing but the map."""
    whole: Any = array
    while isinstance(whole.base, np.memmap):
        whole = whole.base
    size = math.prod(whole.shape) * whole.itemsize
    again = np.memmap(whole.filename, np.uint8, "c", whole.offset, (size,))
    start = array.__array_interface__["data"][0] - whole.__array_interface__["data"][0]
    return np.ndarray(array.shape, array.dtype, again, start, array.strides)
