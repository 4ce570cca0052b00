"""What a representation with known noise tells of its input, and how its units share it: bounds on both sides.

Z = m(x) + s(x) ε has a density given x that is known, so only the marginal of Z is not. Bounds differ in what they put
in its place. Whatever invertible function each unit goes through afterwards changes none of them.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from infoscope.bottleneck.mixture_marginal import Mixture

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
    """Bounds on I(Z;X), nats: two or three from above and one from below, of one draw of Z an example.

    - `marginal` ≥: E KL(q(z|x) ‖ N(0, 1)), what is paid for in training (Alemi et al. 2017, eq. 14); in closed form;
    - `others` ≥: E log q(z|x) / mean of q(z|x') over the other examples (Poole et al. 2019, eq. 13);
    - `mixture` ≥: E log q(z|x) / r(z), r a mixture learned from codes of other examples (Alemi et al. 2018, eq. 4);
    - `all` ≤: the mean of `others` with x itself among them, so never above log n (eq. 12).
    """

    marginal: Terms
    others: Terms
    all: Terms
    mixture: Terms | None = None

    @property
    def above(self) -> Terms:
        """The lowest of those from above."""
        return least((self.marginal, self.others, *(() if self.mixture is None else (self.mixture,))))


def least(bounds: Sequence[Terms]) -> Terms:
    """The lowest of bounds from above: which one, is chosen for either half of the examples by the other half.

    The least of several means would be too low by chance, the more so the fewer the examples; chosen by others, each
    term is one of a bound.

    >>> least([Terms(torch.tensor([1.0, 4.0])), Terms(torch.tensor([3.0, 2.0]))]).terms
    tensor([3., 4.])
    """
    terms = torch.stack([bound.terms for bound in bounds])
    even = torch.arange(terms.shape[1]) % 2 == 0
    found = terms[0].clone()
    for half in (even, ~even):
        found[half] = terms[terms[:, ~half].mean(1).argmin()][half]
    return Terms(found)


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


def rates(mean: Float[Tensor, "n d"], sd: Float[Tensor, "n d"], seed: int = 0, mixture: Mixture | None = None) -> Rates:
    """Bounds on I(Z;X) of Z = m(x) + s(x) ε, ε ~ N(0, 1). The mixture must have been learned from other examples.

    Two inputs that are told apart with certainty hold log 2 nats:

    >>> found = rates(torch.tensor([[-50.0], [50.0]]), torch.ones(2, 1))
    >>> round(found.all.value, 6)
    0.693147
    """
    _check(mean, sd)
    return _rates(draw(mean, sd, seed), mean.double().cpu(), sd.double().cpu(), mixture)


def total_correlation(
    mean: Float[Tensor, "n d"], sd: Float[Tensor, "n d"], seed: int = 0, mixture: Mixture | None = None
) -> tuple[Terms, Terms]:
    """Bounds (below, above) on TC(Z) = KL(p(z) ‖ Π p(z_j)), nats, of Z = m(x) + s(x) ε with a noise of its own a unit.

    Given x the units are independent, so TC(Z) = Σ_j I(Z_j;X) − I(Z;X); each term is taken from its other side. They
    lie apart by what n examples cannot tell: where Z tells nearly all examples apart, the upper one is wide.
    """
    _check(mean, sd)
    z, mean, sd = draw(mean, sd, seed), mean.double().cpu(), sd.double().cpu()
    whole = _as_drawn(_rates(z, mean, sd, mixture), z, mean, sd)
    parts = [(z[:, [j]], mean[:, [j]], sd[:, [j]]) for j in range(z.shape[1])]
    units = [_as_drawn(_rates(*part), *part) for part in parts]
    low = torch.stack([unit.all.terms for unit in units]).sum(0)
    high = torch.stack([unit.above.terms for unit in units]).sum(0)
    return Terms(low - whole.above.terms), Terms(high - whole.all.terms)


def _as_drawn(found: Rates, z: Tensor, mean: Tensor, sd: Tensor) -> Rates:
    """The same with log q(z|x)/N(z; 0, 1) of the draw in place of its mean: what q(z|x) adds then cancels from TC."""
    away = (z.square() - mean.square() - sd.square()) - (((z - mean) / sd).square() - 1)
    return dataclasses.replace(found, marginal=Terms(found.marginal.terms + 0.5 * away.sum(1)))


def _rates(z: Tensor, mean: Tensor, sd: Tensor, mixture: Mixture | None = None) -> Rates:
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
    learned = None
    if mixture is not None:
        learned = Terms(own - z.shape[1] / 2 * math.log(2 * math.pi) - mixture.log_density(z))
    return Rates(Terms(marginal), Terms(own - (others - math.log(n - 1))), Terms(own - among), learned)


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
