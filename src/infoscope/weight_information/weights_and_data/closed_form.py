"""Shannon information between weights and data, of a training that ends in a minimum: a Gaussian channel, locally."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import grad, jacrev

_AT_REST = 1e-3
"""Nats that a Newton step may still promise."""


def shannon_information(
    data_covariance: Float[Tensor, "m m"], jacobian: Float[Tensor, "d m"], precision: Float[Tensor, "d d"]
) -> float:
    """I(w;D) = ½ log det(I + Cov(D) Jᵀ (F/β) J), nats: w = w*(D) + noise of covariance β F⁻¹, J = ∂w*/∂D.

    Exact where w* is linear in D and all is Gaussian, as in Bayesian linear regression: ½ Σ log(1 + s_j). `precision`
    is F/β. The slides' H(D) − ½ E log((2πeβ)^d / |…|), with the ½ that is missing there, is its limit ½ Σ log s_j for
    large s; it is −∞ as soon as the data have more dimensions than the weights.

    >>> s = torch.tensor([1.0, 3.0, 8.0], dtype=torch.float64)
    >>> f"{shannon_information(s.diag(), torch.eye(3), torch.eye(3)):.10f}"
    '2.1383330595'
    """
    return 0.5 * float(signal_to_noise(data_covariance, jacobian, precision).log1p().sum())


def signal_to_noise(
    data_covariance: Float[Tensor, "m m"], jacobian: Float[Tensor, "d m"], precision: Float[Tensor, "d d"]
) -> Float[Tensor, " m"]:
    """The eigenvalues s_j of Cov(D) Jᵀ (F/β) J, all 0 or more."""
    values, vectors = torch.linalg.eigh(data_covariance.double())
    if values.min() < -1e-9 * values.max():
        raise ValueError("the covariance of the data has eigenvalues below 0; give a covariance")
    root = jacobian.double() @ (vectors * values.clamp(min=0).sqrt())
    return torch.linalg.eigvalsh(root.T @ precision.double() @ root).clamp(min=0)


def minimiser_jacobian(
    loss: Callable[[Tensor, Tensor], Tensor], w: Float[Tensor, " d"], data: Float[Tensor, " m"]
) -> tuple[Float[Tensor, "d m"], Float[Tensor, "d d"]]:
    """(∂w*/∂D, H) at a minimiser w of loss(w, D) by implicit differentiation: −H⁻¹ ∂²L/∂w∂D, and H = ∂²L/∂w².

    A ValueError if w is no minimiser: H not positive definite, or a Newton step that would still gain 1e-3 nats.

    >>> loss = lambda w, d: ((w - 2 * d) ** 2).sum()
    >>> minimiser_jacobian(loss, torch.tensor([2.0]), torch.tensor([1.0]))[0]
    tensor([[2.]])
    """
    slope, curvature = grad(loss)(w, data), jacrev(grad(loss))(w, data)
    factor, failed = torch.linalg.cholesky_ex(curvature)
    if int(failed):
        raise ValueError("the loss is not curved upwards in all directions at w; train on, or add the prior's term")
    gain = 0.5 * float(slope @ torch.cholesky_solve(slope[:, None], factor).squeeze(1))
    if not gain <= _AT_REST:
        raise ValueError(f"w is no minimiser: a Newton step would still gain {gain:.3g} nats; train on")
    mixed = jacrev(grad(loss), argnums=1)(w, data)
    return -torch.cholesky_solve(mixed, factor), curvature
