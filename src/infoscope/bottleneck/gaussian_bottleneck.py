"""The information bottleneck of Gaussian variables in closed form (Chechik, Globerson, Tishby & Weiss 2005)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from scipy.optimize import brentq
from torch import Tensor


@dataclass(frozen=True)
class GaussianBottleneck:
    """The optimum of H(Y|Z) + β I(Z;X) for jointly Gaussian X and Y, nats; ρ are their canonical correlations.

    The best Z is X through a linear map with Gaussian noise, a direction for each ρ² above β: 1/β is Chechik's β,
    whose eigenvalues λ are 1 − ρ². What is left below β is not worth its price, so at β ≥ max ρ² nothing is kept.

    >>> of = GaussianBottleneck((0.8,))
    >>> round(of.label(0.0), 6), round(of.limit, 6), of.label(0.7)
    (0.510826, 0.510826, 0.0)
    """

    correlations: tuple[float, ...]

    def __post_init__(self) -> None:
        wrong = [r for r in self.correlations if not 0 <= r < 1]
        if wrong:
            raise ValueError(f"a canonical correlation is {wrong[0]}; they lie from 0 to below 1")

    @classmethod
    def of(cls, xx: Float[Tensor, "d d"], yy: Float[Tensor, "k k"], xy: Float[Tensor, "d k"]) -> GaussianBottleneck:
        """Of covariances: ρ are the singular values of Σx^−½ Σxy Σy^−½."""
        left, right = (torch.linalg.cholesky(each.double()) for each in (xx, yy))
        whitened = torch.linalg.solve_triangular(left, xy.double(), upper=False)
        whitened = torch.linalg.solve_triangular(right, whitened.T, upper=False)
        return cls(tuple(torch.linalg.svdvals(whitened).tolist()))

    @property
    def limit(self) -> float:
        """I(X;Y) = −½ Σ log(1 − ρ²), to which β = 0 comes."""
        return -0.5 * sum(math.log1p(-(r**2)) for r in self.correlations)

    def rate(self, beta: float) -> float:
        """I(Z;X) at the optimum: ½ Σ log((1/β − 1) ρ²/(1 − ρ²)) over ρ² > β (their eq. 20, 24)."""
        _check(beta)
        if beta == 0:
            return math.inf if any(self.correlations) else 0.0
        return 0.5 * sum(math.log((1 / beta - 1) * r / (1 - r)) for r in self._kept(beta))

    def label(self, beta: float) -> float:
        """I(Z;Y) at the optimum: ½ Σ log((1 − β)/(1 − ρ²)) over ρ² > β."""
        _check(beta)
        return 0.5 * sum(math.log((1 - beta) / (1 - r)) for r in self._kept(beta))

    def most(self, rate: float) -> float:
        """The most that `rate` nats about X can say about Y: the curve itself.

        >>> round(GaussianBottleneck((0.8,)).most(50.0), 6), GaussianBottleneck((0.8, 0.5)).most(0.0)
        (0.510826, 0.0)
        """
        largest = max(self.correlations, default=0.0) ** 2
        if rate <= 0 or not largest:
            return 0.0
        log_beta = brentq(lambda log: self.rate(math.exp(log)) - rate, -2 * rate - 60, math.log(largest), xtol=1e-14)
        return self.label(math.exp(float(log_beta)))  # type: ignore[arg-type]

    def _kept(self, beta: float) -> list[float]:
        return [r**2 for r in self.correlations if r**2 > beta]


def _check(beta: float) -> None:
    if not 0 <= beta < math.inf:
        raise ValueError(f"β is {beta}; it is 0 or more, and finite")
