"""The columns of a table, so that each counts alike: numbers, ranks, and categories written as one column a kind."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import ndtri

Table = Float[np.ndarray, "n d"]
Kept = Float[np.ndarray, "n kept"]


def standard(x: Table) -> Kept:
    """Columns of mean 0 and deviation 1, a category's columns scaled together so that two unlike kinds are as far apart
    as two draws of a number are on average; constant columns are left out.

    A rare kind would otherwise lie farther from the others than any number does.

    >>> standard(np.array([[1.0, 5.0], [3.0, 5.0]])).tolist()
    [[-1.0], [1.0]]
    """
    varied = x[:, x.std(0) > 1e-9 * (1 + abs(x).max(0))] if len(x) else x
    scale = varied.std(0)
    for kinds in categories(varied):
        share = varied[:, kinds].mean(0)
        scale[kinds] = np.sqrt(1 - (share**2).sum())
    return (varied - varied.mean(0)) / scale


def ranked(x: Table) -> Kept:
    """Normal scores of the ranks of each column, those of two values and categories as they are: `standard` of that.

    >>> ranked(np.array([[1.0], [10.0], [100.0]])).round(3).ravel().tolist()
    [-1.225, 0.0, 1.225]
    """
    scores = [column if few else _normal_scores(column) for column, few in zip(x.T, _two_valued(x), strict=True)]
    return standard(np.stack(scores, 1) if scores else x)


def categories(x: Table) -> list[slice]:
    """Runs of neighbouring columns of 0 and 1, exactly one of which is 1 in every row: a category, one column a kind.

    >>> categories(np.array([[0.3, 1, 0, 0], [0.1, 0, 1, 0], [0.2, 0, 0, 1]]))
    [slice(1, 4, None)]
    """
    found, start, binary = [], 0, ((x == 0) | (x == 1)).all(0)
    total = np.zeros(len(x))
    for j in range(x.shape[1]):
        if not binary[j] or (total + x[:, j] > 1).any():
            start, total = (j, x[:, j].copy()) if binary[j] else (j + 1, np.zeros(len(x)))
            continue
        total += x[:, j]
        if (total == 1).all():
            found.append(slice(start, j + 1))
            start, total = j + 1, np.zeros(len(x))
    return found


def components(x: Table, most: int) -> Kept:
    """At most so many columns: the leading principal components where there are more, as one rotation of the table."""
    if x.shape[1] <= most:
        return x
    rows = x[:: max(1, len(x) // 4000)]
    _, _, axes = np.linalg.svd(rows - rows.mean(0), full_matrices=False)
    return x @ axes[:most].T


def _two_valued(x: Table) -> Bool[np.ndarray, " d"]:
    return ((x == x.min(0)) | (x == x.max(0))).all(0)


def _normal_scores(column: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    _, place, counts = np.unique(column, return_inverse=True, return_counts=True)
    middle = counts.cumsum() - counts / 2  # of the places that equal values share
    return ndtri(middle / len(column))[place]
