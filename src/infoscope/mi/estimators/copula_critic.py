"""The normal copula's information in closed form, and what a critic finds beyond it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import fmean
from typing import ClassVar

import numpy as np
from jaxtyping import Float
from scipy.stats import chi2

from infoscope.measurement import NATS_PER_BIT, Bound, Status
from infoscope.mi.estimators.gaussian import Gaussian
from infoscope.mi.estimators.neural import FEWEST, MEMORY, of_scores
from infoscope.mi.method import Claims, Finding
from infoscope.mi.numerics import bounds
from infoscope.mi.numerics.critic import Critic, Diverged, Known, Lesson, Scores, divided, learn
from infoscope.mi.numerics.normal_scores import normal_scores
from infoscope.mi.sample import Side
from infoscope.options import above_zero, share
from infoscope.run import Store

PER_COLUMN = 10
"""Examples a column below which the normal part is learned badly enough for the critic to mend it: what it adds to that
is already in the closed form, and only what the whole bound has above it counts."""

TOO_MUCH = 3.0
"""Standard errors by which the closed form may be above the bound on held-out pairs, its own normal part in it."""

LEVEL = 0.001
"""Canonical correlations that Bartlett's test does not find at this level are taken for 0."""

DEVIATIONS = 2.0
"""What the critic adds counts if it is this many standard errors above 0."""


@dataclass(frozen=True)
class CopulaCritic:
    """I(X;Y) = I of the normal copula + what a critic adds to its log-ratio on held-out pairs.

    A normal copula needs no training and is exact for normal dependence in any number of dimensions, where critics
    and neighbours need far more data. A critic that starts from its log-ratio need only learn the rest: the difference
    of the two Donsker–Varadhan bounds on the same held-out pairs is added if it is significant. The sum is an
    estimate, not a bound: normal dependence of the ranks is taken at its closed form.

    A critic that finds too little on held-out pairs finds too much on those it has learned from: the difference counts
    as a standard error. It does not tell of dependence that the critic has missed on both. Held-out pairs that would
    take more than `memory` bytes at once are looked at in blocks. Where training diverges the copula stands alone.
    Where the closed form is significantly above the Donsker–Varadhan bound on held-out pairs, as between clusters that
    lie far apart, the dependence is not normal and that bound is the value.

    >>> draws = np.random.default_rng(0)
    >>> x = draws.normal(size=(1000, 1))
    >>> y = x**2 + draws.normal(size=(1000, 1))  # uncorrelated
    >>> CopulaCritic().estimate(Side(x), Side(y), 0).value > 0.1
    True
    """

    critic: Critic = Critic()
    held_out: float = 0.3
    memory: float = MEMORY

    takes: ClassVar[tuple[str, ...]] = ("points-points",)
    subsampled: ClassVar[bool] = False
    learns: ClassVar[bool] = True
    claims = Claims(
        assumes="normal", ceiling=False, seeded=True, invariant=frozenset({"scale", "monotone"}), examples=300
    )

    def __post_init__(self) -> None:
        share(self, "held_out")
        above_zero(self, "memory")

    def estimate(self, x: Side, y: Side, seed: int, store: Store | None = None) -> Finding:
        """Closed form, training, and the gain on held-out pairs."""
        copula = Gaussian(copula=True).estimate(x, y, seed)
        if len(x) < FEWEST or not math.isfinite(copula.value):
            return copula
        a, b = normal_scores(x.values), normal_scores(y.values)
        test, train = np.split(np.random.default_rng(seed).permutation(len(x)), [round(self.held_out * len(x))])
        known = canonical(a[train], b[train])
        learned = divided(train)[1][: len(test)]
        scored = np.concatenate([test, learned])
        try:
            scores = learn(Lesson(a, b, train, scored, self.critic, seed, known), store)
        except Diverged as why:
            note = f"the critic is left out, the normal copula stands alone: {why}"
            return replace(copula, status=copula.status | {Status.NOT_CONVERGED}, notes=(note,))
        held_out = scores.rows(slice(len(test)))
        more, error = self._gain(held_out)
        seen = scores.rows(slice(len(test), None))
        shown = of_scores(bounds.donsker_varadhan, held_out, self.memory)
        shown = replace(shown, value=shown.value - min(more, 0.0))  # without the critic, where it only adds noise
        if len(train) < PER_COLUMN * (a.shape[1] + b.shape[1]):
            more = min(more, shown.value - copula.value)
        elif copula.value - shown.value > TOO_MUCH * math.hypot(shown.stderr, copula.stderr):
            return self._as_shown(copula, shown, of_scores(bounds.donsker_varadhan, seen, self.memory).value)
        forgone = max(0.0, self._gain(seen)[0] - more)
        counts = more > DEVIATIONS * error
        note = f"the critic adds {more / NATS_PER_BIT:.6f} ± {error / NATS_PER_BIT:.6f} bit to the normal copula"
        return Finding(
            copula.value + (more if counts else 0.0),
            math.hypot(copula.stderr, error if counts else 0.0),
            "examples, and what the critic adds less than on those it learned from",
            status=copula.status | (set() if scores.converged else {Status.NOT_CONVERGED}),
            notes=(note if counts else f"{note}: not significant, left out",),
            bias=forgone,
        )

    def _as_shown(self, copula: Finding, shown: Finding, seen: float) -> Finding:
        """The bound on held-out pairs, where a normal copula would hold more than these show: clusters lie apart."""
        note = f"the normal copula would hold {copula.value / NATS_PER_BIT:.6f} bit, more than held-out pairs show"
        return replace(shown, notes=(note,), bound=Bound.NONE, ceiling=math.inf, bias=max(0.0, seen - shown.value))

    def _gain(self, scores: Scores) -> tuple[float, float]:
        """What the critic adds on these pairs, and its standard error: block by block."""
        each = [bounds.gain(block.all, block.known) for block in scores.blocks(self.memory)]
        return fmean(more for more, _ in each), math.hypot(*(error for _, error in each)) / len(each)


def canonical(x: Float[np.ndarray, "n dx"], y: Float[np.ndarray, "n dy"]) -> Known:
    """Canonical directions and correlations that Bartlett's sequential test finds (Bartlett 1941)."""
    n, p, q = len(x), x.shape[1], y.shape[1]
    to_x, to_y = _whitening(x), _whitening(y)
    u, rho, vt = np.linalg.svd((x @ to_x).T @ (y @ to_y) / n)
    rho = np.minimum(rho, 1 - 1e-9)
    kept = 0
    while kept < len(rho):
        statistic = -(n - 1 - (p + q + 1) / 2) * np.log1p(-(rho[kept:] ** 2)).sum()
        if chi2.sf(statistic, (p - kept) * (q - kept)) >= LEVEL:
            break
        kept += 1
    return Known(to_x @ u[:, :kept], to_y @ vt.T[:, :kept], rho[:kept])


def _whitening(x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "d r"]:
    """W such that x W has unit covariance, directions without variance left out."""
    values, vectors = np.linalg.eigh(x.T @ x / len(x))
    kept = values > values.max() * len(values) * np.finfo(float).eps
    return vectors[:, kept] / np.sqrt(values[kept])
