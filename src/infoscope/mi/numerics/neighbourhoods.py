"""What lies about each point, in units of the distance to a neighbour: offsets, weights and their moments."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from infoscope.mi.numerics.neighbours import nearest_euclidean

REACH = 4.5
"""Neighbours up to so many bandwidths count; the weight of the next is below 1/20,000."""

FLAT = 1e-12
"""Least variance of a neighbourhood in any direction, in units of its radius: in a flat one the fit stays finite."""

OUT_OF_REACH = 100.0
"""Bandwidths at which a weight is 0."""

NEIGHBOURS = 1 << 20
"""Coordinates of neighbours that are held at a time."""

ALL = 1 << 21
"""Coordinates of all points that are held at a time."""


def neighbourhoods(
    points: Float[np.ndarray, "n d"], k: int
) -> tuple[Float[np.ndarray, " n"], Iterator[Float[np.ndarray, "rows m d"]]]:
    """ρ, and the offsets in units of ρ of all neighbours whose weight counts, some rows at a time."""
    n, d = points.shape
    m = math.ceil(k * REACH**d)
    if m < n // 4:
        distance, index = nearest_euclidean(points, m)
        return distance[:, k - 1], offsets(points, index, distance[:, k - 1])
    radius = nearest_euclidean(points, k)[0][:, -1]
    return radius, _all_offsets(points, radius)


def _all_offsets(
    points: Float[np.ndarray, "n d"], radius: Float[np.ndarray, " n"]
) -> Iterator[Float[np.ndarray, "rows m d"]]:
    """Offsets to all points; a point's own is put out of reach."""
    n, d = points.shape
    step = max(1, ALL // (n * d))
    for i in range(0, n, step):
        z = (points - points[i : i + step, None]) / radius[i : i + step, None, None]
        z[np.arange(len(z)), np.arange(i, i + len(z))] = OUT_OF_REACH
        yield z


def weights(z: Float[np.ndarray, "n m d"]) -> Float[np.ndarray, "n m"]:
    """e^(−‖z‖²/2)."""
    return np.exp(-0.5 * np.square(z).sum(2))


def moments(
    z: Float[np.ndarray, "n m d"], weight: Float[np.ndarray, "n m"], more: Any = 0.0, more_spread: Any = 0.0
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, "n d"], Float[np.ndarray, "n d d"]]:
    """Sum of weights, weighted mean and weighted covariance of offsets."""
    d = z.shape[2]
    total = weight.sum(1) + more
    weighted = weight[..., None] * z
    mean = weighted.sum(1) / total[:, None]
    outer = np.matmul(weighted.transpose(0, 2, 1), z) + np.multiply.outer(more_spread, np.eye(d))
    return total, mean, outer / total[:, None, None] - mean[:, :, None] * mean[:, None, :] + FLAT * np.eye(d)


def offsets(
    points: Float[np.ndarray, "n d"], index: Int[np.ndarray, "n m"], radius: Float[np.ndarray, " n"]
) -> Iterator[Float[np.ndarray, "rows m d"]]:
    """From each point to its neighbours in units of its radius, some rows at a time."""
    step = max(1, NEIGHBOURS // (index.shape[1] * points.shape[1]))
    for i in range(0, len(points), step):
        rows = slice(i, i + step)
        yield (points[index[rows]] - points[rows, None]) / radius[rows, None, None]
