"""Settings that no constant of an estimator was chosen on: listed before they were first measured, and measured last.

Families: 5 to 10 nats, mixtures, discrete sides beside continuous ones, 50 dimensions, rotated uniforms, Clayton
copulas, and nothing shared. Truths are closed forms, or the mean log-ratio of many draws.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import numpy as np
from jaxtyping import Float
from scipy.special import gammaln, logsumexp, ndtr, ndtri, softmax
from scipy.stats import binom

from infoscope.testing.distributions import Additive, Base, Normal, Pair, Points, Student, Vector, normal_log_ratio
from settings import Known, Setting, warped
from warps import ASINH, CDF, HALF_CUBE, ROLL, Warp, spiral

DRAWS, TILE = 400_000, 20_000
"""Draws behind a truth without closed form: its standard error is below 0.002 nat."""

SEED = 77
"""Rotations and centres are drawn once and belong to the setting."""


class Ratio(Protocol):
    """A joint distribution by its sampler and its log-ratio."""

    def sample(self, n: int, draws: np.random.Generator) -> Pair:
        """Draw n pairs."""
        ...

    def log_ratio(self, x: Points, y: np.ndarray) -> Vector:
        """Log p(x,y)/p(x)p(y)."""
        ...


@cache
def by_draws(base: Ratio) -> float:
    """Mean log-ratio."""
    draws = np.random.default_rng(SEED)
    return float(np.mean([base.log_ratio(*base.sample(TILE, draws)).mean() for _ in range(DRAWS // TILE)]))


@dataclass(frozen=True)
class Clayton:
    """Pairs of uniforms joined by Clayton copulas of this θ, each independent of the others."""

    theta: float
    pairs: int = 1

    @property
    def information(self) -> float:
        """By draws."""
        return by_draws(self)

    def sample(self, n: int, draws: np.random.Generator) -> Pair:
        """By conditional inversion."""
        u, w = draws.uniform(size=(2, n, self.pairs))
        v = ((w ** (-self.theta / (1 + self.theta)) - 1) * u**-self.theta + 1) ** (-1 / self.theta)
        return u, v

    def log_ratio(self, x: Points, y: Points) -> Vector:
        """Log of the copula's density."""
        t = self.theta
        inside = np.maximum(x**-t + y**-t - 1, 1e-300)
        return (math.log1p(t) - (1 + t) * np.log(x * y) - (2 + 1 / t) * np.log(inside)).sum(1)


@dataclass(frozen=True)
class NormalMixture:
    """Even components, jointly normal: means drawn at this distance from 0, or correlations ± in each pair."""

    dx: int
    dy: int
    components: int
    distance: float
    rho: float = 0.0

    @property
    def information(self) -> float:
        """By draws."""
        return by_draws(self)

    def _parts(self) -> tuple[Float[np.ndarray, "c d"], Float[np.ndarray, "c d d"]]:
        draws, d = np.random.default_rng(SEED), self.dx + self.dy
        means = self.distance * draws.normal(size=(self.components, d))
        covariances = np.stack([np.eye(d)] * self.components)
        for c in range(self.components):
            for i in range(min(self.dx, self.dy)):
                covariances[c, i, self.dx + i] = covariances[c, self.dx + i, i] = self.rho * (-1) ** c
        return means, covariances

    def sample(self, n: int, draws: np.random.Generator) -> Pair:
        """Draw n pairs."""
        means, covariances = self._parts()
        which = draws.integers(self.components, size=n)
        z = draws.normal(size=(n, self.dx + self.dy))
        z = means[which] + np.einsum("nij,nj->ni", np.linalg.cholesky(covariances)[which], z)
        return z[:, : self.dx], z[:, self.dx :]

    def log_ratio(self, x: Points, y: Points) -> Vector:
        """From the three mixtures' densities."""
        means, covariances = self._parts()
        own, dx = slice(None), self.dx

        def log_density(z: Points, part: slice) -> Vector:
            each = []
            for mean, covariance in zip(means, covariances, strict=True):
                c = covariance[part, part]
                white = np.linalg.solve(np.linalg.cholesky(c), (z - mean[part]).T)
                each.append(-0.5 * np.square(white).sum(0) - 0.5 * np.linalg.slogdet(c)[1])
            return logsumexp(each, axis=0)

        log_c = math.log(self.components)
        whole = log_density(np.hstack([x, y]), own)
        return whole - log_density(x, slice(dx)) - log_density(y, slice(dx, None)) + log_c


