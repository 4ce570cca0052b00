"""Losses of a few values, and priors learned in steps that give no example away: split-kl, recursive PAC-Bayes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from infoscope.weight_information.certificate.pac_bayes import kl_bound


def split_kl_bound(levels: Sequence[float], tails: Sequence[float], kl: float, n: int, delta: float) -> float:
    """Bound on the mean of a loss with values b_0 < … < b_J, each step of which is bounded by itself.

    b_0 + Σ_j (b_j − b_(j−1)) kl⁻¹(p̂_j | (K + log(2J√n/δ))/n), p̂_j the share of the sample (averaged over q) that is
    b_j or more: Wu & Seldin 2022, Theorem 6. With the levels 0 and 1 it is `kl_bound`.
    """
    steps = [b - a for a, b in pairwise(levels)]
    if not steps or min(steps) <= 0 or len(tails) != len(steps):
        raise ValueError(
            f"{len(levels)} levels and {len(tails)} shares; give rising levels, and a share for all but one"
        )
    bounds = (kl_bound(share, kl, n, delta / len(steps)) for share in tails)
    return levels[0] + math.fsum(step * bound for step, bound in zip(steps, bounds, strict=True))


@dataclass(frozen=True)
class Excess:
    """A step t ≥ 2 of `recursive_bound`: π_t, learned on the parts up to t, against π_(t−1), measured from part t on.

    `tails` are the shares of examples whose excess ℓ(w) − γ ℓ(w'), w from π_t and w' from π_(t−1), is at least 0, 1 − γ
    and 1; `kl` is KL(π_t‖π_(t−1)) in nats; `n` the examples from part t on, none of which π_(t−1) has seen.
    """

    tails: tuple[float, float, float]
    kl: float
    n: int
    gamma: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.gamma < 1:
            raise ValueError(f"γ is {self.gamma}; it lies between 0 and 1 and is chosen before the examples are seen")


def recursive_bound(risk: float, kl: float, n: int, excesses: Sequence[Excess], delta: float) -> float:
    """Bound on the zero-one risk of the last of T posteriors, each of them the prior of the next.

    B_1 = kl⁻¹(r_1 | (KL(π_1‖π_0) + log(2T√n/δ))/n) on all n examples, B_t = E_t + γ_t B_(t−1), E_t the split-kl bound
    of the excess loss, whose values are −γ, 0, 1 − γ, 1: Wu et al. 2024 (2405.14681), Theorem 5. All T bounds hold
    at once, δ/T each; the last part's examples, which no prior has seen, bound a small difference only.
    """
    share = delta / (len(excesses) + 1)
    bound = kl_bound(risk, kl, n, share)
    for step in excesses:
        levels = (-step.gamma, 0.0, 1 - step.gamma, 1.0)
        bound = split_kl_bound(levels, step.tails, step.kl, step.n, share) + step.gamma * bound
    return bound
