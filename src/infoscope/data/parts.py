"""Parts of a data set by name: some of its classes, a range of its rows, or the rows that a file lists."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int
from torch import Tensor

from infoscope.unreadable import unreadable

KINDS = ("classes", "rows")


def is_part(which: str) -> bool:
    """Whether a word names a part and no split.

    >>> is_part("classes=0,1"), is_part("train")
    (True, False)
    """
    return which.partition("=")[0] in KINDS and "=" in which


def classes_of(which: str, alphabet: Sequence[str], name: str) -> tuple[int, ...]:
    """The classes that `classes=a,b` names, as places in the alphabet.

    >>> classes_of("classes=cat,emu", ("cat", "dog", "emu"), "zoo")
    (0, 2)
    """
    named = [word.strip() for word in which.partition("=")[2].split(",")]
    if missing := [word for word in named if word not in alphabet]:
        have = ", ".join(list(alphabet)[:10]) + (" …" if len(alphabet) > 10 else "")
        raise ValueError(f"{name!r} has no class {missing[0]!r}; it has: {have}")
    return tuple(alphabet.index(word) for word in named)


def rows_of(which: str, n: int, name: str) -> slice | Int[np.ndarray, " rows"]:
    """The rows that `rows=100..500` or `rows=FILE` names, of n; a file is .npy, or text with a whole number a line.

    >>> rows_of("rows=100..500", 1000, "digits"), rows_of("rows=100..", 1000, "digits")
    (slice(100, 500, None), slice(100, 1000, None))
    """
    words = which.partition("=")[2]
    first, dots, last = words.partition("..")
    if dots and (not first or first.isdigit()) and (not last or last.isdigit()):
        start, stop = int(first or 0), int(last or n)
        if not start < stop <= n:
            raise ValueError(f"{name!r} has {n} examples; {which} names none of them, or more: write rows=0..{n}")
        return slice(start, stop)
    path = Path(words)
    if not path.is_file():
        raise ValueError(f"{name}:{which}: write rows=START..STOP, or the name of a file that lists rows")
    with unreadable(path, "list of rows", "save whole numbers, as .npy or one a line"):
        rows = np.load(path, allow_pickle=False) if path.suffix == ".npy" else np.loadtxt(path, dtype=np.int64, ndmin=1)
    if rows.ndim != 1 or rows.dtype.kind not in "iu" or not len(rows):
        raise ValueError(f"{path}: holds {rows.dtype} of shape {rows.shape}, no list of rows; save whole numbers (n,)")
    if rows.min() < 0 or rows.max() >= n:
        raise ValueError(f"{path}: rows run from {rows.min()} to {rows.max()}, and {name!r} has {n} examples")
    return rows


def kept(y: Int[Tensor, " n"], classes: Sequence[int]) -> Int[np.ndarray, " rows"]:
    """The rows of these classes."""
    return np.flatnonzero(np.isin(y.numpy(), classes))
