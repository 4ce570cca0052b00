"""The posterior of a network's weights that costs least: rounds of curvature under its own noise, and steps of its mean.

At the optimum of C = E_q L + β KL(q‖N(m0, λ²)) over Gaussians, Σ⁻¹ = E_q ∂²L/β + 1/λ² and E_q ∂L + β (m − m0)/λ² = 0:
both are means over q itself. The curvature at the mean alone is far too small where a network is sure of its data.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from infoscope.weight_information.averaged_fisher import Blockwise
from infoscope.weight_information.chains import Energy
from infoscope.weight_information.gaussian import Curvature, Posterior

SCALES = tuple(2.0 ** (k / 2) for k in range(-20, 9))
"""Standard deviations of a prior among which one may be chosen, for log of their number in nats."""

RATE = 0.08
MOMENTUM = 0.8
MOST = 0.2  # of a standard deviation, root mean square, that a step moves
KEPT = 0.6  # of the curvature of the rounds before
FIRST = 0.1  # of the prior's standard deviation: the noise of the first round


class CurvatureAt(Protocol):
    """The curvature of the summed loss, averaged over rows of weights, in a basis of its own or a given one."""

    def __call__(self, weights: Float[Tensor, "draws d"], seed: int, basis: Blockwise | None, /) -> Curvature:
        """Nats a squared unit of weight."""
        ...


@dataclass(frozen=True, eq=False)
class Prior:
    """N(mean, λ²): `variance` is λ² where it is given; where it is None one of `SCALES` is chosen, and paid for."""

    mean: Float[Tensor, " d"]
    variance: float | None = 1.0

    @property
    def price(self) -> float:
        """Nats of KL for the choice of λ: the prior is the mixture of all that could be chosen, of equal weight."""
        return math.log(len(SCALES)) if self.variance is None else 0.0

    def chosen(self, mean: Float[Tensor, " d"], curvature: Curvature, beta: float) -> float:
        """The given λ², or the one of least C with these curvatures: |m − m0|²/2λ² + ½ Σ log(1 + λ²h/β).

        >>> Prior(torch.zeros(2), None).chosen(2 * torch.ones(2), Curvature(1e6 * torch.ones(2)), 1.0)
        4.0
        """
        if self.variance is not None:
            return self.variance
        distance, h = float((mean - self.mean).square().sum()), curvature.h / beta
        price = {v: distance / v + float((v * h).log1p().sum()) for v in (scale**2 for scale in SCALES)}
        return min(price, key=lambda v: price[v])

    def begin(self, w: Float[Tensor, " d"]) -> float:
        """λ² before any posterior is known."""
        return self.chosen(w, Curvature(torch.full_like(w, math.inf).clamp(max=1e9)), 1.0)


@dataclass(frozen=True, eq=False)
class Fitted:
    """A posterior, the curvature that its variances come from, and the prior's λ²."""

    q: Posterior
    curvature: Curvature
    variance: float


@dataclass(frozen=True)
class Rounds:
    """So many rounds of curvature, each of so many steps of the mean; `draws` are weights a round for the curvature.

    In the first quarter of the rounds the basis is found anew each time; then it stays, and curvatures are averaged.
    """

    rounds: int = 20
    steps: int = 15
    draws: int = 1

    def fit(
        self,
        start: Fitted | Float[Tensor, " d"],
        loss: Energy,
        curvature: CurvatureAt,
        prior: Prior,
        beta: float,
        draws: torch.Generator,
    ) -> Fitted:
        """From weights, or from the posterior of another β. `loss` gives rows' losses and gradients, summed."""
        found = start if isinstance(start, Fitted) else _noisy(start, prior)
        mean, way = found.q.mean, torch.zeros_like(found.q.mean)
        h, basis, taken = found.curvature.h, found.curvature.basis, 0
        early = math.ceil(self.rounds / 4)
        for i in range(self.rounds):
            fresh = i < early and not isinstance(start, Fitted)
            kept = None if fresh or not isinstance(basis, Blockwise) else basis
            seen = curvature(found.q.draw(self.draws, draws), i, kept)
            moved = fresh or seen.basis is not basis
            h, basis = (seen.h if moved else KEPT * h + (1 - KEPT) * seen.h), seen.basis
            one = Curvature(h, basis)
            found = Fitted(Posterior.best(mean, one, beta, found.variance), one, found.variance)
            for _ in range(self.steps):
                rate = RATE * min(1.0, (i + 1) / early) * (1 - 0.95 * taken / (self.rounds * self.steps))
                way = MOMENTUM * way + _natural(found, loss, prior, beta, draws)
                found, taken = _stepped(found, rate * way), taken + 1
            mean = found.q.mean
            found = replace(found, variance=prior.chosen(mean, one, beta))
        return replace(found, q=Posterior.best(mean, found.curvature, beta, found.variance))


