"""How a loss goes on to fall as labels are added, and where it levels off.

Three families with a floor a ≥ 0, each with g(n₁) = 1 in the middle of what was seen:

    ℓ(n) = a + b g(n),    g = (n / n₁)^(−c)                           power (Cortes et al. 1994)
                          g = exp(−√(n / c)) / …                      stretched exponential
                          g = 1 / (1 + (n / (k n₁))^c) / …             late power: a plateau, then a power

are held against block means of the loss on a grid, by Bayes' rule with equal weight for each family: a mean of errors
is binomial, one of costs Gaussian. Where the residuals are larger than chance makes them, the likelihood is weakened to
fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import xlogy

SKIPPED = 8, 16
"""Labels at the beginning that are left out, what one says who knows almost nothing: so many, or a 16th of all."""

GROWTH = 4
"""A block is a `GROWTH`th of what came before it."""

FLOORS = np.concatenate([[0.0], np.geomspace(0.005, 0.3, 12), np.linspace(0.34, 1.0, 18)])
"""a, times what the first blocks cost: low ones by their ratios, high ones by their differences."""

HEIGHTS = np.geomspace(0.1, 6.0, 36)
"""b, times what the blocks in the middle cost."""

POWERS = np.geomspace(0.1, 2.5, 28)
PLATEAUS = (0.3, 1.0, 3.0)

TEMPER = 0.5
"""Evidence for a family counts to this power: none of them is exact."""

HARDLY = 1e-9


@dataclass(frozen=True, eq=False)
class Blocks:
    """Means of a loss over blocks: how many labels are known in the middle of each, and how many losses it has.

    `spread` is the variance of a loss divided by its mean, about the same everywhere.
    """

    known: Float[np.ndarray, " blocks"]
    means: Float[np.ndarray, " blocks"]
    counts: Float[np.ndarray, " blocks"]
    binary: bool
    spread: float


def blocks(losses: Float[np.ndarray, "orders n"]) -> Blocks:
    """The block means of several orders together; no more examples count than there are.

    >>> blocks(np.ones((1, 20))).known.tolist()
    [9.0, 12.0, 15.0, 18.0]
    """
    n = losses.shape[1]
    edges = [min(max(SKIPPED[0], n // SKIPPED[1]), n // 2)]
    while edges[-1] < n:
        edges.append(min(n, edges[-1] + max(3, edges[-1] // GROWTH)))
    if len(edges) > 2 and edges[-1] - edges[-2] < (edges[-2] - edges[-3]) / 2:
        del edges[-2]  # the rest goes with the last whole block
    parts = [losses[:, a:b] for a, b in pairwise(edges)]
    binary = bool(((losses == 0) | (losses == 1)).all())
    means = np.array([part.mean() for part in parts])
    sizes = np.array([part.size for part in parts], dtype=float)
    spread = sum(part.var() * part.size for part in parts) / max(sum(part.sum() for part in parts), HARDLY)
    middle = np.array([(a + b - 1) / 2 for a, b in pairwise(edges)])
    return Blocks(middle, means, np.minimum(sizes, n), binary, float(spread))


@dataclass(frozen=True, eq=False)
class Extrapolation:
    """Curves with their posterior weights: floors, and for a target the number of labels at which each reaches it."""

    seen: Blocks
    floors: Float[np.ndarray, " curves"]
    heights: Float[np.ndarray, " curves"]
    family: Float[np.ndarray, " curves"]
    shapes: Float[np.ndarray, "curves 2"]
    weights: Float[np.ndarray, " curves"]

    def at(self, n: float) -> Float[np.ndarray, " curves"]:
        """ℓ(n) of every curve."""
        return self.floors + self.heights * self._falls(np.full(len(self.floors), float(n)))

    def reaches(self, target: float) -> Float[np.ndarray, " curves"]:
        """How many labels must be known for the loss to be `target`; infinite where the floor is not below it."""
        share = (target - self.floors) / self.heights
        n1 = _middle(self.seen)
        found = np.full(len(share), np.inf)
        below = share > 0
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            for i, family in enumerate(FAMILIES):
                rows = below & (self.family == i)
                found[rows] = family.inverse(share[rows], self.shapes[rows, 0], self.shapes[rows, 1], n1)
        return found

    def quantiles(self, values: Float[np.ndarray, " curves"], q: Sequence[float]) -> Float[np.ndarray, " q"]:
        """Of values by the weights of their curves; infinite ones last."""
        order = np.argsort(values, kind="stable")
        places = np.searchsorted(self.weights[order].cumsum(), np.asarray(q) * (1 - 1e-12))
        return values[order][np.minimum(places, len(order) - 1)]

    def share(self, which: Bool[np.ndarray, " curves"]) -> float:
        """Posterior probability."""
        return float(self.weights[which].sum())

    def _falls(self, n: Float[np.ndarray, " curves"]) -> Float[np.ndarray, " curves"]:
        found, n1 = np.empty(len(n)), _middle(self.seen)
        for i, family in enumerate(FAMILIES):
            rows = self.family == i
            found[rows] = family.falls(n[rows], self.shapes[rows, 0], self.shapes[rows, 1], n1)
        return found


@dataclass(frozen=True)
class Power:
    """(n / n₁)^(−c)."""

    def shapes(self, n1: float) -> list[tuple[float, float]]:
        """The powers."""
        return [(float(c), 0.0) for c in POWERS]

    def falls(self, n: np.ndarray, c: np.ndarray, k: np.ndarray, n1: float) -> np.ndarray:
        """g(n)."""
        return (n / n1) ** -c

    def inverse(self, share: np.ndarray, c: np.ndarray, k: np.ndarray, n1: float) -> np.ndarray:
        """The n at which g is `share`."""
        return n1 * share ** (-1 / c)


@dataclass(frozen=True)
class Stretched:
    """exp(−√(n/τ)), 1 at n₁; its shape is √(n₁/τ)."""

    def shapes(self, n1: float) -> list[tuple[float, float]]:
        """The widths."""
        return [(float(2 * c), 0.0) for c in POWERS]

    def falls(self, n: np.ndarray, c: np.ndarray, k: np.ndarray, n1: float) -> np.ndarray:
        """g(n)."""
        return np.exp(c * (1 - np.sqrt(n / n1)))

    def inverse(self, share: np.ndarray, c: np.ndarray, k: np.ndarray, n1: float) -> np.ndarray:
        """The n at which g is `share`."""
        return n1 * np.maximum(1 - np.log(share) / c, 0) ** 2


@dataclass(frozen=True)
class Late:
    """1 / (1 + (n / (k n₁))^c), 1 at n₁."""

    def shapes(self, n1: float) -> list[tuple[float, float]]:
        """Powers, and where the plateau ends."""
        return [(float(c), k) for c in POWERS for k in PLATEAUS]

    def falls(self, n: np.ndarray, c: np.ndarray, k: np.ndarray, n1: float) -> np.ndarray:
        """g(n)."""
        return (1 + k**-c) / (1 + (n / (k * n1)) ** c)

    def inverse(self, share: np.ndarray, c: np.ndarray, k: np.ndarray, n1: float) -> np.ndarray:
        """The n at which g is `share`."""
        return k * n1 * np.maximum((1 + k**-c) / share - 1, 0) ** (1 / c)


FAMILIES = (Power(), Stretched(), Late())


def extrapolate(losses: Float[np.ndarray, "orders n"]) -> Extrapolation:
    """The posterior over curves.

    >>> rng = np.random.default_rng(0)
    >>> truth = 0.1 + 0.8 * np.arange(1, 2001) ** -0.5
    >>> found = extrapolate((rng.random((1, 2000)) < truth).astype(float))
    >>> low, high = found.quantiles(found.at(8000), (0.05, 0.95))
    >>> bool(low < 0.1 + 0.8 * 8000 ** -0.5 < high)
    True
    """
    seen = blocks(losses)
    n1 = _middle(seen)
    start, level = max(float(seen.means[:2].mean()), HARDLY), max(_level(seen), HARDLY)
    parts = []
    for i, family in enumerate(FAMILIES):
        shapes = np.array(family.shapes(n1))
        a, b, s = (each.ravel() for each in np.meshgrid(FLOORS * start, HEIGHTS * level, range(len(shapes))))
        falls = np.stack([family.falls(np.array([n]), shapes[:, 0], shapes[:, 1], n1) for n in seen.known], -1)
        curves = a[:, None] + b[:, None] * falls[s.astype(int)]
        parts.append((a, b, np.full(len(a), float(i)), shapes[s.astype(int)], _log_likelihood(seen, curves)))
    floors, heights, which, shapes = (np.concatenate([part[k] for part in parts]) for k in range(4))
    logs = [part[4] for part in parts]
    logs = [each / _dispersion(seen, max(map(np.max, logs))) for each in logs]
    evidence = np.array([np.logaddexp.reduce(each) - np.log(len(each)) for each in logs])
    families = np.exp(TEMPER * (evidence - evidence.max()))
    own = [np.exp(each - np.logaddexp.reduce(each)) for each in logs]
    weights = np.concatenate([w * f / families.sum() for w, f in zip(own, families, strict=True)])
    kept = weights > 1e-9
    return Extrapolation(
        seen, floors[kept], heights[kept], which[kept], shapes[kept], weights[kept] / weights[kept].sum()
    )


def _middle(seen: Blocks) -> float:
    return float(np.sqrt(max(seen.known[0], 1.0) * seen.known[-1]))


def _level(seen: Blocks) -> float:
    """What is paid about the middle."""
    near = np.argsort(abs(np.log(np.maximum(seen.known, 1)) - np.log(_middle(seen))))[:3]
    return float(seen.means[near].mean())


def _log_likelihood(seen: Blocks, curves: Float[np.ndarray, "curves blocks"]) -> Float[np.ndarray, " curves"]:
    if seen.binary:
        p = np.clip(curves, 1e-6, 1 - 1e-6)
        best = xlogy(seen.means, seen.means) + xlogy(1 - seen.means, 1 - seen.means)
        each = seen.means * np.log(p) + (1 - seen.means) * np.log1p(-p) - best
        logs = (seen.counts * each).sum(1)
        return np.where((curves < 1.2).all(1), logs, -np.inf)
    variances = max(seen.spread, HARDLY) * np.maximum(curves, HARDLY) / seen.counts
    best = max(seen.spread, HARDLY) * np.maximum(seen.means, HARDLY) / seen.counts
    return -0.5 * ((curves - seen.means) ** 2 / variances + np.log(variances / best)).sum(1)


def _dispersion(seen: Blocks, best: float) -> float:
    """How many times more the best curve misses than chance makes it."""
    return max(1.0, -2 * best / max(len(seen.means) - 3, 1))
