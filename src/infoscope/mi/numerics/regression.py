"""Nonlinear regression whose residuals are those of examples left out: a ridge on random features, in closed form."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

FEATURES = 300
"""Cosines of random projections: at most so many, and at most a quarter as many as there are examples."""

NARROWEST, WIDEST = 0.3, 3.0
"""Length scales of the cosines, drawn evenly on a logarithmic scale, in units of the typical distance √d."""

RIDGES = np.geomspace(1e-8, 1.0, 9)
"""Penalties that are tried, in units of the number of examples."""

BETTER = 0.02
"""Nats that curves must save beside straight lines, to be taken."""


def left_out_residuals(
    x: Float[np.ndarray, "n p"], y: Float[np.ndarray, "n q"], draws: np.random.Generator
) -> Float[np.ndarray, "n q"]:
    """Y − f(x), each example by an f that was fitted to the others: straight, or curved where that leaves less.

    f is a ridge regression on the columns of x and on random Fourier features of them (Rahimi & Recht 2007). Leaving
    out example i divides its residual by 1 − H_ii, so no fit is made twice (Allen's PRESS); of the penalties that one
    is taken whose residuals have the smallest determinant.
    """
    n, p = x.shape
    straight = _path(np.hstack([np.ones((n, 1)), x]), y, np.zeros(1))
    count = min(FEATURES, n // 4)
    scale = math.sqrt(p) * np.exp(draws.uniform(math.log(NARROWEST), math.log(WIDEST), count))
    phase = draws.uniform(0, 2 * math.pi, count)
    waves = math.sqrt(2 / count) * np.cos(x @ (draws.normal(size=(p, count)) / scale) + phase)
    curved = _path(np.hstack([np.ones((n, 1)), x, waves]), y, RIDGES * n)
    return curved if log_volume(curved) < log_volume(straight) - BETTER else straight


def log_volume(points: Float[np.ndarray, "n d"]) -> float:
    """Half the log-determinant of the second moments."""
    return 0.5 * float(np.linalg.slogdet(points.T @ points / len(points))[1])


def _path(
    features: Float[np.ndarray, "n m"], y: Float[np.ndarray, "n q"], penalties: Float[np.ndarray, " r"]
) -> Float[np.ndarray, "n q"]:
    """Residuals of examples left out, at the best of these penalties."""
    u, s, _ = np.linalg.svd(features, full_matrices=False)
    kept = s > s[0] * len(features) * np.finfo(float).eps
    u, s = u[:, kept], s[kept]
    along, squares = u.T @ y, np.square(u)
    best, least = y, math.inf
    for penalty in penalties:
        shrink = s**2 / (s**2 + penalty)
        leverage = np.minimum(squares @ shrink, 1 - 1e-6)
        residuals = (y - u @ (shrink[:, None] * along)) / (1 - leverage)[:, None]
        if (volume := log_volume(residuals)) < least:
            best, least = residuals, volume
    return best
