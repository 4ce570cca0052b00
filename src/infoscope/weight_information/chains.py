"""Chains of weights as rows: the Metropolis-adjusted Langevin algorithm on the full gradient."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from infoscope.weight_information.gaussian import Axes, Basis, Posterior

Energy = Callable[[Tensor], tuple[Tensor, Tensor]]
"""From weights (rows, d) to a number a row, nats, and its gradient (rows, d). All examples count, none is drawn."""

_STEEP = 4.0


def restricted(energy: Energy, at: Float[Tensor, " d"], free: Int[Tensor, " k"]) -> Energy:
    """The same of some of the weights, those at the places `free`; all others are held where they are in `at`.

    >>> square = lambda w: (w.square().sum(1), 2 * w)
    >>> restricted(square, torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1]))(torch.tensor([[5.0]]))
    (tensor([35.]), tensor([[10.]]))
    """

    def of_some(w: Float[Tensor, "rows k"]) -> tuple[Float[Tensor, " rows"], Float[Tensor, "rows k"]]:
        whole = at.repeat(len(w), 1)
        whole[:, free] = w
        value, slope = energy(whole)
        return value, slope[:, free]

    return of_some


@dataclass(frozen=True, eq=False)
class Path:
    """From a Gaussian that one can draw from to a target: p_t ∝ base · e^(−tW), t from 0 on.

    With the prior as base and the loss as `work` t is b, the inverse temperature; with a posterior q as base and
    W = bL − log p + log q it leads to the Gibbs posterior at t = 1. Steps are taken along the axes of `basis`, each of
    a length of its own that the chains find out.
    """

    base: Posterior
    work: Energy
    basis: Basis = Axes()

    def at(self, w: Float[Tensor, "rows d"]) -> Rows:
        """These weights with all that is needed of them."""
        value, slope = self.work(w)
        return Rows(w, value, slope, self.base.log_density(w), self.base.log_density_gradient(w))


@dataclass(frozen=True, eq=False)
class Rows:
    """Weights (rows, d), their work (rows,), log density under the base (rows,), and both gradients (rows, d)."""

    w: Tensor
    work: Tensor
    work_slope: Tensor
    log_base: Tensor
    base_slope: Tensor

    def energy(self, t: Float[Tensor, " rows"]) -> Float[Tensor, " rows"]:
        """−log base + tW."""
        return t * self.work - self.log_base

    def slope(self, t: Float[Tensor, " rows"]) -> Float[Tensor, "rows d"]:
        """Its gradient."""
        return t[:, None] * self.work_slope - self.base_slope

    def where(self, take: Bool[Tensor, " rows"], other: Rows) -> Rows:
        """The other's rows where `take` says so."""
        wide = take[:, None]
        return Rows(
            torch.where(wide, other.w, self.w),
            torch.where(take, other.work, self.work),
            torch.where(wide, other.work_slope, self.work_slope),
            torch.where(take, other.log_base, self.log_base),
            torch.where(wide, other.base_slope, self.base_slope),
        )

    def take(self, index: Int[Tensor, " chosen"]) -> Rows:
        """These rows, in this order."""
        return Rows(
            self.w[index], self.work[index], self.work_slope[index], self.log_base[index], self.base_slope[index]
        )


@dataclass(frozen=True, eq=False)
class Stride:
    """The length of each row's steps (rows,), and their scales along the axes of the basis (rows, d)."""

    length: Tensor
    scale: Tensor


def langevin_step(
    path: Path, rows: Rows, t: Float[Tensor, " rows"], stride: Stride, draws: torch.Generator
) -> tuple[Rows, Float[Tensor, " rows"]]:
    """One step of every row, and the probability with which it was accepted.

    Proposed is w − ½εS clamp(εS∇U) + εSξ, accepted as Metropolis and Hastings say, so that p_t stays what it is
    whatever ε and S are. The drift is truncated at 4 (Roberts & Tweedie 1996, §4), or else a chain far out, where the
    loss is steep, would overshoot for ever. A proposal whose loss is not finite is refused. Rows at t = 0 are drawn
    afresh.
    """
    basis, size = path.basis, stride.length[:, None] * stride.scale
    noise = torch.randn(rows.w.shape, generator=draws, dtype=rows.w.dtype)
    away = size * (noise - _drift(size * basis.to(rows.slope(t))))
    target, fresh = rows.w + basis.back(away), t == 0
    if bool(fresh.any()):
        target[fresh] = path.base.draw(int(fresh.sum()), draws)
    proposed = path.at(target)
    back = _drift(size * basis.to(proposed.slope(t))) - away / size
    gain = rows.energy(t) - proposed.energy(t) + 0.5 * (noise.square() - back.square()).sum(1)
    probability = torch.nan_to_num(gain, nan=-torch.inf).clamp(max=0).exp().where(~fresh, torch.ones_like(t))
    accepted = torch.rand(len(t), generator=draws, dtype=rows.w.dtype) < probability
    return rows.where(accepted, proposed), probability


def _drift(slope: Tensor) -> Tensor:
    """Half the gradient, in units of the noise."""
    return 0.5 * slope.clamp(-_STEEP, _STEEP)
