"""Bounds on a mean from draws between 0 and 1, at any number of draws: by betting, and by the relative entropy."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from infoscope.weight_information.certificate.kl_inverse import kl_inverse

_MOST = 0.9  # of the wealth is staked at once
_STEPS = 60  # halvings


def mean_upper(draws: Float[Tensor, " m"], delta: float) -> float:
    """A bound that the mean of independent draws in [0, 1] exceeds with probability δ at most.

    Waudby-Smith & Ramdas 2024, §4: one who bets against "the mean is μ or more" multiplies his wealth by
    1 + λ_t(μ − x_t); were it true, his wealth would be a supermartingale and reach 1/δ with probability δ at most. The
    stakes λ_t = √(2 log(1/δ) / m σ̂²_(t−1)) rest on earlier draws alone. The bound is the least μ that is refuted. With
    little spread it is about log(1/δ)/m above the mean, where Hoeffding's is √(log(1/δ)/2m).

    >>> round(mean_upper(torch.full((1000,), 0.03), 0.01), 4)
    0.035
    """
    x = _checked(draws, delta)
    t = torch.arange(1, len(x) + 1, dtype=torch.float64)
    means = (0.5 + x.cumsum(0)) / (t + 1)
    variances = (0.25 + (x - means).square().cumsum(0)) / (t + 1)
    before = torch.cat([torch.full((1,), 0.25, dtype=torch.float64), variances[:-1]])
    stakes = (2 * math.log(1 / delta) / (len(x) * before)).sqrt()

    def refuted(mu: float) -> bool:
        bet = stakes.clamp(max=_MOST / (1 - mu))
        return bool(torch.log1p(bet * (mu - x)).cumsum(0).max() >= math.log(1 / delta))

    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if middle < 1 and refuted(middle) else (middle, high)
    return high


def mean_lower(draws: Float[Tensor, " m"], delta: float) -> float:
    """A bound that the mean of independent draws in [0, 1] falls below with probability δ at most."""
    return 1 - mean_upper(1 - draws, delta)


def mean_upper_by_kl(mean: float, draws: int, delta: float) -> float:
    """kl⁻¹(mean | log(2/δ)/m): Langford & Caruana 2001, eq. (4), as PBB takes it; only the draws' mean is needed.

    >>> round(mean_upper_by_kl(0.03, 1000, 0.01), 4)
    0.051
    """
    return kl_inverse(mean, math.log(2 / delta) / draws)


def _checked(draws: Tensor, delta: float) -> Tensor:
    if not 0 < delta < 1:
        raise ValueError(f"δ is {delta}; it lies between 0 and 1")
    x = draws.detach().double().cpu()
    if not len(x) or not bool(((x >= 0) & (x <= 1)).all()):
        raise ValueError(f"of {len(x)} draws some are NaN or outside 0 to 1, or there are none; scale them to [0, 1]")
    return x
