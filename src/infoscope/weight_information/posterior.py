"""The posterior of a network's weights that costs least: rounds of curvature under its noise, and steps of its mean.

At the optimum of C = E_q L + β KL(q‖N(m0, λ²)) over Gaussians, Σ⁻¹ = E_q ∂²L/β + 1/λ² and E_q ∂L + β (m − m0)/λ² = 0:
both are means over q itself. The curvature at the mean alone is far too small where a network is sure of its data.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from infoscope.ensembles.stacked_loss import StackedLoss
from infoscope.weight_information.averaged_fisher import Blockwise
from infoscope.weight_information.chains import Energy
from infoscope.weight_information.gaussian import Curvature, Posterior

SCALES = tuple(2.0 ** (k / 2) for k in range(-20, 9))
"""Standard deviations of a prior among which one may be chosen, for log of their number in nats."""

RATE = 0.2
MOMENTUM = 0.5
MOST = 0.1  # of a standard deviation, root mean square, that a step moves
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
    From there on C is sampled after every round, with the same noise: where it rose the round is undone and the next
    one takes half the steps' length. The best is returned.
    """

    rounds: int = 24
    steps: int = 15
    draws: int = 1

    def fit(
        self,
        start: Float[Tensor, " d"] | None,
        loss: Energy,
        curvature: CurvatureAt,
        prior: Prior,
        beta: float,
        draws: torch.Generator,
        known: Sequence[Fitted] = (),
    ) -> Fitted:
        """From weights; or with None from the best of the posteriors that are `known`, which none will be worse than.

        `loss` gives rows' losses and gradients, summed.
        """
        prices = [sampled_complexity(one, loss, prior, beta) for one in known]
        least = min(prices, default=math.inf)
        best = known[prices.index(least)] if known else None
        found = best if start is None else _noisy(start, prior)
        if found is None:
            raise ValueError("no weights and no posterior to start from; give one of them")
        early = 0 if start is None else math.ceil(self.rounds / 4)
        shorter, way = 1.0, torch.zeros_like(found.q.mean)
        for i in range(self.rounds):
            found = _curved(found, curvature, beta, draws, self.draws, i, fresh=i < early)
            done = [(i + k / self.steps) / self.rounds for k in range(self.steps)]
            warm = RATE * shorter * min(1.0, (i + 1) / max(1, early))
            found, way = _moved(found, way, [warm * (1 - 0.95 * t) for t in done], loss, prior, beta, draws)
            scale = prior.chosen(found.q.mean, found.curvature, beta)
            found = replace(found, variance=scale, q=Posterior.best(found.q.mean, found.curvature, beta, scale))
            if i < early:
                continue
            price = sampled_complexity(found, loss, prior, beta)
            if price <= least:
                best, least = found, price
            elif price > least + _SLACK * abs(least) and best is not None:
                found, way, shorter = best, torch.zeros_like(way), shorter / 2
        return found if best is None else best


def at_price(found: Fitted, beta: float) -> Fitted:
    """The posterior of another β that has this mean and curvature."""
    return replace(found, q=Posterior.best(found.q.mean, found.curvature, beta, found.variance))


def sampled_complexity(found: Fitted, loss: Energy, prior: Prior, beta: float, pairs: int = 4) -> float:
    """C = E_q L + β KL(q‖p), nats, over pairs of draws that are the same at every call; infinite if not finite."""
    q = found.q
    rows = q.draw(pairs, torch.Generator().manual_seed(0))
    both = torch.cat([rows, 2 * q.mean - rows])
    losses = loss.values(both) if isinstance(loss, StackedLoss) else loss(both)[0]
    value = float(losses.mean()) + beta * q.kl(prior.mean, found.variance)
    return value if math.isfinite(value) else math.inf


_SLACK = 0.02


