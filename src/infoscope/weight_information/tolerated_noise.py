"""The noise that the loss tolerates around weights that stay where they are: step by step, from little noise on.

Of a deep network neither the curvature at its weights (it is sure of its data, so there is next to none) nor that under
a wide noise (activations grow without bound from layer to layer) tells how much it takes. So the precision goes there
slowly: Σ⁻¹ ← κ Σ⁻¹ + (1 − κ)(E_q ∂²L/β + 1/λ²), at whose fixed point C has no slope in Σ.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from infoscope.weight_information.averaged_fisher import Blockwise
from infoscope.weight_information.gaussian import Curvature, Posterior
from infoscope.weight_information.posterior import SCALES, CurvatureAt, Fitted, Prior

KEPT = 0.7
"""κ: of the precision in a round, so that a variance grows by less than half."""

FIRST = 0.1  # of the prior's standard deviation: the noise of the first round
_PAIRS = 2  # of weights and their mirror images, that C is sampled from after each round
_AGAIN = 0
_WORSE = 4  # rounds without a lower C, after which it ends


@dataclass(frozen=True)
class Slowly:
    """So many rounds; the posterior of the least C that was met is returned."""

    rounds: int

    def fit(
        self,
        w: Float[Tensor, " d"],
        loss: Callable[[Tensor, torch.Generator], Tensor],
        curvature: CurvatureAt,
        prior: Prior,
        beta: float,
        draws: torch.Generator,
    ) -> Fitted:
        """Around these weights; `loss` gives that of rows of weights, by draws of examples if it likes.

        The basis is that of the first round.
        """
        variance = prior.variance or _nearest(float((w - prior.mean).square().mean()))
        seen = curvature(
            w + FIRST * variance**0.5 * torch.randn(w.shape, generator=draws, dtype=w.dtype)[None], 0, None
        )
        if not isinstance(seen.basis, Blockwise):
            raise TypeError("the noise goes its way in a basis of blocks, and this curvature has another")
        q = Posterior(w, torch.full_like(seen.h, FIRST**2 * variance), seen.basis)
        best, least, worse = None, float("inf"), 0
        for i in range(self.rounds):
            h = seen.h if i == 0 else curvature(q.draw(1, draws), i, seen.basis).h
            q = Posterior(w, 1 / (KEPT / q.variances + (1 - KEPT) * (h / beta + 1 / variance)), seen.basis)
            if prior.variance is None:
                variance = _nearest(q.best_prior_variance(prior.mean))
            found = Fitted(q, Curvature((beta * (1 / q.variances - 1 / variance)).clamp(min=0), seen.basis), variance)
            again = torch.Generator().manual_seed(_AGAIN)  # the same noise and examples each time
            away = q.draw(_PAIRS, again) - w
            cost = float(loss(torch.cat([w + away, w - away]), again).mean()) + beta * q.kl(prior.mean, variance)
            if best is None or cost < least or not math.isfinite(least):
                best, least, worse = found, cost, 0
            else:
                worse += 1
            if worse == _WORSE:
                break
        if best is None:
            raise ValueError(f"{self.rounds} rounds find no noise; take 1 or more")
        return best


def _nearest(variance: float) -> float:
    """The λ² that may be chosen which is next to this one."""
    return min((scale**2 for scale in SCALES), key=lambda v: abs(math.log(v) - math.log(max(variance, 1e-300))))
