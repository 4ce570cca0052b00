"""What a representation with known noise tells of its input, and how its units share it: bounds on both sides.

Z = m(x) + s(x) ε has a density given x that is known, so only the marginal of Z is not. Bounds differ in what they put
in its place. Whatever invertible function each unit goes through afterwards changes none of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

_SIZE = 1 << 22
"""Densities that are held at once."""


@dataclass(frozen=True, eq=False)
class Terms:
    """A bound as its terms, one an example, nats."""

    terms: Float[Tensor, " n"]

    @property
    def value(self) -> float:
        """Their mean."""
        return float(self.terms.mean())

    @property
    def stderr(self) -> float:
        """Over the examples, the others given; NaN for a single one."""
        n = len(self.terms)
        return float(self.terms.std()) / math.sqrt(n) if n > 1 else math.nan


@dataclass(frozen=True, eq=False)
class Rates:
    """Bounds on I(Z;X), nats: two from above and one from below, of one draw of Z an example.

    - `marginal` ≥: E KL(q(z|x) ‖ N(0, 1)), what is paid for in training (Alemi et al. 2017, eq. 14); in closed form;
    - `others` ≥: E log q(z|x) / mean of q(z|x') over the other examples (Poole et al. 2019, eq. 13);
    - `all` ≤: the same mean with x itself among them, so never above log n (eq. 12).
    """

    marginal: Terms
    others: Terms
    all: Terms

    @property
    def above(self) -> Terms:
        """The lower one of the two from above."""
        return min(self.marginal, self.others, key=lambda terms: terms.value)


def draw(mean: Float[Tensor, "n d"], sd: Float[Tensor, "n d"], seed: int) -> Float[Tensor, "n d"]:
    """One Z an example: m + s ε."""
    noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return mean.double().cpu() + sd.double().cpu() * noise


def kl_to_normal(mean: Float[Tensor, "*n d"], sd: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d"]:
    """KL(N(m, s²) ‖ N(0, 1)) of each unit, nats: ½ (m² + s² − 1) − log s.

    >>> kl_to_normal(torch.tensor([[1.0]]), torch.tensor([[1.0]]))
    tensor([[0.5000]])
    """
    return 0.5 * (mean.square() + sd.square() - 1) - sd.log()


def rates(mean: Float[Tensor, "n d"], sd: Float[Tensor, "n d"], seed: int = 0) -> Rates:
    """Bounds on I(Z;X) of Z = m(x) + s(x) ε, ε ~ N(0, 1).

    Two inputs that are told apart with certainty hold log 2 nats:

    >>> found = rates(torch.tensor([[-50.0], [50.0]]), torch.ones(2, 1))
    >>> round(found.all.value, 6)
    0.693147
    """
    _check(mean, sd)
    return _rates(draw(mean, sd, seed), mean.double().cpu(), sd.double().cpu())


def total_correlation(mean: Float[Tensor, "n d"], sd: Float[Tensor, "n d"], seed: int = 0) -> tuple[Terms, Terms]:
    """Bounds (below, above) on TC(Z) = KL(p(z) ‖ Π p(z_j)), nats, of Z = m(x) + s(x) ε with a noise of its own a unit.

    Given x the units are independent, so TC(Z) = Σ_j I(Z_j;X) − I(Z;X); each term is taken from its other side. They
    lie apart by what n examples cannot tell: where Z tells nearly all examples apart, the upper one is wide.
    """
    _check(mean, sd)
    z, mean, sd = draw(mean, sd, seed), mean.double().cpu(), sd.double().cpu()
    whole = _rates(z, mean, sd)
    units = [_rates(z[:, [j]], mean[:, [j]], sd[:, [j]]) for j in range(z.shape[1])]
    low = torch.stack([unit.all.terms for unit in units]).sum(0)
    high = torch.stack([unit.above.terms for unit in units]).sum(0)
    return Terms(low - whole.above.terms), Terms(high - whole.all.terms)


def _rates(z: Tensor, mean: Tensor, sd: Tensor) -> Rates:
    n = len(z)
    own, others = torch.empty(n, dtype=torch.float64), torch.empty(n, dtype=torch.float64)
    step = max(1, _SIZE // n)
    for i in range(0, n, step):
        density = _log_density(z[i : i + step], mean, sd)
        rows = torch.arange(len(density))
        own[i : i + step] = density[rows, rows + i]
        density[rows, rows + i] = -math.inf
        others[i : i + step] = density.logsumexp(1)
    among = torch.logaddexp(own, others) - math.log(n)
    marginal = kl_to_normal(mean, sd).sum(1)
    return Rates(Terms(marginal), Terms(own - (others - math.log(n - 1))), Terms(own - among))


def _log_density(z: Tensor, mean: Tensor, sd: Tensor) -> Tensor:
    """Log q(z_i|x_j) (m, n), but for the constant that all share."""
    found = torch.zeros(len(z), len(mean), dtype=torch.float64)
    for j in range(z.shape[1]):
        away = (z[:, j, None] - mean[None, :, j]) / sd[None, :, j]
        found -= away.square_().mul_(0.5).add_(sd[None, :, j].log())
    return found


def _check(mean: Tensor, sd: Tensor) -> None:
    if mean.shape != sd.shape or mean.ndim != 2 or len(mean) < 2 or not mean.shape[1]:
        raise ValueError(
            f"means have shape {tuple(mean.shape)} and deviations {tuple(sd.shape)}; give both as (n, d), two or more"
        )
    if not bool((mean.isfinite() & sd.isfinite() & (sd > 0)).all()):
        raise ValueError(
            "means or deviations are NaN or infinite, or a deviation is not above 0; the training diverged"
        )
