"""Layers of networks whose information is known: linear-Gaussian, BPSK labels, integer nets, noisy mixtures."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int
from scipy.special import logsumexp

from infoscope.testing.distributions import Pair, normal_information
from settings import Known

WEIGHTS_SEED = 2023
"""Weights and centres are drawn once and belong to the setting."""

DRAWS, TILE = 1_000_000, 50_000
"""Draws behind a mixture's information, which has no closed form: its standard error is below 0.001 nat."""


@dataclass(frozen=True)
class Linear:
    """I(X;T) of T_l = W_l T_(l−1) + noise, T_0 = X standard normal, T the last layer, shown through tanh or not.

    Normal jointly before tanh, which is invertible.

    >>> round(Linear((1, 1), 0.5).information, 6) == round(0.5 * math.log(1 + 4 * _weights((1, 1))[0].item() ** 2), 6)
    True
    """

    widths: tuple[int, ...]
    noise: float
    tanh: bool = False
    kind: str = "points-points"

    @property
    def dims(self) -> int:
        """Coordinates of both sides."""
        return self.widths[0] + self.widths[-1]

    @property
    def information(self) -> float:
        """½ log |Σ_x||Σ_t|/|Σ|."""
        of_t, through = np.eye(self.widths[0]), np.eye(self.widths[0])
        for w in _weights(self.widths):
            of_t = w @ of_t @ w.T + self.noise**2 * np.eye(len(w))
            through = w @ through
        return normal_information(np.block([[np.eye(self.widths[0]), through.T], [through, of_t]]), self.widths[0])

    def sample(self, n: int, draws: np.random.Generator) -> Pair:
        """Draw n pairs."""
        x = t = draws.normal(size=(n, self.widths[0]))
        for w in _weights(self.widths):
            t = t @ w.T + self.noise * draws.normal(size=(n, len(w)))
        return x, np.tanh(t) if self.tanh else t


@dataclass(frozen=True)
class BPSK:
    """I(T;Y) of labels of `bits` even bits, sent as ±1 through Gaussian noise, turned into `dims` dimensions.

    The dimensions beyond `bits` are noise: turned back, each bit has its own coordinate.
    """

    bits: int
    noise: float
    dims: int
    kind: str = "points-labels"

    @property
    def information(self) -> float:
        """Bits · (log 2 − E log(1 + e^(−2(1 + σz)/σ²))), z standard normal, by Gauss–Hermite quadrature."""
        z, weight = np.polynomial.hermite_e.hermegauss(200)
        lost = np.logaddexp(0, -2 * (1 + self.noise * z) / self.noise**2) @ weight / weight.sum()
        return self.bits * float(math.log(2) - lost)

    def sample(self, n: int, draws: np.random.Generator) -> Pair:
        """Draw n pairs."""
        y = draws.integers(2**self.bits, size=n)
        t = self.noise * draws.normal(size=(n, self.dims))
        t[:, : self.bits] += 2.0 * ((y[:, None] >> np.arange(self.bits)) & 1) - 1
        turn, _ = np.linalg.qr(np.random.default_rng(WEIGHTS_SEED).normal(size=(self.dims, self.dims)))
        return t @ turn, y


@dataclass(frozen=True)
class Integer:
    """I(T;Y) of a net of integers: T = clip(W x, ±limit), x of 12 even bits, Y = [Σx > 6] flipped with this chance."""

    units: int
    limit: int
    flipped: float
    kind: str = "labels-labels"

    @property
    def dims(self) -> int:
        """Coordinates of both sides."""
        return self.units + 1

    @property
    def information(self) -> float:
        """Over all 4096 patterns."""
        t, y = self._layer(_patterns())
        cell = np.unique(t, axis=0, return_inverse=True)[1].ravel()
        table = np.zeros((cell.max() + 1, 2))
        for label, share in ((y, 1 - self.flipped), (1 - y, self.flipped)):
            np.add.at(table, (cell, label), share / len(t))
        product = table.sum(1, keepdims=True) * table.sum(0)
        some = table > 0
        return float((table[some] * np.log(table[some] / product[some])).sum())

    def sample(self, n: int, draws: np.random.Generator) -> Pair:
        """Draw n pairs."""
        t, y = self._layer(_patterns()[draws.integers(4096, size=n)])
        return t, y ^ (draws.uniform(size=n) < self.flipped)

    def _layer(self, x: Int[np.ndarray, "n 12"]) -> tuple[Int[np.ndarray, "n units"], Int[np.ndarray, " n"]]:
        w = np.random.default_rng(WEIGHTS_SEED).integers(-1, 2, size=(12, self.units))
        return np.clip(x @ w, -self.limit, self.limit), (x.sum(1) > 6).astype(np.int64)


