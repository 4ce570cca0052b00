"""Arrays kept on disk under a key: decoded data sets, and arrays on their way to another process."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Container, Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

import numpy as np


def folder() -> Path:
    """`$INFOSCOPE_CACHE`, or `infoscope` in the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("INFOSCOPE_CACHE") or Path(base) / "infoscope")


@dataclass(frozen=True)
class Blocks:
    """An array that is written block by block, since the whole may not fit into memory."""

    shape: tuple[int, ...]
    dtype: np.dtype
    parts: Iterable[np.ndarray]


def keep(key: str, **arrays: np.ndarray | Blocks) -> None:
    """Keep arrays under `key`, whole or not at all; what is kept already stays."""
    place = folder() / key
    if place.exists():
        return
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=place.parent))
        for name, array in arrays.items():
            _write(draft / f"{quote(name, safe='')}.npy", array)
    except OSError as error:
        raise ValueError(
            f"{folder()}: arrays cannot be kept here ({error.strerror}); name another folder in INFOSCOPE_CACHE"
        ) from error
    try:
        draft.rename(place)
    except OSError:  # another process was first
        shutil.rmtree(draft, ignore_errors=True)


def read(key: str, mapped: Container[str] = ()) -> dict[str, np.ndarray] | None:
    """The arrays kept under `key`, or None; those in `mapped` stay on disk, as numpy's maps."""
    place = folder() / key
    if not place.is_dir():
        return None
    files = {unquote(file.stem): file for file in place.glob("*.npy")}
    return {name: np.load(file, mmap_mode="c" if name in mapped else None) for name, file in files.items()}


def _write(file: Path, array: np.ndarray | Blocks) -> None:
    if isinstance(array, np.ndarray):
        return np.save(file, array)
    facts = {"descr": np.lib.format.dtype_to_descr(array.dtype), "fortran_order": False, "shape": array.shape}
    with file.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, facts)
        for part in array.parts:
            stream.write(np.ascontiguousarray(part).data)
    return None
