"""Mutual information of jointly Gaussian variables, in closed form."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float
from scipy.special import digamma, polygamma

from infoscope.measurement import Status
from infoscope.mi.method import Claims, Finding, Map
from infoscope.mi.numerics.neighbours import standardised
from infoscope.mi.numerics.normal_scores import normal_scores
from infoscope.mi.numerics.ties import is_discrete
from infoscope.mi.sample import Side

RANKS: frozenset[Map] = frozenset({"monotone", "scale", "rows", "sides"})
COVARIANCES: frozenset[Map] = frozenset({"linear", "shift", "scale", "rows", "sides"})


@dataclass(frozen=True)
class Gaussian:
    """I(X;Y) = −½ Σ_i log(1 − ρ_i²) over the canonical correlations ρ, as if X and Y were jointly normal.

    Equal to ½ log(|Σ_x||Σ_y| / |Σ|). The sample value is too large by
    ½ Σ ψ-terms of the Wishart distribution, which are known exactly and subtracted unless `corrected` is false. With
    `copula` every column is first replaced by the normal scores of its ranks, which leaves information as it is, so
    that only the dependence has to be normal, not the margins (Ince et al. 2017).

    For data that are not normal it is neither a bound nor consistent: it sees correlation alone. Where one side holds a
    linear copy of the other there is no finite value: NaN, flagged INFINITE, or TIES where values are symbols.

    >>> draws = np.random.default_rng(0)
    >>> x = draws.normal(size=(20_000, 1))
    >>> y = 0.6 * x + 0.8 * draws.normal(size=(20_000, 1))
    >>> round(Gaussian().estimate(Side(x), Side(y), 0).value, 2), round(float(-0.5 * np.log(1 - 0.6**2)), 3)
    (0.22, 0.223)
    """

    copula: bool = False
    corrected: bool = True

    takes: ClassVar[tuple[str, ...]] = ("points-points",)
    subsampled: ClassVar[bool] = False

    @property
    def claims(self) -> Claims:
        """Right for normal dependence; blind to linear maps, or with `copula` to increasing ones."""
        return Claims(assumes="normal", ceiling=False, invariant=RANKS if self.copula else COVARIANCES)

    def estimate(self, x: Side, y: Side, seed: int) -> Finding:
        """The closed form at the sample covariances, less its bias."""
        a, b = _basis(self._margins(x)), _basis(self._margins(y))
        n, p, q = len(x), a.shape[1], b.shape[1]
        if p + q >= n - 1:
            raise ValueError(f"{n} examples in {p} + {q} dimensions: a covariance needs more than {p + q + 1} examples")
        rho = np.linalg.svd(a.T @ b, compute_uv=False)
        infinite = bool((rho > 1 - 1e-12).any())
        value = math.nan if infinite else float(-0.5 * np.log1p(-(rho**2)).sum())
        bias = wishart_bias(n, p, q) if self.corrected else 0.0
        status = {_of_a_copy(x, y)} if infinite else set()
        status |= {Status.TOO_FEW_SAMPLES} if n < 5 * (p + q) else set()
        # First order: the log-ratio of normal densities has variance Σ ρ², and so has its mean over n, times 1/n; and
        # there is what a sample varies by where nothing is shared.
        stderr = math.sqrt(float((rho**2).sum()) / n + wishart_variance(n, p, q))
        return Finding(value - bias, stderr, "examples, if normal", status=frozenset(status), ceiling=math.inf)

    def _margins(self, side: Side) -> Float[np.ndarray, "n d"]:
        return normal_scores(side.values) if self.copula else standardised(side.values)


def _of_a_copy(x: Side, y: Side) -> Status:
    """Symbols beside their copy hold no more than their entropy, which a covariance does not see."""
    return Status.TIES if is_discrete(x) or is_discrete(y) else Status.INFINITE


def wishart_bias(n: int, p: int, q: int) -> float:
    """E[sample information] − information for n normal examples in p + q dimensions, nats.

    E log|S| − log|Σ| = Σ_i ψ((n − i)/2) + const for S of n examples about their mean (i = 1 … d): the constants and Σ
    cancel between the margins and the whole.
    """

    def log_determinant(d: int) -> float:
        return float(digamma((n - np.arange(1, d + 1)) / 2).sum())

    return 0.5 * (log_determinant(p) + log_determinant(q) - log_determinant(p + q))


def wishart_variance(n: int, p: int, q: int) -> float:
    """Variance of the sample information of n normal examples whose sides share nothing, about p q / 2n², nats².

    Wilks' Λ is then a product of q independent Beta((n − 1 − p − i) / 2, p / 2), i = 0 … q − 1, and I = −½ log Λ.
    """
    rest = (n - 1 - p - np.arange(q)) / 2
    return 0.25 * float((polygamma(1, rest) - polygamma(1, rest + p / 2)).sum())


def _basis(points: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n r"]:
    """Orthonormal basis of the columns, linearly dependent ones left out."""
    u, s, _ = np.linalg.svd(points - points.mean(0), full_matrices=False)
    return u[:, s > s[0] * max(points.shape) * np.finfo(float).eps]
