"""Files of arrays, `.npz`, `.npy` and `.safetensors`: what they say that they hold is checked before any of it is read.

Damaged and hostile files claim arrays that are not there, or gigabytes in a few kilobytes. So every header is held
against the size of the file, what would be read against the memory that is left, and no object is unpickled.
"""

from __future__ import annotations

import json
import math
import struct
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from infoscope.data.mapped import map_file
from infoscope.run.free_memory import available, mebibytes
from infoscope.unreadable import listed, unreadable

MAPPED_FROM = 1 << 30
"""Bytes from which on an array is mapped from disk rather than read into memory."""

KINDS = "buifcSU"
"""Kinds of elements that are read: numbers and words, neither objects nor records."""

_DEFLATED = 1032  # times as many bytes at most are made of deflated ones
_AXES = 32
_AGAIN = "write it again with numpy.savez"


@dataclass(frozen=True)
class StoredArray:
    """An array in a file, of which only the header was read.

    `place` is the byte at which its elements begin, None where they are compressed; `member` names it in an archive.
    """

    path: Path
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    fortran: bool = False
    place: int | None = None
    member: str = ""

    @property
    def nbytes(self) -> int:
        """What its elements fill."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def stays_on_disk(self) -> bool:
        """Whether it is large, and lies in the file as it is."""
        return self.place is not None and self.nbytes >= MAPPED_FROM

    @property
    def in_memory(self) -> int:
        """Bytes that it takes while it is read and made numbers of eight bytes; none if it stays on disk."""
        return 0 if self.stays_on_disk else self.nbytes + 8 * math.prod(self.shape)

    def read(self) -> np.ndarray:
        """The array, as a map of the file where it stays on disk."""
        if self.stays_on_disk:
            return self._mapped()
        if self.nbytes >= MAPPED_FROM:
            raise ValueError(
                f"{self.path}: its array {self.name!r} is compressed, {mebibytes(self.nbytes)} in memory; write it "
                "with numpy.savez instead of savez_compressed, so that it can stay on disk"
            )
        check_room(self.path, [self])
        with unreadable(self.path, f"{self.path.suffix} file", _AGAIN):
            if self.member:
                with zipfile.ZipFile(self.path) as archive, archive.open(self.member) as stream:
                    found = np.lib.format.read_array(stream, allow_pickle=False)
                    stream.read(1)  # the checksum is looked at when the end is reached
                    return found
            return np.array(self._mapped())

    def _mapped(self) -> np.ndarray:
        assert self.place is not None
        if self.fortran:
            return map_file(self.path, self.dtype, self.shape[::-1], self.place).T
        return map_file(self.path, self.dtype, self.shape, self.place)


class ArrayFile(Mapping[str, np.ndarray]):
    """The arrays of a file by name; each is read when it is asked for."""

    def __init__(self, path: Path, arrays: Iterable[StoredArray]):
        self.path, self.arrays = path, {array.name: array for array in arrays}

    def __getitem__(self, name: str) -> np.ndarray:
        return self.arrays[name].read()

    def __iter__(self) -> Iterator[str]:
        return iter(self.arrays)

    def __len__(self) -> int:
        return len(self.arrays)

    def check(self, names: Iterable[str]) -> None:
        """ValueError unless the file has these arrays."""
        lacks = [name for name in names if name not in self.arrays]
        if lacks:
            raise ValueError(f"{self.path}: lacks the array {lacks[0]!r}; it holds {listed(self.arrays)}")


def check_room(path: Path, arrays: Iterable[StoredArray]) -> None:
    """ValueError if these together would take more than half of the memory that is left."""
    asked, left = sum(array.in_memory for array in arrays), available() // 2
    if asked > left:
        raise ValueError(
            f"{path}: its arrays take {mebibytes(asked)} in memory, and {mebibytes(left)} may be had; write them with "
            "numpy.savez, not savez_compressed, so that large ones stay on disk, or take fewer rows"
        )


def open_npz(path: Path) -> ArrayFile:
    """What an `.npz` holds, by its table of contents and the header of each array."""
    with unreadable(path, ".npz file", _AGAIN):
        with path.open("rb") as file:
            single = file.read(6) == b"\x93NUMPY"
        archive = None if single else zipfile.ZipFile(path)
    if archive is None:
        raise ValueError(f"{path}: not a readable .npz file (it is a single array); name it .npy")
    with archive:
        return ArrayFile(path, [_member(path, archive, info) for info in archive.infolist() if _is_array(info)])


def open_npy(path: Path) -> ArrayFile:
    """The one array of an `.npy`, called `x`."""
    with unreadable(path, ".npy file", "write it again with numpy.save"), path.open("rb") as stream:
        shape, fortran, dtype = _npy_header(stream)
        place = stream.tell()
    array = StoredArray(path, "x", shape, dtype, fortran, place)
    _check(array, path.stat().st_size - place)
    return ArrayFile(path, [array])


def open_safetensors(path: Path) -> ArrayFile:
    """The tensors of a `.safetensors` file."""
    with unreadable(path, ".safetensors file", "write it again with safetensors"), path.open("rb") as file:
        whole, size = path.stat().st_size, struct.unpack("<Q", file.read(8))[0]
        if size > whole - 8:
            raise EOFError(f"its header of {size} bytes goes beyond the end of the file")
        header: dict[str, Any] = json.loads(file.read(size))
        found = [_tensor(path, name, header[name], 8 + size) for name in header if name != "__metadata__"]
    for array, there in found:
        _check(array, there if array.place is not None and array.place + there <= whole else -1)
    return ArrayFile(path, [array for array, _ in found])


def _is_array(info: zipfile.ZipInfo) -> bool:
    return info.filename.endswith(".npy")


def _member(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> StoredArray:
    name = info.filename.removesuffix(".npy")
    stored = info.compress_type == zipfile.ZIP_STORED
    if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(
            f"{path}: its array {name!r} is encrypted, or compressed in a way that numpy has not; {_AGAIN}"
        )
    most = info.compress_size if stored else _DEFLATED * info.compress_size
    if info.file_size > most or info.header_offset + info.compress_size > path.stat().st_size:
        raise ValueError(f"{path}: its array {name!r} claims {info.file_size} bytes that are not there; {_AGAIN}")
    with unreadable(path, ".npz file", _AGAIN), archive.open(info) as stream:
        shape, fortran, dtype = _npy_header(stream)
        inner = stream.tell()
    place = _place(path, info) + inner if stored else None
    array = StoredArray(path, name, shape, dtype, fortran, place, info.filename)
    _check(array, info.file_size - inner)
    return array


def _place(path: Path, info: zipfile.ZipInfo) -> int:
    """Where a member's bytes begin, behind the header that stands before it."""
    with unreadable(path, ".npz file", _AGAIN), path.open("rb") as whole:
        whole.seek(info.header_offset + 26)
        return info.header_offset + 30 + sum(struct.unpack("<HH", whole.read(4)))


