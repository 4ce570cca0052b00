"""Tensors by path (names and numbers) in one safetensors file: the form in which nested mappings are kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from infoscope.run.look import pack, unpack

Path = tuple[str | int, ...]


def pack_paths(tensors: Mapping[Path, Tensor], **facts: Any) -> bytes:
    """Tensors by path, and JSON-ready facts."""
    paths = [list(path) for path in tensors]
    return pack({str(i): tensor for i, tensor in enumerate(tensors.values())}, paths=paths, facts=facts)


def unpack_paths(data: bytes) -> tuple[dict[Path, Tensor], dict[str, Any]]:
    """The tensors by path and the facts that `pack_paths` wrote.

    >>> import torch
    >>> unpack_paths(pack_paths({("epoch", 3, "w"): torch.ones(1)}, seed=7))
    ({('epoch', 3, 'w'): tensor([1.])}, {'seed': 7})
    """
    tensors, held = unpack(data)
    return {tuple(path): tensors[str(i)] for i, path in enumerate(held["paths"])}, held["facts"]


def below(tensors: Mapping[Path, Tensor], *beginning: str | int) -> dict[Any, Tensor]:
    """The tensors one step below this beginning of their paths, by that step.

    >>> import torch
    >>> list(below({("epoch", 1): torch.ones(1), ("epoch", 2): torch.ones(1), ("loss",): torch.ones(1)}, "epoch"))
    [1, 2]
    """
    n = len(beginning)
    return {path[n]: tensor for path, tensor in tensors.items() if path[:n] == beginning and len(path) == n + 1}
