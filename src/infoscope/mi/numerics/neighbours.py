"""Nearest neighbours in the maximum norm, exactly, with ties, in few dimensions by trees and in many by tiles."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import KDTree
from scipy.spatial.distance import cdist

TREE_DIMENSIONS = 12
"""A tree prunes up to about so many dimensions; beyond, all distances are computed in tiles."""

TILE = 1 << 21
"""Distances that are held at a time."""


def standardised(points: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n m"]:
    """Columns at mean 0 and deviation 1, constant ones dropped: information stays as it is, scale has no effect."""
    x = points.astype(np.float64)
    x = x[:, (x != x[:1]).any(0)]
    x -= x.mean(0)
    # Dividing by the largest first keeps squares of values near 1e-200 and 1e200 representable.
    x /= np.abs(x).max(0, initial=0)
    return x / x.std(0)


def nearest(points: Float[np.ndarray, "n d"], k: int) -> tuple[Float[np.ndarray, "n k"], Int[np.ndarray, "n k"]]:
    """Distances to the k nearest other points in increasing order, and which they are."""
    n, d = points.shape
    if d <= TREE_DIMENSIONS:
        return _from_tree(points, k, np.inf)
    return _from_tiles(_tiles(points), n, k)


def nearest_euclidean(
    points: Float[np.ndarray, "n d"], k: int
) -> tuple[Float[np.ndarray, "n k"], Int[np.ndarray, "n k"]]:
    """As `nearest`, in the Euclidean norm."""
    if points.shape[1] <= TREE_DIMENSIONS:
        return _from_tree(points, k, 2)
    return _from_tiles(_euclidean_tiles(points), len(points), k)


def count_within(
    points: Float[np.ndarray, "n d"], radius: Float[np.ndarray, " n"], closed: bool = False
) -> Int[np.ndarray, " n"]:
    """How many other points lie nearer than each point's radius; with `closed`, at the radius too."""
    # The largest number below the radius makes "nearer than" of "at most".
    reach = radius if closed else np.nextafter(radius, -np.inf)
    if points.shape[1] == 1:
        counts = _count_on_a_line(points[:, 0], reach)
    elif points.shape[1] <= TREE_DIMENSIONS:
        counts = KDTree(points).query_ball_point(points, np.maximum(reach, 0), p=np.inf, return_length=True)
    else:
        counts = np.concatenate([(tile <= reach[rows, None]).sum(1) for rows, tile in _tiles(points)])
    return np.where(reach < 0, 0, counts - 1)


def _count_on_a_line(x: Float[np.ndarray, " n"], reach: Float[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """Points of the line with |x_j − x_i| ≤ reach_i as computed, themselves included."""
    ordered = np.sort(x)
    return _at_most(ordered, x, reach) + _at_most(-ordered[::-1], -x, reach) - len(x)


def _at_most(
    ordered: Float[np.ndarray, " n"], x: Float[np.ndarray, " n"], reach: Float[np.ndarray, " n"]
) -> Int[np.ndarray, " n"]:
    """How many of the ordered values have value − x_i ≤ reach_i.

    x + reach is rounded, and the neighbour that defines the radius lies at this very edge: the values on either side
    of it are looked at again.
    """
    n = len(ordered)
    stop = np.searchsorted(ordered, x + reach, "right")
    below = ordered[np.maximum(stop - 1, 0)]
    above = ordered[np.minimum(stop, n - 1)]
    stop = np.where((stop < n) & (above - x <= reach), np.searchsorted(ordered, above, "right"), stop)
    return np.where((stop > 0) & (below - x > reach), np.searchsorted(ordered, below, "left"), stop)


def _from_tiles(tiles: Iterator[tuple[slice, np.ndarray]], n: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    distance, index = np.empty((n, k)), np.empty((n, k), dtype=np.int64)
    for rows, tile in tiles:
        tile[np.arange(len(tile)), np.arange(rows.start, rows.start + len(tile))] = np.inf
        some = np.argpartition(tile, k - 1, axis=1)[:, :k]
        values = np.take_along_axis(tile, some, 1)
        order = np.argsort(values, axis=1)
        index[rows], distance[rows] = np.take_along_axis(some, order, 1), np.take_along_axis(values, order, 1)
    return distance, index


def _from_tree(points: Float[np.ndarray, "n d"], k: int, norm: float) -> tuple[np.ndarray, np.ndarray]:
    """The k neighbours from k + 1, of which one is the point itself unless more than k others coincide with it."""
    found: Any = KDTree(points).query(points, k + 1, p=norm)
    distance, index = found
    keep = index != np.arange(len(index))[:, None]
    keep[keep.all(1), -1] = False
    return distance[keep].reshape(-1, k), index[keep].reshape(-1, k)


def _tiles(points: Float[np.ndarray, "n d"]) -> Iterator[tuple[slice, Float[np.ndarray, "m n"]]]:
    """Distances of a slice of the points to all of them, slice by slice."""
    step = max(1, TILE // len(points))
    columns = np.ascontiguousarray(points.T)
    for i in range(0, len(points), step):
        tile = np.zeros((min(step, len(points) - i), len(points)))
        difference = np.empty_like(tile)
        for column in columns:
            np.subtract(column[i : i + step, None], column, out=difference)
            np.maximum(tile, np.abs(difference, out=difference), out=tile)
        yield slice(i, i + len(tile)), tile


def _euclidean_tiles(points: Float[np.ndarray, "n d"]) -> Iterator[tuple[slice, Float[np.ndarray, "m n"]]]:
    step = max(1, TILE // len(points))
    for i in range(0, len(points), step):
        yield slice(i, min(i + step, len(points))), cdist(points[i : i + step], points)