def _curved(
    found: Fitted, curvature: CurvatureAt, beta: float, draws: torch.Generator, count: int, seed: int, fresh: bool
) -> Fitted:
    """The posterior with the curvature under its own noise, averaged with that of before where the basis stays."""
    old = found.curvature
    kept = None if fresh or not isinstance(old.basis, Blockwise) else old.basis
    seen = curvature(found.q.draw(count, draws), seed, kept)
    if seen.basis is old.basis:
        seen = Curvature(KEPT * old.h + (1 - KEPT) * seen.h, old.basis)
    return replace(found, q=Posterior.best(found.q.mean, seen, beta, found.variance), curvature=seen)


def _noisy(weights: Tensor, prior: Prior) -> Fitted:
    variance = prior.begin(weights)
    spread = torch.full_like(weights, FIRST**2 * variance)
    return Fitted(Posterior(weights, spread), Curvature(torch.zeros_like(weights)), variance)


def _moved(
    found: Fitted, way: Tensor, rates: Sequence[float], loss: Energy, prior: Prior, beta: float, draws: torch.Generator
) -> tuple[Fitted, Tensor]:
    """Natural-gradient steps of the mean under this noise, at these rates, and the way that it then goes on.

    Each step takes Σ/β times the gradient of C, from a draw and its mirror image, along the axes of q.
    """
    q, along = found.q, found.q.basis.to(way)
    for rate, away in zip(rates, _noise(q, len(rates), draws), strict=True):
        slope = loss(torch.stack([q.mean + away, q.mean - away]))[1].mean(0)
        slope = slope + beta * (q.mean - prior.mean) / found.variance
        if not bool(slope.isfinite().all()):
            raise ValueError(
                "the gradients of the loss under the noise are NaN or infinite; check the weights and inputs"
            )
        along = MOMENTUM * along + q.variances * q.basis.to(slope) / beta
        q = _stepped(q, RATE * rate * along)
    return replace(found, q=q), q.basis.back(along)


def _noise(q: Posterior, count: int, draws: torch.Generator) -> Iterator[Float[Tensor, " d"]]:
    """Draws of q less its mean."""
    centred = replace(q, mean=torch.zeros_like(q.mean))
    size = max(1, _NUMBERS // len(q.mean))
    for start in range(0, count, size):
        yield from centred.draw(min(size, count - start), draws)


_NUMBERS = 1 << 20  # that are drawn at once


def _stepped(q: Posterior, step: Tensor) -> Posterior:
    """The mean a step down along q's axes, no longer than `MOST` standard deviations a coordinate."""
    size = float((step.square() / q.variances).mean().sqrt())
    return replace(q, mean=q.mean - q.basis.back(step * min(1.0, MOST / max(size, 1e-30))))


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
    variance = prior.begin(weights)
    found = _laplace(weights, curvature, variance, beta, settle)
    for _ in range(0 if prior.variance is not None else _TURNS - 1):
        variance = prior.chosen(found.q.mean, found.curvature, beta)
        if settle is None:
            found = replace(found, q=Posterior.best(weights, found.curvature, beta, variance), variance=variance)
        else:
            found = _laplace(found.q.mean, curvature, variance, beta, settle)
    return found


def _laplace(
    mean: Tensor, curvature: CurvatureAt, variance: float, beta: float, settle: Callable[[Tensor, float], Tensor] | None
) -> Fitted:
    mean = mean if settle is None else settle(mean, variance)
    seen = curvature(mean[None], 0, None)
    return Fitted(Posterior.best(mean, seen, beta, variance), seen, variance)


_TURNS = 6


def refined(found: Fitted, loss: Energy, prior: Prior, beta: float, steps: int, draws: torch.Generator) -> Fitted:
    """Variances and mean brought down together, by the reparametrised gradient of C itself along the same axes.

    With the weights' own axes this is mean-field variational inference. σ moves in log σ by Adam: the gradient
    σ ∂C/∂σ = E σ ε ∂L + β (σ²/λ² − 1). What C, sampled, does not reward is given back as it was.
    """
    before = found
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
        way = MOMENTUM * way + q.variances * q.basis.to(slope) / beta
        found = replace(found, q=_stepped(replace(q, variances=(2 * log).exp()), RATE * rate * way))
    prices = [sampled_complexity(one, loss, prior, beta) for one in (before, found)]
    return found if prices[1] < prices[0] else before


_SPREADING = 0.02
