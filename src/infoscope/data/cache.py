"""Arrays kept on disk under a key: decoded data sets, and arrays on their way to another process."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import numpy as np


def folder() -> Path:
    """`$INFOSCOPE_CACHE`, or `infoscope` in the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("INFOSCOPE_CACHE") or Path(base) / "infoscope")


def keep(key: str, **arrays: np.ndarray) -> None:
    """Keep arrays under `key`, whole or not at all; what is kept already stays."""
    place = folder() / key
    if place.exists():
        return
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=place.parent))
        for name, array in arrays.items():
            np.save(draft / f"{name}.npy", array)
    except OSError as error:
        raise ValueError(
            f"{folder()}: arrays cannot be kept here ({error.strerror}); name another folder in INFOSCOPE_CACHE"
        ) from error
    try:
        draft.rename(place)
    except OSError:  # another process was first
        shutil.rmtree(draft, ignore_errors=True)


def read(key: str) -> dict[str, np.ndarray] | None:
    """The arrays kept under `key`, or None."""
    place = folder() / key
    if not place.is_dir():
        return None
    return {file.stem: np.load(file) for file in place.glob("*.npy")}
