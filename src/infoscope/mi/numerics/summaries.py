"""A few numbers in place of many columns: what they share the columns share, too, whatever is left out."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from infoscope.mi.numerics.normal_scores import normal_scores

DIRECTIONS = 3
"""Principal directions that are kept of either side."""

Points = Float[np.ndarray, "_n _d"]


def summaries(x: Points, y: Points) -> Iterator[tuple[str, Points, Points]]:
    """Pairs of summaries of both sides by what they are: functions of one side alone, of its columns' normal scores.

    The distance from the centre in units of the covariance, which is all that elliptical sides without correlation
    share; and the principal directions, along which clusters lie apart.
    """
    (far_x, main_x), (far_y, main_y) = (_summed(normal_scores(side)) for side in (x, y))
    yield "the distances from the centre", far_x, far_y
    if min(x.shape[1], y.shape[1]) > DIRECTIONS:
        yield f"{DIRECTIONS} principal directions", main_x, main_y


def _summed(points: Points) -> tuple[Points, Points]:
    u, s, _ = np.linalg.svd(points - points.mean(0), full_matrices=False)
    kept = s > s[0] * max(points.shape) * np.finfo(float).eps
    return np.linalg.norm(u[:, kept], axis=1, keepdims=True), u[:, :DIRECTIONS] * s[:DIRECTIONS]
