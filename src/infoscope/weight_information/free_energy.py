"""Free energies along a path: what the Gibbs posterior costs, without any Gaussian."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

_ITERATIONS = 200


def thermodynamic_integral(
    t: Float[Tensor, " rungs"], mean: Float[Tensor, " rungs"], variance: Float[Tensor, " rungs"]
) -> Float[Tensor, " rungs"]:
    """F(t) − F(t_0) = ∫ E_u W du from t_0 > 0 on, nats, F(t) = −log E_base e^(−tW), by the mean work alone.

    Along u = log t the integrand is λ_E = tE, and its slope tE − t²Var is known as well: a step is
    Δu(λ + λ')/2 + Δu²(slope − slope')/12 (Friel, Hurn & Wyse 2014, whose correction this is).

    >>> t = torch.logspace(0, 2, 9, dtype=torch.float64)
    >>> round(float(thermodynamic_integral(t, 3 / t, 3 / t**2)[-1] / math.log(100)), 6)
    3.0
    """
    step, integrand = t.log().diff(), t * mean
    slope = integrand - t.square() * variance
    area = step * (integrand[1:] + integrand[:-1]) / 2 + step.square() * (slope[:-1] - slope[1:]) / 12
    return torch.cat([torch.zeros_like(t[:1]), area.cumsum(0)])


def bridged(t: Float[Tensor, " rungs"], work: Float[Tensor, "scans rungs chains"]) -> Float[Tensor, " rungs"]:
    """F at every rung, nats, from the works seen at both ends of each step (Bennett 1976): no error of any spacing."""
    rises = [
        _bennett(float(t[i + 1] - t[i]), work[:, i].flatten(), work[:, i + 1].flatten()) for i in range(len(t) - 1)
    ]
    return torch.cat([torch.zeros(1, dtype=torch.float64), torch.tensor(rises, dtype=torch.float64).cumsum(0)])


def _bennett(step: float, below: Tensor, above: Tensor) -> float:
    """The f with Σ_below 1/(1 + e^(Δw − f)) = Σ_above 1/(1 + e^(f − Δw)), by bisection."""
    low = step * min(float(below.min()), float(above.min()))
    high = step * max(float(below.max()), float(above.max()))
    for _ in range(_ITERATIONS):
        f = (low + high) / 2
        excess = float(torch.sigmoid(f - step * below).sum() - torch.sigmoid(step * above - f).sum())
        low, high = (low, f) if excess > 0 else (f, high)
        if math.isclose(low, high, rel_tol=1e-12, abs_tol=1e-12):
            break
    return (low + high) / 2
