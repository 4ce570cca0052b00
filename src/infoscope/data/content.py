"""What examples are known by: hashes of their content, and ids that tell each apart by where it came from."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from infoscope.data.inputs import Array, Inputs, count, in_blocks, pieces
from infoscope.data.targets import Boxes, Classes, Target


def digest(x: Inputs, y: Tensor, target: Target) -> str:
    """Hash of the content: inputs, target values and what they may be, in this order."""
    h = hashlib.blake2b(digest_of_inputs(x).encode(), digest_size=16)
    h.update(_bytes(y))
    h.update(_described(y, target).encode())
    return h.hexdigest()


def digest_of_inputs(x: Inputs) -> str:
    """Hash of the shape, the type and the bytes of inputs; the order of a mapping's names does not count."""
    if isinstance(x, Array):
        return _digest_of_array(x)
    h = hashlib.blake2b(digest_size=16)
    for name in sorted(x):
        h.update(f"{len(name)} {name} {_digest_of_array(x[name])}".encode())
    return h.hexdigest()


def hashes(x: Inputs) -> Int[np.ndarray, " n"]:
    """A 64-bit hash of every example."""
    found = np.empty(count(x), dtype=np.int64)
    place = 0
    for part in in_blocks(x) if isinstance(x, Array) else pieces(x, 1024):
        parts = [part] if isinstance(part, Tensor) else [part[name] for name in sorted(part)]
        found[place : place + len(parts[0])] = _hashes(parts)
        place += len(parts[0])
    return found


def ids(source: str, n: int) -> Int[np.ndarray, " n"]:
    """64-bit ids: 31 bits of the source's hash, then the row."""
    high = int.from_bytes(hashlib.blake2b(source.encode(), digest_size=4).digest(), "big") >> 1
    return (np.int64(high) << np.int64(32)) + np.arange(n, dtype=np.int64)


def _digest_of_array(x: Array) -> str:
    shape = tuple(x.shape)
    # float32 goes unnamed: fingerprints that were written when there was nothing else still hold.
    head = repr(shape) if x.dtype == torch.float32 else repr((shape, str(x.dtype)))
    h = hashlib.blake2b(head.encode(), digest_size=16)
    for part in in_blocks(x):
        h.update(_bytes(part))
    return h.hexdigest()


def _described(y: Tensor, target: Target) -> str:
    if isinstance(target, Classes) or (isinstance(target, Boxes) and target == Boxes(target.alphabet)):
        return "\0".join(target.alphabet)
    return repr((target, tuple(y.shape), str(y.dtype)))


def _hashes(parts: list[Tensor]) -> Int[np.ndarray, " n"]:
    rows = [part.reshape(len(part), -1).contiguous().view(torch.uint8).numpy() for part in parts]
    together = rows[0] if len(rows) == 1 else np.concatenate(rows, 1)
    return np.array([_hash64(row.tobytes()) for row in together], dtype=np.int64)


def _bytes(x: Tensor) -> memoryview:
    return x.contiguous().reshape(-1).view(torch.uint8).numpy().data


def _hash64(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big", signed=True)
