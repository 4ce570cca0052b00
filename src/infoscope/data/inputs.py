"""What a network is given: one array, or a mapping of arrays with one first axis, in memory or mapped from disk."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar, overload

import numpy as np
import torch
from torch import Tensor

from infoscope.data.mapped import Mapped, from_memmap, is_memmap

Array = Tensor | Mapped
"""In memory, or on disk until it is indexed; both have `len`, `shape`, `dtype`, `[rows]`, `split` and `to`."""

Inputs = Array | Mapping[str, Array]
"""Examples along the first axis, of any dtype; a mapping goes to a network by keyword."""

Batch = Tensor | dict[str, Tensor]
"""Inputs that were read into memory."""

Shape = tuple[int, ...] | dict[str, tuple[int, ...]]
"""Of one example."""

PIECE = 1 << 21
"""Bytes that are read at a time where a whole set is gone through."""

MOST_DENSE = 1 << 33
"""Bytes beyond which a sparse matrix is not made dense."""

T = TypeVar("T")


def each(x: Inputs, change: Callable[[Any], T]) -> T | dict[str, T]:
    """The inputs with every array changed in one way.

    >>> each({"ids": torch.arange(3)}, lambda t: t[:2])
    {'ids': tensor([0, 1])}
    """
    return change(x) if isinstance(x, Array) else {name: change(t) for name, t in x.items()}


def count(x: Inputs) -> int:
    """How many examples there are."""
    return len(x) if isinstance(x, Array) else len(next(iter(x.values())))


def shape_of(x: Inputs) -> Shape:
    """Shape of one example, by name for a mapping."""
    return each(x, lambda t: tuple(t.shape[1:]))


def take(x: Inputs, rows: Any) -> Batch:
    """These rows of every array, in memory; of arrays mapped from disk nothing else is read."""
    return each(x, lambda t: t[rows])


def select(x: Inputs, rows: Any) -> Inputs:
    """These rows of every array; of arrays mapped from disk nothing is read."""
    return each(x, lambda t: t[rows] if isinstance(t, Tensor) else t.select(rows))


@overload
def to(x: Batch, device: str | torch.device) -> Batch: ...
@overload
def to(x: Inputs, device: str | torch.device) -> Inputs: ...
def to(x: Inputs, device: str | torch.device) -> Inputs:
    """The inputs on a device; those mapped from disk go there when they are read."""
    return each(x, lambda t: t.to(device))


@overload
def pieces(x: Array, size: int) -> Iterator[Tensor]: ...


@overload
def pieces(x: Inputs, size: int) -> Iterator[Batch]: ...


def pieces(x: Inputs, size: int) -> Iterator[Any]:
    """The inputs in pieces of at most `size` examples."""
    return (take(x, slice(start, start + size)) for start in range(0, count(x), size))


def as_inputs(x: Any, name: str = "x", *, as_is: bool = False) -> Inputs:
    """Inputs as float32 vectors or channels-first images; a mapping or `as_is` keeps type and axes.

    One array is (n,), (n, d), (n, h, w) for grey images, or images with channels first or last; bytes are divided by
    255. In a mapping every array stays what it is, tokens integers and masks booleans. numpy's maps of files stay on
    disk. A ValueError says what is wrong with anything else.
    """
    if isinstance(x, Mapping):
        return _mapping(x, name)
    raw = _array(x, f"{name}: x")
    _check_finite(raw, f"{name}: x")
    if as_is:
        return raw
    data = _as_floats(_arranged(raw, name))
    if raw.dtype == torch.float64:  # what float32 can't hold has become infinite
        _check_finite(data, f"{name}: x")
    return data


def one_array(x: Inputs, name: str) -> Tensor:
    """Inputs that are one array, in memory; a ValueError for a mapping."""
    if isinstance(x, Array):
        return x if isinstance(x, Tensor) else x[:]
    raise ValueError(f"{name!r} has inputs by name ({', '.join(x)}); this takes one array an example")


def _mapping(x: Mapping[str, Any], name: str) -> Inputs:
    if not x or not all(isinstance(key, str) for key in x):
        raise ValueError(f"{name}: x is a mapping of {', '.join(map(repr, x)) or 'nothing'}; give arrays by name")
    arrays = {key: _array(value, f"{name}: x[{key!r}]") for key, value in x.items()}
    sizes = {key: len(array) for key, array in arrays.items()}
    if len(set(sizes.values())) > 1 or 0 in sizes.values():
        told = ", ".join(f"{key} {size}" for key, size in sizes.items())
        raise ValueError(
            f"{name}: the arrays of x have unlike numbers of rows ({told}); give one row an example, n ≥ 1"
        )
    for key, array in arrays.items():
        _check_finite(array, f"{name}: x[{key!r}]")
    return arrays


def _array(x: Any, where: str) -> Array:
    """A tensor over the caller's numbers, without a copy where that can be."""
    if isinstance(x, Tensor):
        found = x.detach().cpu()
        found = found.float() if found.dtype == torch.bfloat16 else found  # numpy has no such type; nothing is lost
    elif isinstance(x, Mapped):
        return x
    elif is_memmap(x) and x.ndim and (mapped := from_memmap(x)) is not None:
        return mapped
    else:
        array = _numeric(x, where)
        found = torch.as_tensor(np.array(array) if not array.flags.writeable else np.ascontiguousarray(array))
    if found.ndim == 0 or 0 in found.shape or found.is_complex():
        raise ValueError(
            f"{where} has shape {tuple(found.shape)} of {found.dtype}; give numbers, one row an example, n ≥ 1"
        )
    return found


