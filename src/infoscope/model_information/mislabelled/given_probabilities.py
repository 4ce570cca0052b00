"""The caller's own out-of-sample probabilities, from a file, checked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float

from infoscope.data.array_file import open_npy, open_npz
from infoscope.data.task import Task
from infoscope.unreadable import listed, unreadable

NAMES = ("probs", "p", "pred_probs", "probabilities")
"""Arrays of an `.npz` that are taken, if it holds several."""

SLACK = 1e-3
"""By which a row may miss 1, as single precision does."""


def read(path: Path, task: Task) -> Float[np.ndarray, "n classes"]:
    """Probabilities (n, classes) from `.npy`, `.npz` or `.csv`, a row an example, a column a class."""
    if not path.is_file():
        raise ValueError(f"{path}: no such file; probs are (n, classes) in .npy, .npz or .csv")
    return checked(_array(path), task, str(path))


def checked(p: np.ndarray, task: Task, where: str = "probs") -> Float[np.ndarray, "n classes"]:
    """The same numbers in double precision; a ValueError unless they are probabilities of this task's classes."""
    if p.dtype.kind not in "fiub" or p.shape != (len(task), task.classes):
        raise ValueError(
            f"{where}: has shape {p.shape} of {p.dtype}; {task.name!r} has {len(task)} examples and {task.classes} "
            "classes: give a row for each, in its order, and a column for each class of the alphabet"
        )
    p = p.astype(np.float64)
    bad = ~((p >= 0).all(1) & (abs(p.sum(1) - 1) <= SLACK))
    if bad.any():
        raise ValueError(
            f"{where}: {int(bad.sum())} of {len(p)} rows are no probabilities, the first is row {int(bad.argmax())}; "
            "each is at least 0 and they sum to 1"
        )
    return p


def _array(path: Path) -> np.ndarray:
    match path.suffix.lower():
        case ".npy":
            return open_npy(path)["x"]
        case ".npz":
            held = open_npz(path)
            name = next((name for name in NAMES if name in held), next(iter(held)) if len(held) == 1 else None)
            if name is None:
                raise ValueError(f"{path}: holds {listed(held)}; name the probabilities 'probs'")
            return held[name]
        case ".csv":
            with unreadable(path, ".csv file", "write numbers, a row an example"):
                lines = path.read_text(encoding="utf-8").splitlines()
                headed = bool(lines) and not _is_number(lines[0].split(",")[0])
                return np.atleast_2d(np.loadtxt(lines[headed:], delimiter=","))
    raise ValueError(f"{path}: probs are read from .npy, .npz or .csv")


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