@dataclass(frozen=True)
class Mixture:
    """I(T;Y) of T = tanh(W x) + noise for 16 patterns x, in `classes` even classes; 16 of them tell the pattern."""

    dims: int
    noise: float
    classes: int
    kind: str = "points-labels"

    @property
    def information(self) -> float:
        """E log p(t|y)/p(t), by Monte Carlo."""
        return _of_mixture(self)

    def sample(self, n: int, draws: np.random.Generator) -> Pair:
        """Draw n pairs."""
        pattern = draws.integers(16, size=n)
        return self.centres[pattern] + self.noise * draws.normal(size=(n, self.dims)), pattern % self.classes

    @property
    def centres(self) -> Float[np.ndarray, "16 d"]:
        """Activations of the patterns."""
        draws = np.random.default_rng(WEIGHTS_SEED)
        return np.tanh(draws.normal(size=(16, 4)) @ draws.normal(size=(4, self.dims)))


@cache
def _of_mixture(mixture: Mixture) -> float:
    draws, centres, total = np.random.default_rng(0), mixture.centres, 0.0
    for _ in range(DRAWS // TILE):
        t, y = mixture.sample(TILE, draws)
        squares = np.square(t).sum(1)[:, None] - 2 * t @ centres.T + np.square(centres).sum(1)
        log_kernel = -squares / (2 * mixture.noise**2)
        own = np.where(np.arange(16) % mixture.classes == y[:, None], log_kernel, -np.inf)
        total += float(np.sum(logsumexp(own, axis=1)) - np.sum(logsumexp(log_kernel, axis=1)))
    return total / DRAWS + math.log(mixture.classes)


def _weights(widths: tuple[int, ...]) -> list[Float[np.ndarray, "out into"]]:
    draws = np.random.default_rng(WEIGHTS_SEED)
    return [draws.normal(size=(b, a)) / math.sqrt(a) for a, b in pairwise(widths)]


def _patterns() -> Int[np.ndarray, "4096 12"]:
    return (np.arange(4096)[:, None] >> np.arange(12)) & 1


NETWORKS: dict[str, Known] = {
    "linear-4-2": Linear((4, 2), 0.5),
    "linear-10-7": Linear((10, 7), 0.5),
    "linear-10-7-3": Linear((10, 7, 3), 0.5),
    "linear-64-32-8": Linear((64, 32, 8), 0.5),
    "tanh-10-7": Linear((10, 7), 0.5, tanh=True),
    "tanh-10-7-3": Linear((10, 7, 3), 0.5, tanh=True),
    "drowned-1-1": Linear((1, 1), 1e6),
    "drowned-10-7": Linear((10, 7), 1e6),
    "bpsk-1": BPSK(1, 1.0, 1),
    "bpsk-3": BPSK(3, 1.0, 3),
    "bpsk-1-in-20": BPSK(1, 1.0, 20),
    "integer-3": Integer(3, 2, 0.0),
    "integer-3-flipped": Integer(3, 2, 0.1),
    "integer-8-signs": Integer(8, 1, 0.1),
    "mixture-3": Mixture(3, 0.5, 2),
    "mixture-10": Mixture(10, 1.0, 2),
    "mixture-3-patterns": Mixture(3, 0.5, 16),
}