@dataclass(frozen=True)
class Contaminated:
    """A normal pair of this correlation; a share of all pairs is independent instead, of the same margins."""

    rho: float
    share: float

    @property
    def information(self) -> float:
        """By draws."""
        return by_draws(self)

    def sample(self, n: int, draws: np.random.Generator) -> Pair:
        """Draw n pairs."""
        x, z = draws.normal(size=(2, n, 1))
        rho = np.where(draws.uniform(size=(n, 1)) < self.share, 0.0, self.rho)
        return x, rho * x + np.sqrt(1 - rho**2) * z

    def log_ratio(self, x: Points, y: Points) -> Vector:
        """Log of the mixture of ratios."""
        ratio = normal_log_ratio(np.array([[1, self.rho], [self.rho, 1]]), x, y)
        return np.logaddexp(math.log(self.share), math.log1p(-self.share) + ratio)


@dataclass(frozen=True)
class SignOfProduct:
    """X = two signs and noise, Y = their product and noise: no two of the three tell anything."""

    noise: float

    @property
    def information(self) -> float:
        """By draws."""
        return by_draws(self)

    def sample(self, n: int, draws: np.random.Generator) -> Pair:
        """Draw n pairs."""
        signs = 2.0 * draws.integers(2, size=(n, 2)) - 1
        x = signs + self.noise * draws.normal(size=(n, 2))
        return x, signs.prod(1, keepdims=True) + self.noise * draws.normal(size=(n, 1))

    def log_ratio(self, x: Points, y: Points) -> Vector:
        """log(1 + E[s|x] E[s|y]), the means of the product's sign."""
        tanh = np.tanh(np.hstack([x, y]) / self.noise**2)
        return np.log1p(tanh.prod(1))


@dataclass(frozen=True)
class Rotated:
    """Even uniforms, each with uniform noise of ±ε beside it, both sides turned."""

    dims: int
    epsilon: float

    @property
    def information(self) -> float:
        """That of one pair, times their number."""
        return self.dims * Additive(self.epsilon).information

    def sample(self, n: int, draws: np.random.Generator) -> Pair:
        """Draw n pairs."""
        x = draws.uniform(size=(n, self.dims))
        y = x + draws.uniform(-self.epsilon, self.epsilon, size=x.shape)
        return x @ turn(self.dims, 0), y @ turn(self.dims, 1)


@dataclass(frozen=True)
class FunctionAndNoise:
    """X uniform on (−1, 1), Y = f(X) + normal noise."""

    f: Callable[[np.ndarray], np.ndarray]
    noise: float

    @property
    def information(self) -> float:
        """h(Y) − h(noise), h(Y) by quadrature."""
        x = (np.arange(20_000) + 0.5) / 10_000 - 1
        values = self.f(x)
        step = self.noise / 8
        edges = np.arange(values.min() - 8 * self.noise, values.max() + 8 * self.noise, step)
        histogram = np.histogram(values, edges)[0] / len(values)
        reach = np.arange(-64, 65) * step
        kernel = np.exp(-0.5 * (reach / self.noise) ** 2)
        density = np.convolve(histogram, kernel / kernel.sum(), "same") / step
        some = density > 0
        h_y = -float((density[some] * np.log(density[some])).sum() * step)
        return h_y - 0.5 * math.log(2 * math.pi * math.e * self.noise**2)

    def sample(self, n: int, draws: np.random.Generator) -> Pair:
        """Draw n pairs."""
        x = draws.uniform(-1, 1, size=(n, 1))
        return x, self.f(x) + self.noise * draws.normal(size=(n, 1))


@dataclass(frozen=True)
class ZeroInflated:
    """X exponential, Y Poisson of mean X, but 0 with this probability (Gao et al. 2017)."""

    zero: float

    @property
    def information(self) -> float:
        """By draws over the integral of the margin."""
        return by_draws(self)

    def sample(self, n: int, draws: np.random.Generator) -> Pair:
        """Draw n pairs."""
        x = draws.exponential(size=(n, 1))
        y = np.where(draws.uniform(size=(n, 1)) < self.zero, 0, draws.poisson(x))
        return x, y.astype(np.int64)[:, 0]

    def log_ratio(self, x: Points, y: np.ndarray) -> Vector:
        """P(y) = zero · [y = 0] + (1 − zero) 2^(−y−1)."""
        k, none = y, np.where(y == 0, self.zero, 0.0)
        given = none + (1 - self.zero) * np.exp(k * np.log(x[:, 0]) - x[:, 0] - gammaln(k + 1))
        return np.log(given) - np.log(none + (1 - self.zero) * 0.5 ** (k + 1))


