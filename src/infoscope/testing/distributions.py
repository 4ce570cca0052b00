"""Joint distributions whose information has a closed form, and whose density ratio can check it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float
from scipy.special import digamma, gammaln

Points = Float[np.ndarray, "n dx"]
Others = Float[np.ndarray, "n dy"]
Vector = Float[np.ndarray, " n"]
Pair = tuple[np.ndarray, np.ndarray]


class Base(Protocol):
    """A joint distribution that knows its information, nats, and the ratio log p(x,y)/p(x)p(y)."""

    @property
    def information(self) -> float:
        """I(X;Y), nats."""
        ...

    def sample(self, n: int, draws: np.random.Generator) -> Pair:
        """Draw n pairs."""
        ...

    def log_ratio(self, x: Points, y: Others) -> Vector:
        """Log-ratio of every pair."""
        ...


@dataclass(frozen=True)
class Normal:
    """Jointly normal, unit variances: `within` correlates coordinates of one side, `across[i]` pairs x_i and y_i.

    Correlation off those pairs is `between`.

    >>> round(Normal(3, 3, 0.5, 0.5).information, 10)
    0.4133392866
    """

    dx: int
    dy: int
    within: float = 0.0
    between: float = 0.0
    across: tuple[float, ...] = ()

    @property
    def covariance(self) -> Float[np.ndarray, "d d"]:
        """Of (x, y)."""
        x = np.arange(self.dx + self.dy) < self.dx
        c = np.where(x[:, None] == x, self.within, self.between)
        np.fill_diagonal(c, 1.0)
        for i, rho in enumerate(self.across):
            c[i, self.dx + i] = c[self.dx + i, i] = rho
        return c

    @property
    def information(self) -> float:
        """½ log |Σ_x||Σ_y|/|Σ|."""
        return normal_information(self.covariance, self.dx)

    def sample(self, n: int, draws: np.random.Generator) -> Pair:
        """Draw n pairs."""
        z = draws.normal(size=(n, self.dx + self.dy)) @ np.linalg.cholesky(self.covariance).T
        return z[:, : self.dx], z[:, self.dx :]

    def log_ratio(self, x: Points, y: Others) -> Vector:
        """Log-ratio of every pair."""
        return normal_log_ratio(self.covariance, x, y)


@dataclass(frozen=True)
class Student:
    """Multivariate Student-t of unit dispersion: uncorrelated and dependent (Arellano-Valle et al. 2013).

    >>> round(Student(2, 2, 2).information, 10)
    0.1931471806
    """

    dx: int
    dy: int
    df: int

    @property
    def information(self) -> float:
        """H(X) + H(Y) − H(X,Y)."""
        return self._entropy(self.dx) + self._entropy(self.dy) - self._entropy(self.dx + self.dy)

    def sample(self, n: int, draws: np.random.Generator) -> Pair:
        """Draw n pairs."""
        z = draws.normal(size=(n, self.dx + self.dy)) / np.sqrt(draws.chisquare(self.df, size=(n, 1)) / self.df)
        return z[:, : self.dx], z[:, self.dx :]

    def log_ratio(self, x: Points, y: Others) -> Vector:
        """Log-ratio of every pair."""

        def log_density(z: Float[np.ndarray, "n m"]) -> Vector:
            half = (self.df + z.shape[1]) / 2
            return -self._log_constant(z.shape[1]) - half * np.log1p(np.square(z).sum(1) / self.df)

        return log_density(np.hstack([x, y])) - log_density(x) - log_density(y)

    def _entropy(self, d: int) -> float:
        half = (self.df + d) / 2
        return self._log_constant(d) + half * float(digamma(half) - digamma(self.df / 2))

    def _log_constant(self, d: int) -> float:
        """Of 1/density at 0, in d dimensions."""
        return float(gammaln(self.df / 2) - gammaln((self.df + d) / 2)) + d / 2 * math.log(self.df * math.pi)


@dataclass(frozen=True)
class Additive:
    """Y = X + N, X uniform on (0, 1), N uniform on (−ε, ε).

    >>> round(Additive(0.1).information, 10), round(Additive(0.75).information, 10)
    (1.7094379124, 0.3333333333)
    """

    epsilon: float

    @property
    def information(self) -> float:
        """ε − log 2ε, or 1/4ε if ε > ½."""
        e = self.epsilon
        return 1 / (4 * e) if e > 0.5 else e - math.log(2 * e)

    def sample(self, n: int, draws: np.random.Generator) -> Pair:
        """Draw n pairs."""
        x = draws.uniform(size=(n, 1))
        return x, x + draws.uniform(-self.epsilon, self.epsilon, size=(n, 1))

    def log_ratio(self, x: Points, y: Others) -> Vector:
        """Log-ratio of every pair."""
        covered = np.minimum(1, y + self.epsilon) - np.maximum(0, y - self.epsilon)
        return -np.log(covered[:, 0])


@dataclass(frozen=True)
class Overlap:
    """X uniform in a range of width 1, which lies higher by `shift` where the even bit Y is 1.

    >>> round(Overlap(0.5).information / math.log(2), 12)  # half of either range is the other's, too
    0.5
    """

    shift: float

    @property
    def information(self) -> float:
        """Shift · log 2."""
        return self.shift * math.log(2)

    def sample(self, n: int, draws: np.random.Generator) -> Pair:
        """Draw n pairs."""
        y = draws.integers(2, size=n)
        return draws.uniform(size=(n, 1)) + self.shift * y[:, None], y

    def log_ratio(self, x: Points, y: np.ndarray) -> Vector:
        """0 where the ranges overlap, log 2 elsewhere."""
        own = np.where(y == 1, x[:, 0] > 1, x[:, 0] < self.shift)
        return np.where(own, math.log(2), 0.0)


@dataclass(frozen=True)
class Channel:
    """Y is X, one of `symbols` even ones, with this probability, and otherwise any of them.

    >>> Channel(1.0, 4).information / math.log(2)
    2.0
    """

    kept: float
    symbols: int = 3

    @property
    def information(self) -> float:
        """Log C + Σ_y p(y|x) log p(y|x)."""
        right, wrong = self._likely
        rest = (self.symbols - 1) * wrong * math.log(wrong) if wrong > 0 else 0.0
        return math.log(self.symbols) + right * math.log(right) + rest

    @property
    def _likely(self) -> tuple[float, float]:
        other = (1 - self.kept) / self.symbols
        return self.kept + other, other

    def sample(self, n: int, draws: np.random.Generator) -> Pair:
        """Draw n pairs."""
        x, other = draws.integers(self.symbols, size=(2, n))
        return x, np.where(draws.uniform(size=n) < self.kept, x, other)

    def log_ratio(self, x: np.ndarray, y: np.ndarray) -> Vector:
        """Log C p(y|x)."""
        right, wrong = self._likely
        return np.log(np.where(x == y, right, wrong) * self.symbols)


def normal_information(covariance: Float[np.ndarray, "d d"], dx: int) -> float:
    """½ log |Σ_x||Σ_y|/|Σ|, x the first `dx` coordinates."""
    parts = covariance[:dx, :dx], covariance[dx:, dx:], covariance
    of_x, of_y, of_both = (np.linalg.slogdet(part)[1] for part in parts)
    return float(of_x + of_y - of_both) / 2


def normal_log_ratio(covariance: Float[np.ndarray, "d d"], x: Points, y: Others) -> Vector:
    """Log-ratio of normal variables."""

    def squared(c: Float[np.ndarray, "m m"], z: Float[np.ndarray, "n m"]) -> Vector:
        return np.square(np.linalg.solve(np.linalg.cholesky(c), z.T)).sum(0)

    dx = x.shape[1]
    of_x, of_y = squared(covariance[:dx, :dx], x), squared(covariance[dx:, dx:], y)
    rest = of_x + of_y - squared(covariance, np.hstack([x, y]))
    return normal_information(covariance, dx) + rest / 2
