"""Information along few directions that were learned on other examples: for sides as wide as the sample is long."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int

from infoscope.measurement import NATS_PER_BIT, Bound, Status
from infoscope.mi.estimators.gaussian import Gaussian
from infoscope.mi.method import Claims, Finding
from infoscope.mi.numerics.normal_scores import normal_scores
from infoscope.mi.numerics.projection import directions
from infoscope.mi.sample import Side

FEWEST = 40
"""Examples below which no half of them shows anything."""

RIDGES = (0.01, 0.1, 1.0, 10.0)
"""Penalties that are tried."""

SIZES = (1, 2, 4, 8)
"""Numbers of directions that are tried."""

LEARNED = 0.7
"""Share of a half's examples that directions are fitted to, while the rest says how far to shrink, and how many."""

Points = Float[np.ndarray, "_n _d"]
Rows = Int[np.ndarray, " _m"]


@dataclass(frozen=True)
class Projected:
    """I(AᵀX; BᵀY) ≤ I(X;Y), A and B ridge canonical directions learned on one half, measured on the other, and again.

    Data processing: what directions learned elsewhere share is shared by the sides, and no overfitting makes it more.
    For any number of columns. The information between the projections is that of their normal copula. The two halves
    learn different directions: what they differ by counts as an error, and so do correlations of single columns that
    the directions don't hold.

    >>> draws = np.random.default_rng(0)
    >>> x = draws.normal(size=(400, 300))
    >>> y = np.hstack([x[:, :1] + 0.3 * draws.normal(size=(400, 1)), draws.normal(size=(400, 200))])
    >>> Projected().estimate(Side(x), Side(y), 0).bound.name
    'LOWER'
    """

    takes: ClassVar[tuple[str, ...]] = ("points-points",)
    subsampled: ClassVar[bool] = False
    claims = Claims(assumes="normal", errs="down", seeded=True, ceiling=False, invariant=frozenset({"scale"}))

    def estimate(self, x: Side, y: Side, seed: int) -> Finding:
        """Both halves' closed forms, and their mean."""
        n = len(x)
        if n < FEWEST:
            raise ValueError(f"Projected needs {FEWEST} examples or more and has {n}")
        a, b = normal_scores(x.values), normal_scores(y.values)
        halves = np.array_split(np.random.default_rng(seed).permutation(n), 2)
        found = [_shown(a, b, learn, show) for learn, show in (halves, halves[::-1])]
        values, errors = [one.value for one in found], [one.stderr for one in found]
        apart = abs(values[0] - values[1]) / 2
        return Finding(
            sum(values) / 2,
            math.hypot(*errors) / 2,
            "examples, if normal, and what two halves differ by",
            Bound.LOWER,
            found[0].status | found[1].status | {Status.TOO_FEW_SAMPLES},
            math.inf,
            (f"directions learned on either half; they show {values[0] / NATS_PER_BIT:.6f} and "
             f"{values[1] / NATS_PER_BIT:.6f} bit on the other",),
            math.hypot(apart, max(0.0, _correlated(a, b) - sum(values) / 2)),
        )  # fmt: skip


def _correlated(x: Points, y: Points) -> float:
    """At most ½ Σ ρ² over all pairs of columns, nats: twice the deviation above its unbiased estimate.

    The least that canonical correlations of uncorrelated columns hold, seen even where no direction can be found.
    """
    n = len(x)
    of_x, of_y = x @ x.T / n, y @ y.T / n
    squares = float((of_x * of_y).sum()) - x.shape[1] * y.shape[1] / n
    inner = [float(np.square(gram).sum()) - gram.trace() ** 2 / n for gram in (of_x, of_y)]
    return (squares + 2 * math.sqrt(2 * max(inner[0], 0.0) * max(inner[1], 0.0)) / n) / 2


def _shown(x: Points, y: Points, learn: Rows, show: Rows) -> Finding:
    """What the best directions of some rows share on others."""
    fitted, judging = np.split(learn, [round(LEARNED * len(learn))])
    sizes = [size for size in SIZES if size <= min(x.shape[1], y.shape[1], len(judging) // 4)] or [1]
    trials = {
        (ridge, size): _shared(x, y, judging, a[:, :size], b[:, :size])
        for ridge, (a, b) in zip(RIDGES, directions(x[fitted], y[fitted], RIDGES, sizes[-1]), strict=True)
        for size in sizes
    }
    ridge, size = max(trials, key=lambda each: math.inf if math.isnan(trials[each].value) else trials[each].value)
    return _shared(x, y, show, *next(directions(x[learn], y[learn], [ridge], size)))


def _shared(x: Points, y: Points, rows: Rows, a: Points, b: Points) -> Finding:
    return Gaussian(copula=True).estimate(Side(x[rows] @ a), Side(y[rows] @ b), 0)