@dataclass(frozen=True)
class Steps:
    """X one of m whole numbers, as a float; Y = X + U(0, 2) (Gao et al. 2017)."""

    m: int

    @property
    def information(self) -> float:
        """Log m − (m − 1) log 2 / m."""
        return math.log(self.m) - (self.m - 1) * math.log(2) / self.m

    def sample(self, n: int, draws: np.random.Generator) -> Pair:
        """Draw n pairs."""
        x = draws.integers(self.m, size=(n, 1)).astype(float)
        return x, x + draws.uniform(0, 2, size=(n, 1))


@dataclass(frozen=True)
class Classified:
    """A softmax of linear logits of normal X draws the label: one direction a class."""

    dims: int
    classes: int
    gain: float

    @property
    def information(self) -> float:
        """By draws."""
        return by_draws(self)

    def _probabilities(self, x: Points) -> Points:
        w = np.random.default_rng(SEED).normal(size=(self.dims, self.classes))
        return softmax(self.gain * x @ (w / np.linalg.norm(w, axis=0)), axis=1)

    def sample(self, n: int, draws: np.random.Generator) -> Pair:
        """Draw n pairs."""
        x = draws.normal(size=(n, self.dims))
        y = (self._probabilities(x).cumsum(1) < draws.uniform(size=(n, 1))).sum(1)
        return x, np.minimum(y, self.classes - 1)

    def log_ratio(self, x: Points, y: np.ndarray) -> Vector:
        """Log p(y|x)/p(y), p(y) by draws."""
        return np.log(self._probabilities(x)[np.arange(len(y)), y]) - np.log(_shares(self))[y]


