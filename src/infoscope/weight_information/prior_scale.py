"""The prior's standard deviation λ by trial: posteriors under neighbouring ones, each found from the one before."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from infoscope.weight_information.chains import Energy
from infoscope.weight_information.gaussian import Posterior
from infoscope.weight_information.posterior import SCALES, CurvatureAt, Fitted, Prior, Rounds, sampled_complexity

_COMPARED = 16  # pairs of draws, where posteriors under different priors are compared


def rescaled(
    rounds: Rounds, found: Fitted, start: Float[Tensor, " d"] | None, loss: Energy, curvature: CurvatureAt,
    prior: Prior, beta: float, draws: torch.Generator,
) -> Fitted:  # fmt: skip
    """The posterior under the next smaller or larger λ of `SCALES`, as long as C, sampled, falls.

    Each λ is kept for a third of the rounds, which begin at its neighbour's posterior. Where the best lies further than
    a neighbour from the λ that was begun with, all rounds run anew at it from `start`, if that is given. What costs
    least is kept.
    """
    begun = best = min(range(len(SCALES)), key=lambda k: abs(SCALES[k] ** 2 - found.variance))
    least = sampled_complexity(found, loss, prior, beta, _COMPARED)
    for side in (range(begun - 1, -1, -1), range(begun + 1, len(SCALES))):
        for at in side if best == begun else ():  # nothing is on this side where it fell on the other
            other = _onwards(rounds, _under(found, SCALES[at] ** 2, beta), loss, curvature, prior, beta, draws)
            price = sampled_complexity(other, loss, prior, beta, _COMPARED)
            if price >= least:
                break
            found, least, best = other, price, at
    if start is None or abs(best - begun) < 2:
        return found
    anew = rounds.fit(start, loss, curvature, replace(prior, variance=found.variance), beta, draws)
    return anew if sampled_complexity(anew, loss, prior, beta, _COMPARED) < least else found


def cheaper(
    rounds: Rounds, found: Fitted, other: Fitted, loss: Energy, curvature: CurvatureAt, prior: Prior, beta: float,
    draws: torch.Generator,
) -> Fitted:  # fmt: skip
    """Of `found` and what a third of the rounds make of another posterior, under its λ, the one of lower C."""
    other = _onwards(rounds, other, loss, curvature, prior, beta, draws)
    prices = [sampled_complexity(one, loss, prior, beta, _COMPARED) for one in (found, other)]
    return other if prices[1] < prices[0] else found


def _onwards(
    rounds: Rounds, found: Fitted, loss: Energy, curvature: CurvatureAt, prior: Prior, beta: float,
    draws: torch.Generator,
) -> Fitted:  # fmt: skip
    """A third of the rounds from a posterior on, its λ kept."""
    short = replace(rounds, rounds=math.ceil(rounds.rounds / 3))
    return short.fit(None, loss, curvature, replace(prior, variance=found.variance), beta, draws, [found])


def _under(found: Fitted, variance: float, beta: float) -> Fitted:
    """The posterior of another λ² that has this mean and curvature."""
    return replace(found, variance=variance, q=Posterior.best(found.q.mean, found.curvature, beta, variance))
