"""Entropy by local likelihood with a nearest-neighbour bandwidth, and the information that follows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float
from scipy.special import gammaincc

from infoscope.mi.method import Claims, Finding
from infoscope.mi.numerics.entropies import of_surprisals
from infoscope.mi.numerics.neighbourhoods import REACH, moments, neighbourhoods, weights
from infoscope.mi.sample import Side
from infoscope.options import at_least

SIMULATIONS, ARRIVALS, SIMULATION_SEED = 4000, 1000, 2016
"""Draws behind the universal bias constant, which is the same for all data, and neighbours drawn in each."""


@dataclass(frozen=True)
class LNN:
    """H(X) + H(Y) − H(X,Y), each entropy by local likelihood with the k-nearest-neighbour bandwidth (Gao et al. 2016).

    With ρ the distance to the k-th neighbour, z_j = (x_j − x)/ρ, and S_0, S_1, S_2 the sums over neighbours of
    e^(−‖z_j‖²/2) times 1, z_j, z_j z_jᵀ: f̂(x) = S_0 e^(−½ μᵀΣ⁻¹μ) / (n (2π)^(d/2) ρ^d |Σ|^½) with μ = S_1/S_0,
    Σ = S_2/S_0 − μμᵀ (a normal surface fitted to the neighbourhood), and Ĥ = −⟨log f̂⟩ + B. The bias
    B = E log(f̂/f) does not depend on the density; it is simulated once for each k and dimension. Sums run over all
    neighbours whose weight counts: cut off earlier, they lose the fit in more than two dimensions.

    Better than `KSG` where the data lie near a curve or a thin sheet, and so where information is high.

    >>> draws = np.random.default_rng(0)
    >>> x = draws.uniform(size=(1000, 1))
    >>> y = x + 0.05 * draws.uniform(size=(1000, 1))
    >>> truth = 0.025 - np.log(0.05)
    >>> bool(abs(LNN().estimate(Side(x), Side(y), 0).value - truth) < 0.3)
    True
    """

    k: int = 5
    scores: bool = True

    takes: ClassVar[tuple[str, ...]] = ("points-points",)
    subsampled: ClassVar[bool] = False
    claims = Claims(assumes="smooth", ceiling=False, dims=12, invariant=frozenset({"scale"}))

    def __post_init__(self) -> None:
        at_least(self, "k", 1)

    def estimate(self, x: Side, y: Side, seed: int) -> Finding:
        """The three entropies."""
        if len(x) <= self.k:
            raise ValueError(f"LNN(k={self.k}) needs more than {self.k} examples and has {len(x)}; lower k")
        return of_surprisals(x, y, self.surprisals, self.scores)

    def surprisals(self, points: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
        """−log f̂ of every point, corrected for bias; their mean is the differential entropy."""
        n, d = points.shape
        radius, tiles = neighbourhoods(points, self.k)
        log_f = np.concatenate([log_local_normal(z, weights(z)) for z in tiles])
        return math.log(n) + d * np.log(radius) - log_f + bias(self.k, d)


def log_local_normal(
    z: Float[np.ndarray, "n m d"], weight: Float[np.ndarray, "n m"], more: Any = 0.0, more_spread: Any = 0.0
) -> Float[np.ndarray, " n"]:
    """Logarithm of f̂·n·ρ^d from weighted offsets; `more` is added to S_0 and `more_spread` to the diagonal of S_2."""
    d = z.shape[2]
    total, mean, spread = moments(z, weight, more, more_spread)
    _, log_determinant = np.linalg.slogdet(spread)
    off_centre = np.einsum("nd,nd->n", mean, np.linalg.solve(spread, mean[..., None])[..., 0])
    return np.log(total) - d / 2 * math.log(2 * math.pi) - 0.5 * (log_determinant + off_centre)


@lru_cache(maxsize=256)
def bias(k: int, d: int) -> float:
    """E log(f̂/f) where f is locally constant: n c_d f ρ_l^d are then arrival times of a Poisson process of rate 1.

    The neighbours beyond those that are drawn are put in by their expectation.
    """
    draws = np.random.default_rng(SIMULATION_SEED)
    log_unit_ball = d / 2 * math.log(math.pi) - math.lgamma(1 + d / 2)
    m = min(math.ceil(k * REACH**d), ARRIVALS)
    total, batch = 0.0, 200
    for _ in range(SIMULATIONS // batch):
        arrivals = draws.exponential(size=(batch, m)).cumsum(1)
        direction = draws.normal(size=(batch, m, d))
        direction /= np.linalg.norm(direction, axis=2, keepdims=True)
        unit = arrivals[:, k - 1]
        r = (arrivals / unit[:, None]) ** (1 / d)
        # ∫ e^(−r²/2) and ∫ r²e^(−r²/2) beyond the last radius, for `unit` points in a unit ball.
        half = r[:, -1] ** 2 / 2
        scale = unit * 2 ** (d / 2) * math.gamma(1 + d / 2)
        more = scale * gammaincc(d / 2, half)
        more_spread = scale * gammaincc(d / 2 + 1, half)
        log_f = log_local_normal(r[..., None] * direction, np.exp(-0.5 * r**2), more, more_spread)
        total += float((log_f - np.log(unit) + log_unit_ball).sum())
    return total / SIMULATIONS
