"""Rows of integers as single 64-bit codes."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int, Integer, UInt64

SEED = 20180425
"""The multipliers of the row hash are drawn from this seed, so that codes are the same everywhere."""


def row_codes(rows: Integer[np.ndarray, "n d"]) -> UInt64[np.ndarray, " n"]:
    """A 64-bit code a row, in O(n d) and without sorting rows: equal for equal rows, and else different.

    Multilinear hash Σ_j a_j·row_j mod 2^64 with random odd a_j (Carter & Wegman 1979): rows that differ in one column
    never collide, others with probability 2^(b−63), where 2^b is the largest power of two that divides all their
    differences; the union over pairs is below 10^−10 for 10,000 rows of small integers.

    >>> a, b, c = row_codes(np.array([[1, 2], [2, 1], [1, 2]]))
    >>> bool(a == c), bool(a == b)
    (True, False)
    """
    weights = np.random.default_rng(SEED).integers(0, 2**64, rows.shape[1], dtype=np.uint64) | np.uint64(1)
    return np.einsum("ij,j->i", rows.astype(np.int64, copy=False).view(np.uint64), weights)


def as_labels(codes: np.ndarray) -> tuple[Int[np.ndarray, " n"], int]:
    """Codes as labels 0 … C − 1 in increasing order of code, and C."""
    order = np.argsort(codes)
    ordered = codes[order]
    steps = np.zeros(len(codes), dtype=np.int64)
    np.cumsum(ordered[1:] != ordered[:-1], out=steps[1:])
    labels = np.empty_like(steps)
    labels[order] = steps
    return labels, int(steps[-1]) + 1