def _numeric(x: Any, where: str) -> np.ndarray:
    """Anything that numpy reads as numbers; scipy's sparse matrices are made dense."""
    if hasattr(x, "toarray"):
        if 4 * math.prod(x.shape) > MOST_DENSE:
            raise ValueError(f"{where} is sparse, {x.shape}, and too large to be made dense; reduce its columns first")
        x = x.toarray()
    array = np.asarray(x)
    if array.dtype.kind not in "buif":
        raise ValueError(f"{where} holds {array.dtype}, not numbers; turn it into numeric features first")
    return array.astype(np.float64 if array.dtype.itemsize > 8 else array.dtype.newbyteorder("="), copy=False)


def _arranged(raw: Array, name: str) -> Array:
    """(n, d), or (n, channels, height, width): views, nothing is moved."""
    if raw.ndim not in (1, 2, 3, 4):
        raise ValueError(
            f"{name}: x has shape {tuple(raw.shape)}; give (n, d) vectors or (n, channels, height, width) images, "
            "n ≥ 1, or say as_is=True"
        )
    return _view(raw, _axes)


def _axes(x: Tensor) -> Tensor:
    if x.ndim in (1, 3):
        x = x.unsqueeze(1)  # a single feature, or grey images without a channel axis
    if x.ndim == 4 and x.shape[1] not in (1, 3, 4) and x.shape[3] in (1, 3, 4):
        x = x.permute(0, 3, 1, 2)
    return x


def _view(x: Array, change: Callable[[Tensor], Tensor]) -> Array:
    if isinstance(x, Tensor):
        return change(x)
    return dataclasses.replace(x, source=change(x.source))


def _as_floats(x: Array) -> Array:
    if isinstance(x, Tensor):
        return floats(x)
    return x if x.dtype == torch.float32 else Mapped(x.source, x.rows, floats, x.device)


def floats(x: Tensor) -> Tensor:
    """As float32, bytes divided by 255; block by block, since memory that is new is slow."""
    if x.dtype != torch.uint8:
        return x.float().contiguous()
    found, place = torch.empty(x.shape), 0
    for part in in_blocks(x):
        torch.div(part.float(), 255, out=found[place : place + len(part)])
        place += len(part)
    return found


def in_blocks(x: Array) -> Iterator[Tensor]:
    """All examples, so many at a time that they are few megabytes."""
    size = max(1, PIECE // max(1, math.prod(x.shape[1:]) * x.dtype.itemsize))
    return (x[start : start + size] for start in range(0, len(x), size))


def _check_finite(x: Array, where: str) -> None:
    if not x.dtype.is_floating_point:
        return
    bad, place = torch.empty(len(x), dtype=torch.bool), 0
    for part in in_blocks(x):
        bad[place : place + len(part)] = ~torch.isfinite(part.reshape(len(part), -1)).all(1)
        place += len(part)
    if bad.any():
        raise ValueError(
            f"{where} has {int(bad.sum())} of {len(x)} rows with NaN or infinity, the first is row "
            f"{int(bad.nonzero()[0])}; drop or fix them"
        )
