"""What two wide sides share along few directions: learned on some examples, shown on others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float

Points = Float[np.ndarray, "_n _d"]


def directions(x: Points, y: Points, ridges: Sequence[float], size: int) -> Iterator[tuple[Points, Points]]:
    """Ridge canonical directions (Vinod 1976): those along which x and y covary most in units of shrunken variances.

    One pair of matrices for each ridge, which is in units of a side's mean variance a direction.
    """
    (coordinates_x, axes_x, variances_x), (coordinates_y, axes_y, variances_y) = _principal(x), _principal(y)
    for ridge in ridges:
        shrunk_x, shrunk_y = (1 / np.sqrt(v + ridge * v.mean()) for v in (variances_x, variances_y))
        u, _, vt = np.linalg.svd((coordinates_x * shrunk_x).T @ (coordinates_y * shrunk_y), full_matrices=False)
        yield (axes_x * shrunk_x) @ u[:, :size], (axes_y * shrunk_y) @ vt.T[:, :size]


def _principal(points: Points) -> tuple[Points, Points, Float[np.ndarray, " _r"]]:
    """Coordinates along the principal axes, the axes, and the variances along them."""
    u, s, axes = np.linalg.svd(points - points.mean(0), full_matrices=False)
    kept = s > s[0] * max(points.shape) * np.finfo(float).eps
    return u[:, kept] * s[kept], axes[kept].T, s[kept] ** 2 / len(points)
