"""What a certificate may leave out because hidden units have no names: the posterior averaged over their symmetries."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from infoscope.weight_information.certificate.confidence import mean_lower

_ROUNDS = 50  # of scaling rows and columns; the bound holds after any number of them
_FLOOR = 12.0  # nats below 0 at which a draw is cut; what is lost is exp(−12) at most


@dataclass(frozen=True)
class HiddenUnits:
    """A Gaussian posterior of one layer's hidden units, each by itself: what goes in and out of unit j is a row.

    `means` and `variances` are (units, weights a unit); `signs` says that a unit whose weights all change sign computes
    the same (tanh without other biases, not ReLU). The prior must be the same for all units, and centred on 0 where
    signs count: one that is centred on the initial weights tells units apart and leaves nothing to discount.
    """

    means: Float[Tensor, "units weights"]
    variances: Float[Tensor, "units weights"]
    signs: bool = False

    def __post_init__(self) -> None:
        if not bool((self.variances > 0).all()):
            raise ValueError("some variance of the posterior is 0 or below; a posterior without noise has no density")

    @property
    def most(self) -> float:
        """log|G|, nats: log u! of permutations, and log 2 a unit of signs.

        >>> units = HiddenUnits(torch.zeros(32, 1), torch.ones(32, 1), signs=True)
        >>> round(units.most, 1)
        103.7
        """
        units = len(self.means)
        return math.lgamma(units + 1) + (units * math.log(2) if self.signs else 0.0)

    def discount(self, draws: int, generator: torch.Generator) -> Float[Tensor, " draws"]:
        """Of every draw of w from q, no more than log q(w)/q̄(w), nats, q̄ the average of q over the symmetries.

        q and q̄ have the same risk, and KL(q̄‖p) = KL(q‖p) − E_q log q/q̄. The average over permutations is a permanent
        of the densities of the units at each other's places; after scaling rows and columns to 1 a permanent is at
        most the product of its row sums.
        """
        noise = torch.randn(draws, *self.means.shape, generator=generator, dtype=torch.float64)
        w = self.means.double() + self.variances.double().sqrt() * noise
        densities = self._log_densities(w)
        own = densities.diagonal(dim1=1, dim2=2).sum(1)
        if self.signs:
            densities = torch.logaddexp(densities, self._log_densities(-w))
        return own + self.most - log_permanent_upper(densities)

    def _log_densities(self, w: Float[Tensor, "draws units weights"]) -> Float[Tensor, "draws units units"]:
        """Log q_j(w_i), i the place in w."""
        precision, mean = 1 / self.variances.double(), self.means.double()
        constant = (precision * mean.square() - precision.log() + math.log(2 * math.pi)).sum(1)
        return -0.5 * (w.square() @ precision.T - 2 * w @ (precision * mean).T + constant)


def symmetry_discount(units: HiddenUnits, draws: int, delta: float, generator: torch.Generator) -> float:
    """A bound that E_q log q/q̄, nats, falls below with probability δ at most: what may be taken off KL(q‖p).

    Draws are cut at −12 nats: P(log q/q̄ ≤ −t) ≤ e^−t, so that the cut costs e^−12 in expectation. Above, no draw
    exceeds log|G|.
    """
    most = units.most
    if most == 0:
        return 0.0
    found = units.discount(draws, generator).clamp(min=-_FLOOR, max=most)
    low = mean_lower(((found + _FLOOR) / (most + _FLOOR)).clamp(0, 1), delta)
    return low * (most + _FLOOR) - _FLOOR - math.exp(-_FLOOR)


def log_permanent_upper(logs: Float[Tensor, "draws n n"]) -> Float[Tensor, " draws"]:
    """No less than log per(exp(logs)): rows and columns are scaled to sum to 1 in turn, then the rows' product taken.

    >>> float(log_permanent_upper(torch.eye(2)[None].log()))
    0.0
    """
    total = torch.zeros(len(logs), dtype=logs.dtype)
    for _ in range(_ROUNDS):
        for axis in (2, 1):
            scale = logs.logsumexp(axis, keepdim=True)
            logs, total = logs - scale, total + scale.sum((1, 2))
    return total + logs.logsumexp(2).sum(1)