@cache
def _shares(classified: Classified) -> np.ndarray:
    x = np.random.default_rng(SEED + 1).normal(size=(DRAWS // 4, classified.dims))
    return classified._probabilities(x).mean(0)


@dataclass(frozen=True)
class Centres:
    """Even classes, normal about centres drawn at this distance in the first dimensions, in all so many."""

    dims: int
    classes: int
    distance: float
    within: int

    @property
    def information(self) -> float:
        """By draws."""
        return by_draws(self)

    def _centres(self) -> Points:
        centres = np.zeros((self.classes, self.dims))
        centres[:, : self.within] = np.random.default_rng(SEED).normal(size=(self.classes, self.within))
        return self.distance * centres @ turn(self.dims, 2)

    def sample(self, n: int, draws: np.random.Generator) -> Pair:
        """Draw n pairs."""
        y = draws.integers(self.classes, size=n)
        return self._centres()[y] + draws.normal(size=(n, self.dims)), y

    def log_ratio(self, x: Points, y: np.ndarray) -> Vector:
        """Log C p(y|x)."""
        centres = self._centres()
        log_kernel = x @ centres.T - 0.5 * np.square(centres).sum(1)
        return log_kernel[np.arange(len(y)), y] - logsumexp(log_kernel, axis=1) + math.log(self.classes)


@dataclass(frozen=True)
class Counts:
    """X one of ten even levels, Y binomial of 20 with a chance that rises with it."""

    @property
    def information(self) -> float:
        """By the table."""
        table = binom.pmf(np.arange(21), 20, ((np.arange(10) + 0.5) / 10)[:, None]) / 10
        some = table > 0
        product = table.sum(1, keepdims=True) * table.sum(0)
        return float((table[some] * np.log(table[some] / product[some])).sum())

    def sample(self, n: int, draws: np.random.Generator) -> Pair:
        """Draw n pairs."""
        x = draws.integers(10, size=n)
        return x, draws.binomial(20, (x + 0.5) / 10)


@dataclass(frozen=True)
class Drawn:
    """A distribution that knows its information as a setting: kinds, and warps of points."""

    base: Base | Rotated | FunctionAndNoise | ZeroInflated | Steps | Classified | Centres | Counts
    kind: str = "points-points"
    x: tuple[Warp, ...] = ()
    y: tuple[Warp, ...] = ()

    @property
    def information(self) -> float:
        """That of the base."""
        return self.base.information

    @property
    def dims(self) -> int:
        """Coordinates of both sides."""
        return sum(side.reshape(1, -1).shape[1] for side in self.sample(1, np.random.default_rng(0)))

    def sample(self, n: int, draws: np.random.Generator) -> Pair:
        """Draw n pairs."""
        return warped(self.base.sample(n, draws), self.x, self.y)


@cache
def turn(d: int, which: int) -> Points:
    """A rotation."""
    return np.linalg.qr(np.random.default_rng([SEED, which]).normal(size=(d, d)))[0]


def turned(d: int, which: int) -> Warp:
    """The rotation as a warp."""
    q = turn(d, which)
    return Warp(lambda z: z @ q, lambda z: z @ q.T)


def _of_share(nats: float, dims: int) -> tuple[float, ...]:
    """Correlations of so many pairs that hold so much in all."""
    return (math.sqrt(1 - math.exp(-2 * nats / dims)),) * dims


EXP = Warp(np.exp, np.log)
CUBE = Warp(lambda z: z**3, np.cbrt)
LOGIT = Warp(lambda z: np.log(z / (1 - z)), lambda z: 1 / (1 + np.exp(-z)))
NORMAL = Warp(ndtri, ndtr)

UNSEEN: dict[str, Known] = {
    "normal-1-1, 6 nats": Setting(Normal(1, 1, across=_of_share(6, 1))),
    "normal-2-2, 7 nats, rotated": Setting(Normal(2, 2, across=_of_share(7, 2)), (turned(2, 0),), (turned(2, 1),)),
    "normal-5-5, 10 nats": Setting(Normal(5, 5, across=_of_share(10, 5))),
    "normal-3-3, 6 nats, cdf": Setting(Normal(3, 3, across=_of_share(6, 3)), (CDF,), (CDF,)),
    "normal-1-1, 5 nats, cube and exp": Setting(Normal(1, 1, across=_of_share(5, 1)), (CUBE,), (EXP,)),
    "additive 0.001": Setting(Additive(0.001)),
    "additive 0.002, rolled": Setting(Additive(0.002), (ROLL,)),
    "sine and noise 0.002": Drawn(FunctionAndNoise(lambda x: np.sin(4 * x), 0.002)),
    "rotated uniforms 3, 0.03": Drawn(Rotated(3, 0.03)),
    "mixture 1-1, opposite 0.9": Setting(NormalMixture(1, 1, 2, 0.0, 0.9)),
    "mixture 2-2, four, 0.6": Setting(NormalMixture(2, 2, 4, 2.0, 0.6)),
    "mixture 5-5, three": Setting(NormalMixture(5, 5, 3, 1.0)),
    "mixture 10-10, four": Setting(NormalMixture(10, 10, 4, 0.7)),
    "contaminated 0.95, 0.3": Setting(Contaminated(0.95, 0.3)),
    "sign of product 0.5": Setting(SignOfProduct(0.5)),
    "zero-inflated Poisson 0.15": Drawn(ZeroInflated(0.15), "points-labels"),
    "steps 5": Drawn(Steps(5)),
    "classified 10, 2": Drawn(Classified(10, 2, 3.0), "points-labels"),
    "classified 4, 6": Drawn(Classified(4, 6, 4.0), "points-labels"),
    "centres 50, 4": Drawn(Centres(50, 4, 1.2, 3), "points-labels"),
    "centres 3, 8": Drawn(Centres(3, 8, 2.0, 3), "points-labels"),
    "counts": Drawn(Counts(), "labels-labels"),
    "normal-50-50, three of 0.7": Setting(Normal(50, 50, across=(0.7, 0.7, 0.7))),
    "normal-50-50, dense, half cube": Setting(Normal(50, 50, 0.3, 0.3), (HALF_CUBE,), (HALF_CUBE,)),
    "normal-50-50, cdf, rotated": Setting(
        Normal(50, 50, across=(0.8, 0.6)), (CDF, turned(50, 0)), (CDF, turned(50, 1))
    ),
    "normal-50-1, cube": Setting(Normal(50, 1, across=(0.9,)), (), (CUBE,)),
    "student 25-25, 5": Setting(Student(25, 25, 5)),
    "student 2-3, 4, asinh": Setting(Student(2, 3, 4), (ASINH,)),
    "rotated uniforms 3, 0.3": Drawn(Rotated(3, 0.3)),
    "rotated uniforms 3, 0.6": Drawn(Rotated(3, 0.6)),
    "rotated uniforms 2, 0.1": Drawn(Rotated(2, 0.1)),
    "clayton 2": Setting(Clayton(2.0)),
    "clayton 8, normal margins": Setting(Clayton(8.0), (NORMAL,), (NORMAL,)),
    "clayton 3, three pairs": Setting(Clayton(3.0, 3)),
    "clayton 1, five pairs, logit, rotated": Setting(Clayton(1.0, 5), (LOGIT, turned(5, 0)), (LOGIT, turned(5, 1))),
    "clayton 4, two pairs, spiral": Setting(Clayton(4.0, 2), (NORMAL, spiral(0, 1, 2)), (NORMAL,)),
    "nothing, Cauchy 3-3": Drawn(Normal(3, 3), x=(CUBE,), y=(CUBE, ASINH)),
}
