"""Information by local Gaussian approximation of the densities."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from infoscope.measurement import Status
from infoscope.mi.method import Claims, Finding
from infoscope.mi.numerics.entropies import of_surprisals
from infoscope.mi.numerics.neighbourhoods import moments, neighbourhoods, weights
from infoscope.mi.sample import Side
from infoscope.options import at_least
from infoscope.training.optimizers import Adam

FEWEST = 20
"""Examples below which there are no neighbourhoods; up to four times k, a neighbourhood is a quarter of the sample."""

STEPS, RATE = 300, 0.1
"""Steps of the search for the fits, all points at once, and its first rate, which falls to 0."""

SETTLED = 0.02
"""Mean norm of the gradient, in units of the local weight, below which the fits count as found."""


@dataclass(frozen=True)
class LocalGaussian:
    """LGA: I = ⟨log f̂(x,y) / f̂(x)f̂(y)⟩ with a Gaussian fitted about every point (Gao, Ver Steeg & Galstyan 2015).

    At x, f̂ = N(x; μ, Σ) with (μ, Σ) that maximise the local likelihood (eq. 8)
    (1/n) Σ_j K_H(x_j − x) log N(x_j; μ, Σ) − ∫ K_H(t − x) N(t; μ, Σ) dt, K_H Gaussian of the width of the distance to
    the k-th neighbour. The sum depends on the neighbourhood's weight, mean and covariance only, and the integral is
    N(x; μ, Σ + H), so the fits of all points are found together by gradient ascent.

    It needs wide neighbourhoods: a Gaussian fitted to few points follows them, and their density comes out too high.

    >>> draws = np.random.default_rng(0)
    >>> x = draws.normal(size=(1000, 1))
    >>> y = 0.6 * x + 0.8 * draws.normal(size=(1000, 1))
    >>> bool(abs(LocalGaussian(200).estimate(Side(x), Side(y), 0).value + 0.5 * np.log(1 - 0.6**2)) < 0.1)
    True
    """

    k: int = 100
    scores: bool = True

    takes: ClassVar[tuple[str, ...]] = ("points-points",)
    subsampled: ClassVar[bool] = False
    claims = Claims(assumes="normal", ceiling=False, dims=12, invariant=frozenset({"scale"}), examples=150, slow=True)

    def __post_init__(self) -> None:
        at_least(self, "k", 1)

    def estimate(self, x: Side, y: Side, seed: int) -> Finding:
        """The three mean log densities."""
        if len(x) < FEWEST:
            raise ValueError(f"LocalGaussian needs {FEWEST} examples or more and has {len(x)}")
        gradients: list[float] = []

        def surprisals(points: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
            values, gradient = self._surprisals(points)
            gradients.append(gradient)
            return values

        found = of_surprisals(x, y, surprisals, self.scores)
        settled = max(gradients) < SETTLED
        return found if settled else replace(found, status=found.status | {Status.NOT_CONVERGED})

    def _surprisals(self, points: Float[np.ndarray, "n d"]) -> tuple[Float[np.ndarray, " n"], float]:
        """−log f̂ of every point, and how far from their maximum the fits were left."""
        n, d = points.shape
        radius, tiles = neighbourhoods(points, min(self.k, n // 4))
        parts = [moments(z, weights(z)) for z in tiles]
        total, mean, spread = (np.concatenate(part) for part in zip(*parts, strict=True))
        log_f, gradient = fitted(total / (n - 1) / (2 * math.pi) ** (d / 2), mean, spread)
        return d * np.log(radius) - log_f, gradient


def fitted(
    total: Float[np.ndarray, " n"], mean: Float[np.ndarray, "n d"], spread: Float[np.ndarray, "n d d"]
) -> tuple[Float[np.ndarray, " n"], float]:
    """Log-densities at 0 of the Gaussians that maximise the local likelihood of kernel width 1, and the gradient left.

    In coordinates in which the local covariance C is 1: Σ = C^½ L Lᵀ C^½ and μ = mean + C^½ shift.
    """
    d = mean.shape[1]
    root = torch.linalg.cholesky(torch.as_tensor(spread))
    centre = torch.linalg.solve_triangular(root, -torch.as_tensor(mean)[..., None], upper=False)[..., 0]
    inverse = torch.linalg.inv(root)
    kernel = inverse @ inverse.mT
    scale = torch.as_tensor(total) * root.diagonal(dim1=1, dim2=2).prod(1)
    shift = torch.zeros_like(centre, requires_grad=True)
    lower = torch.zeros_like(root, requires_grad=True)
    optimizer = Adam([shift, lower], lr=RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for _ in range(STEPS):
        factor = _factor(lower)
        within = _squared(factor, shift) + torch.linalg.inv(factor).square().sum((1, 2))
        likelihood = -0.5 * (within + d * math.log(2 * math.pi)) - _log_determinant(factor)
        mass = _log_normal(torch.linalg.cholesky(factor @ factor.mT + kernel), centre - shift, d).exp()
        loss = (mass / scale - likelihood).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    left = sum(part.grad.square().flatten(1).sum(1) for part in (shift, lower) if part.grad is not None)
    with torch.no_grad():
        log_f = _log_normal(_factor(lower), centre - shift, d) - _log_determinant(root)
    return log_f.numpy(), float(torch.as_tensor(left).sqrt().mean())


def _factor(lower: Tensor) -> Tensor:
    """Triangular matrices with positive diagonals, from any."""
    return lower.tril(-1) + torch.diag_embed(lower.diagonal(dim1=1, dim2=2).exp())


def _log_determinant(factor: Tensor) -> Tensor:
    return factor.diagonal(dim1=1, dim2=2).log().sum(1)


def _log_normal(factor: Tensor, offset: Tensor, d: int) -> Tensor:
    """Logarithm of the normal density of covariance `factor factorᵀ` at this offset from its mean."""
    return -0.5 * (_squared(factor, offset) + d * math.log(2 * math.pi)) - _log_determinant(factor)


def _squared(factor: Tensor, offset: Tensor) -> Tensor:
    """‖factor⁻¹ offset‖²."""
    return torch.linalg.solve_triangular(factor, offset[..., None], upper=False).square().sum((1, 2))