def _noisy(weights: Tensor, prior: Prior) -> Fitted:
    variance = prior.begin(weights)
    spread = torch.full_like(weights, FIRST**2 * variance)
    return Fitted(Posterior(weights, spread), Curvature(torch.zeros_like(weights)), variance)


def _natural(found: Fitted, loss: Energy, prior: Prior, beta: float, draws: torch.Generator) -> Tensor:
    """Σ/β times the gradient of C in the mean, from a draw and its mirror image."""
    q = found.q
    away = q.draw(1, draws) - q.mean
    slope = loss(torch.cat([q.mean + away, q.mean - away]))[1].mean(0) + beta * (q.mean - prior.mean) / found.variance
    if not bool(slope.isfinite().all()):
        raise ValueError("the gradients of the loss under the noise are NaN or infinite; check the weights and inputs")
    return q.basis.back(q.variances * q.basis.to(slope)) / beta


def _stepped(found: Fitted, step: Tensor) -> Fitted:
    """A step down, no longer than `MOST` standard deviations a coordinate."""
    q = found.q
    size = float((q.basis.to(step).square() / q.variances).mean().sqrt())
    return replace(found, q=replace(q, mean=q.mean - step * min(1.0, MOST / max(size, 1e-30))))


def closed_form(
    weights: Float[Tensor, " d"],
    curvature: CurvatureAt,
    prior: Prior,
    beta: float,
    settle: Callable[[Tensor, float], Tensor] | None = None,
) -> Fitted:
    """Laplace's: the curvature at the weights, once. With `settle` (of weights and λ²) they go to their minimum first.

    Exact where the loss is quadratic. λ² is chosen by turns with the posterior.
    """
    variance, mean = prior.begin(weights), weights
    for _ in range(1 if prior.variance is not None else _TURNS):
        mean = mean if settle is None else settle(mean, variance)
        seen = curvature(mean[None], 0, None)
        found = Fitted(Posterior.best(mean, seen, beta, variance), seen, variance)
        variance = prior.chosen(mean, seen, beta)
    return found


_TURNS = 6


def refined(
    found: Fitted, loss: Energy, prior: Prior, beta: float, steps: int, draws: torch.Generator
) -> Fitted:
    """Variances and mean brought down together, by the reparametrised gradient of C itself along the same axes.

    With the weights' own axes this is mean-field variational inference. σ moves in log σ by Adam: the gradient
    σ ∂C/∂σ = E σ ε ∂L + β (σ²/λ² − 1).
    """
    way, log = torch.zeros_like(found.q.mean), found.q.variances.log() / 2
    first, second = torch.zeros_like(log), torch.zeros_like(log)
    for t in range(steps):
        q, rate = found.q, 1 - 0.95 * t / steps
        noise = torch.randn(q.mean.shape, generator=draws, dtype=q.mean.dtype)
        away = q.basis.back(log.exp() * noise)
        slopes = loss(torch.stack([q.mean + away, q.mean - away]))[1]
        slope = slopes.mean(0) + beta * (q.mean - prior.mean) / found.variance
        spread = log.exp() * noise * q.basis.to(slopes[0] - slopes[1]) / 2
        spread = spread + beta * ((2 * log).exp() / found.variance - 1)
        first, second = 0.9 * first + 0.1 * spread, 0.99 * second + 0.01 * spread.square()
        step = first / (1 - 0.9 ** (t + 1)) / ((second / (1 - 0.99 ** (t + 1))).sqrt() + 1e-12)
        log = log - _SPREADING * rate * step
        way = MOMENTUM * way + q.basis.back(q.variances * q.basis.to(slope)) / beta
        found = _stepped(replace(found, q=replace(q, variances=(2 * log).exp())), RATE * rate * way)
    return found


_SPREADING = 0.02
