"""Is one side a function of the other, for all that a sample shows? Local residuals that shrink with neighbourhoods."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, Int
from scipy.linalg import eigh
from scipy.spatial import KDTree

from infoscope.mi.numerics.tails import tamed

ANCHORS = 400
"""Neighbourhoods that are looked at."""

WIDER = 4
"""The wider neighbourhood holds so many times as many examples as the narrower."""

DENSEST = 0.9
"""Share of the neighbourhoods that is kept: in the tails the wider ones reach too far."""

EXPONENT = 1.5
"""Between noise, 0, and a kink, 3."""

DIGITS = 64.0
"""Residuals below so many units in the last place of the examples are rounding."""


def is_function(x: Float[np.ndarray, "n p"], y: Float[np.ndarray, "n q"], draws: np.random.Generator) -> bool:
    """Whether some direction of y is a function of x, for all that n examples show.

    A plane is fitted to y over the nearest k examples in x, and over the nearest 4k. Noise leaves as much of y in both;
    a smooth function leaves its curvature, whose square falls as the fourth power of the radius, by 4^(−4/p)
    in p dimensions, or a kink's, whose falls by 4^(−3/p) (after the Gamma test, Stefánsson, Končar & Jones 1997). A
    direction counts as a function where what is left falls by more than 4^(−1.5/p), less what chance may add: what
    noise there is lies below what a neighbourhood resolves. False where there are too few examples to tell.

    >>> draws = np.random.default_rng(0)
    >>> x = draws.normal(size=(1000, 2))
    >>> y = x[:, :1] * x[:, 1:]
    >>> is_function(x, y, draws), is_function(x, y + 0.3 * draws.normal(size=y.shape), draws)
    (True, False)
    """
    finest = max(np.finfo(side.dtype).eps if side.dtype.kind == "f" else 0.0 for side in (x, y))
    a, b = tamed(x), _spanned(tamed(y), DIGITS * finest)
    n, p = a.shape
    few = p + 2 + max(4, p // 2)
    if few * WIDER > n // 4:
        return False
    anchors = draws.permutation(n)[:ANCHORS]
    distance, index = map(np.asarray, KDTree(a).query(a[anchors], few * WIDER))
    index = index[distance[:, -1] <= np.quantile(distance[:, -1], DENSEST)]
    narrow, wide = _left(a, b, index[:, :few]), _left(a, b, index)
    sizes = np.linalg.eigvalsh(wide)
    if sizes[0] < max((DIGITS * finest) ** 2, DIGITS * np.finfo(float).eps * sizes[-1]):
        return True
    freedom = min(len(index), n / few) * (few - p - 1)
    chance = 1 - 3 * math.sqrt(2 / freedom)
    return float(eigh(narrow, wide, eigvals_only=True)[0]) < WIDER ** (-EXPONENT / p) * chance


def _spanned(points: Float[np.ndarray, "n d"], least: float) -> Float[np.ndarray, "n r"]:
    """The points in uncorrelated coordinates of deviation 1, directions of less than this share left out."""
    u, s, _ = np.linalg.svd(points - points.mean(0), full_matrices=False)
    return u[:, s > s[0] * least] * math.sqrt(len(points))


def _left(
    x: Float[np.ndarray, "n p"], y: Float[np.ndarray, "n q"], index: Int[np.ndarray, "m k"]
) -> Float[np.ndarray, "q q"]:
    """Mean covariance of what planes leave of y over these neighbourhoods."""
    design = np.concatenate([np.ones((*index.shape, 1)), x[index] - x[index[:, :1]]], axis=2)
    q, _ = np.linalg.qr(design)
    values = y[index] - y[index].mean(1, keepdims=True)
    rest = values - q @ (q.transpose(0, 2, 1) @ values)
    freedom = index.shape[1] - design.shape[2]
    return np.einsum("mkq,mkr->qr", rest, rest) / len(index) / freedom
