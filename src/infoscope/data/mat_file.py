"""Dense arrays of real numbers in MATLAB 5 files (`save -v6`, `-v7`).

Read here, not by scipy's compiled reader, which ends the whole process at some damaged files. The layout is that of
"MAT-File Format" (The MathWorks): a header of 128 bytes, then elements, each a type, a size and that many bytes; an
array is an element of elements, and may be compressed.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from infoscope.run.free_memory import available, mebibytes
from infoscope.unreadable import listed, unreadable

_REMEDY = "save dense arrays of real numbers as version 7, save -v7"
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}  # types of data
_MATRIX, _COMPRESSED = 14, 15
_CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
_COMPLEX = 0x0800


def arrays(path: Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The arrays of these names, in MATLAB's shapes; a ValueError of one line where they cannot be had."""
    with unreadable(path, ".mat file", _REMEDY):
        data = path.read_bytes()
        order = {b"IM": "<", b"MI": ">"}.get(data[126:128])
    if order is None:
        raise ValueError(f"{path}: not a MATLAB 5 file; {_REMEDY}")
    found: dict[str, np.ndarray] = {}
    others: list[str] = []
    for kind, body in _elements(path, data[128:], order):
        matrix = _unpacked(path, body, order) if kind == _COMPRESSED else body if kind == _MATRIX else None
        if matrix is None:
            continue
        name, parts = _named(path, matrix, order)
        if name in names:
            found[name] = _numbers(path, name, parts, order)
        else:
            others.append(name)
    lacks = [name for name in names if name not in found]
    if lacks:
        raise ValueError(f"{path}: lacks the array {lacks[0]!r}; it holds {listed([*found, *others])}")
    return found


def _elements(path: Path, data: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """The type and the bytes of one element after another."""
    place = 0
    while place < len(data):
        tag = data[place : place + 8]
        if len(tag) < 8:
            raise ValueError(f"{path}: a damaged .mat file, an element ends within its tag; {_REMEDY}")
        kind, size = (int(word) for word in np.frombuffer(tag, f"{order}u4"))
        start, step = place + 8, size if kind == _COMPRESSED else -(-size // 8) * 8
        if kind >> 16:  # up to four bytes, in the tag itself
            kind, size, start, step = kind & 0xFFFF, kind >> 16, place + 4, 0
        if start + size > len(data) or (step == 0 and size > 4):
            raise ValueError(f"{path}: a damaged .mat file, an element is longer than the file; {_REMEDY}")
        yield kind, data[start : start + size]
        place += 8 + step


def _unpacked(path: Path, packed: bytes, order: str) -> bytes | None:
    """The array in a compressed element; None if it holds something else."""
    most, unzip = available() // 2, zlib.decompressobj()
    with unreadable(path, ".mat file", _REMEDY):
        tag = unzip.decompress(packed, 8)
        kind, size = (int(word) for word in np.frombuffer(tag, f"{order}u4"))
        if kind != _MATRIX:
            return None
        body = unzip.decompress(unzip.unconsumed_tail, min(size, most) + 1)
    if size > most:
        raise ValueError(f"{path}: its arrays take {mebibytes(size)} in memory, and {mebibytes(most)} may be had")
    if len(body) != size:
        raise ValueError(f"{path}: a damaged .mat file, an array holds {len(body)} of {size} bytes; {_REMEDY}")
    return body


def _named(path: Path, matrix: bytes, order: str) -> tuple[str, list[tuple[int, bytes]]]:
    """The name of an array, and its parts: flags, sizes, name, real numbers, perhaps imaginary ones."""
    parts = list(_elements(path, matrix, order))
    if len(parts) < 3:
        return "", parts
    return parts[2][1].decode("latin-1"), parts


def _numbers(path: Path, name: str, parts: list[tuple[int, bytes]], order: str) -> np.ndarray:
    flags = int.from_bytes(parts[0][1][:4], "little" if order == "<" else "big")
    kind = _NUMBERS.get(parts[3][0]) if len(parts) == 4 else None
    if kind is None or flags & 0xFF not in _CLASSES or flags & _COMPLEX:
        raise ValueError(f"{path}: {name!r} is no dense array of real numbers; {_REMEDY}")
    with unreadable(path, ".mat file", _REMEDY):
        shape = tuple(int(size) for size in np.frombuffer(parts[1][1], f"{order}i4"))
        values = np.frombuffer(parts[3][1], order + kind)
    if len(shape) < 2 or min(shape) < 0 or math.prod(shape) != len(values):
        raise ValueError(f"{path}: a damaged .mat file, {name!r} has {len(values)} numbers for {shape}; {_REMEDY}")
    return values.astype(_CLASSES[flags & 0xFF]).reshape(shape, order="F")
