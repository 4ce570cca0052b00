"""Examples in the cache folder, on their way to another process; what is mapped from disk stays so."""

from __future__ import annotations

import json

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from infoscope.data import cache
from infoscope.data.inputs import Array, Inputs, in_blocks
from infoscope.data.mapped import Mapped, from_memmap
from infoscope.data.texts import Texts


def keep(key: str, x: Inputs, y: Tensor, ids: Int[np.ndarray, " n"]) -> tuple[str, ...]:
    """Keep examples under `key`, and give the names under which `read` finds arrays that are to stay on disk."""
    named = {"x": x} if isinstance(x, Array) else {f"x/{name}": array for name, array in x.items()}
    words = {"texts": _bytes(x.words())} if isinstance(x, Texts) else {}
    cache.keep(key, y=y.numpy(), ids=ids, **{name: _blocks(array) for name, array in named.items()}, **words)
    return tuple(name for name, array in named.items() if isinstance(array, Mapped) and not isinstance(array, Texts))


def read(key: str, mapped: tuple[str, ...]) -> tuple[Inputs, Tensor, Int[np.ndarray, " n"]] | None:
    """The examples kept under `key`, or None."""
    kept = cache.read(key, mapped)
    if kept is None:
        return None
    y, ids = torch.from_numpy(kept.pop("y")), kept.pop("ids")
    if "texts" in kept:
        return Texts.of(json.loads(kept["texts"].tobytes()), np.asarray(kept["x"])), y, ids
    found = {name.removeprefix("x/"): _array(array) for name, array in kept.items()}
    return (found["x"] if "x" in kept else found), y, ids


def _array(array: np.ndarray) -> Array:
    mapped = from_memmap(array) if isinstance(array, np.memmap) else None
    return torch.from_numpy(array) if mapped is None else mapped


def _bytes(texts: list[str]) -> np.ndarray:
    return np.frombuffer(json.dumps(texts).encode(), np.uint8)


def _blocks(x: Array) -> cache.Blocks | np.ndarray:
    if isinstance(x, Tensor):
        return x.numpy()
    return cache.Blocks(tuple(x.shape), x[:0].numpy().dtype, (part.numpy() for part in in_blocks(x)))
