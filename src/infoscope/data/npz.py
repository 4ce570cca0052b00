"""Files of arrays: `.npz` and `.safetensors` with `x`, `y` and perhaps `classes`, `.npy` with `x` beside one with `y`.

Arrays beyond `MAPPED_FROM` bytes stay on disk and are read a batch at a time.
"""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from infoscope.data.mapped import map_file
from infoscope.data.raw import Raw, Reading
from infoscope.data.targets import Classes

MAPPED_FROM = 1 << 30
"""Bytes from which on an array is mapped from disk rather than read into memory."""


def read_npz(path: Path, reading: Reading) -> Raw:
    """Arrays `x`, `y`, and `classes` (names) if some classes may be missing, as `numpy.savez` writes them."""
    try:
        file = np.load(path, allow_pickle=False)
        if not isinstance(file, np.lib.npyio.NpzFile):
            raise ValueError("it is a single array; name it .npy")
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise _unreadable(path, error) from error
    with file:  # only what is asked for is read: a decoder's inputs come without their labels
        return _raw(path, file.files, lambda name: _member(path, file, name), reading)


def read_npy(path: Path, reading: Reading) -> Raw:
    """Inputs, with what is to be predicted in the file of the same name that ends in `.y.npy`."""
    beside = path.with_name(f"{path.stem}.y.npy")
    if reading.labels and not beside.is_file():
        raise ValueError(f"{path}: has inputs only; put what is to be predicted into {beside.name} beside it")
    return _raw(path, ["x", "y"], lambda name: _npy(path if name == "x" else beside), reading)


def read_safetensors(path: Path, reading: Reading) -> Raw:
    """Tensors `x` and `y`, mapped from the file; names `x/…` make a mapping of inputs."""
    try:
        with path.open("rb") as file:
            size = struct.unpack("<Q", file.read(8))[0]
            header: dict[str, Any] = json.loads(file.read(size))
    except (OSError, ValueError, struct.error) as error:
        raise ValueError(f"{path}: not a readable .safetensors file ({str(error)[:80]})") from error
    header.pop("__metadata__", None)
    return _raw(path, list(header), lambda name: _stored(path, name, header[name], 8 + size), reading)


def _raw(path: Path, names: list[str], get: Callable[[str], np.ndarray], reading: Reading) -> Raw:
    parts = [name for name in names if name.startswith("x/")]
    if "x" not in names and not parts:
        raise ValueError(f"{path}: has no array 'x'; it has: {', '.join(names) or 'none'}")
    x = get("x") if "x" in names else {name.removeprefix("x/"): get(name) for name in parts}
    y = get("y") if reading.labels and "y" in names else None
    target = Classes(tuple(map(str, get("classes")))) if reading.labels and "classes" in names else None
    return Raw(x, y, target)


def _member(path: Path, file: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """An array of an archive; a large one that is stored as it is stays on disk."""
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(f"{name}.npy")
        if info.file_size < MAPPED_FROM:
            return _checked(path, lambda: file[name])
        if info.compress_type != zipfile.ZIP_STORED:
            raise ValueError(
                f"{path}: its array {name!r} is compressed, {info.file_size >> 20} MiB in memory; write it with "
                "numpy.savez instead of savez_compressed, so that it can stay on disk"
            )
        with archive.open(info) as stream:
            shape, fortran, dtype = _npy_header(stream)
            inner = stream.tell()
    with path.open("rb") as whole:
        whole.seek(info.header_offset + 26)
        lengths = struct.unpack("<HH", whole.read(4))
    offset = info.header_offset + 30 + sum(lengths) + inner
    return _laid(path, dtype, shape, offset, fortran)


def _npy(path: Path) -> np.ndarray:
    large = path.stat().st_size >= MAPPED_FROM
    return _checked(path, lambda: np.load(path, mmap_mode="c" if large else None, allow_pickle=False))


def _checked(path: Path, load: Callable[[], np.ndarray]) -> np.ndarray:
    try:
        return load()
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> ValueError:
    why = "it holds Python objects" if "pickle" in str(error) else str(error)[:80]
    return ValueError(f"{path}: not a readable {path.suffix} file ({why}); write arrays of numbers with numpy.savez")


def _npy_header(stream: Any) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(stream)


def _laid(path: Path, dtype: np.dtype, shape: tuple[int, ...], offset: int, fortran: bool) -> np.ndarray:
    return map_file(path, dtype, shape[::-1], offset).T if fortran else map_file(path, dtype, shape, offset)


_TYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "<i1", "U8": "<u1",
    "BOOL": "?",
}  # fmt: skip


def _stored(path: Path, name: str, entry: Mapping[str, Any], data: int) -> np.ndarray:
    if entry["dtype"] not in _TYPES:
        raise ValueError(f"{path}: {name!r} holds {entry['dtype']}; write it as one of {', '.join(_TYPES)}")
    start, stop = entry["data_offsets"]
    array = map_file(path, np.dtype(_TYPES[entry["dtype"]]), tuple(entry["shape"]), data + start)
    return array if stop - start >= MAPPED_FROM else np.array(array)