def _npy_header(stream: Any) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(stream)


def _check(array: StoredArray, there: int) -> None:
    """ValueError unless a header describes an array that its bytes can be."""
    where = f"{array.path}: its array {array.name!r}"
    if array.dtype.kind not in KINDS or array.dtype.hasobject:
        what = "Python objects" if array.dtype.hasobject else str(array.dtype)[:40]
        raise ValueError(f"{where} holds {what}; write arrays of numbers with numpy.savez")
    if len(array.shape) > _AXES or any(size < 0 for size in array.shape):
        raise ValueError(f"{where} has the shape {listed(array.shape)}, which none can have; {_AGAIN}")
    if array.nbytes != there:
        raise ValueError(f"{where} should fill {array.nbytes} bytes and has {there}: it was cut; {_AGAIN}")


_TYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "<i1", "U8": "<u1",
    "BOOL": "?",
}  # fmt: skip


def _tensor(path: Path, name: str, entry: Any, data: int) -> tuple[StoredArray, int]:
    """A tensor by its entry in the header, and how many bytes are meant for it."""
    if entry["dtype"] not in _TYPES:
        raise ValueError(f"{name!r} holds {entry['dtype']!r}; write it as one of {', '.join(_TYPES)}")
    shape, (start, stop) = tuple(entry["shape"]), entry["data_offsets"]
    if not all(isinstance(size, int) and size >= 0 for size in (*shape, start, stop)):
        raise ValueError(f"the shape and the place of {name!r} are no whole numbers from 0 on")
    return StoredArray(path, name, shape, np.dtype(_TYPES[entry["dtype"]]), place=data + start), stop - start
