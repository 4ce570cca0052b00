"""Muon: steps of the same spectral size in every matrix, whatever the scale of its gradient."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from infoscope.training.optimizers import Adam, eager


@eager
class Muon(torch.optim.Optimizer):
    """Momentum whose matrices are made orthogonal (Jordan et al. 2024, "Muon"), and Adam for vectors.

    A weight with f inputs and o outputs (a convolution's kernel being part of its inputs) moves by
    lr · √(o/f) · orthogonal(momentum): the root makes the change in the layer's outputs as large in wide as in narrow
    layers (Yang, Simon & Bernstein 2023, "A spectral condition for feature learning"). Biases and gains move by Adam
    at a tenth of the rate. Badly scaled inputs, which cost Adam many steps, cost it few.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float = 0.02, momentum: float = 0.9) -> None:
        parameters = list(parameters)
        super().__init__(parameters, {"lr": lr, "momentum": momentum})
        self.matrices = [p for p in parameters if p.ndim > 1]
        self.momenta = [torch.zeros_like(p) for p in self.matrices]
        vectors = [p for p in parameters if p.ndim < 2]
        self.adam = Adam(vectors, lr, (0.9, 0.99), fused=True) if vectors else None

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One step from the gradients in `grad`; a parameter without one stays."""
        lr, momentum = (self.param_groups[0][k] for k in ("lr", "momentum"))
        for p, velocity in zip(self.matrices, self.momenta, strict=True):
            if p.grad is not None:
                velocity.lerp_(p.grad, 1 - momentum)
                step = orthogonal(p.grad.lerp(velocity, momentum).flatten(1)).view_as(p)
                p.add_(step, alpha=-lr * (p.shape[0] / p[0].numel()) ** 0.5)
        if self.adam is not None:
            self.adam.param_groups[0]["lr"] = 0.1 * lr
            self.adam.step()


def orthogonal(g: Tensor, iterations: int = 3) -> Tensor:
    """U Vᵀ of g = U S Vᵀ, roughly: singular values above 2 % of the Frobenius norm end between 0.68 and 1.21.

    Newton and Schulz's iteration with the quintic of Jordan et al. (2024): x ← 3.4445 x − 4.7750 x³ + 2.0315 x⁵. Of a
    matrix that is at least twice as long as wide only the small Gram matrix is iterated: every x is g times a
    polynomial of it.

    >>> orthogonal(torch.tensor([[3.0, 0.0], [0.0, 4.0]])).round(decimals=1)
    tensor([[0.8000, 0.0000],
            [0.0000, 1.1000]])
    """
    x = g.T if g.shape[0] > g.shape[1] else g
    x = x / (x.norm() + 1e-7)
    x = _by_gram(x, iterations) if x.shape[1] >= 2 * x.shape[0] else _by_products(x, iterations)
    return x.T if g.shape[0] > g.shape[1] else x


def orthogonal_operations(rows: int, columns: int, iterations: int = 3) -> int:
    """Operations of the products that `orthogonal` takes for a matrix of this shape."""
    r, c = sorted((rows, columns))
    if c >= 2 * r:
        return 4 * r * r * c + (8 * iterations - 4) * r**3
    return iterations * (4 * r * r * c + 2 * r**3)


def _by_products(x: Tensor, iterations: int) -> Tensor:
    for _ in range(iterations):
        a = x @ x.T
        x = 3.4445 * x + (2.0315 * a @ a - 4.7750 * a) @ x
    return x


def _by_gram(x: Tensor, iterations: int) -> Tensor:
    """With A = x xᵀ, x ← P x means A ← P A P, P being the polynomial of A; all P together meet x once."""
    a = x @ x.T
    whole = torch.eye(len(a), dtype=x.dtype, device=x.device)
    for i in range(iterations):
        step = torch.addmm(a, a, a, beta=-4.7750, alpha=2.0315)
        step.diagonal().add_(3.4445)
        whole = step @ whole
        if i + 1 < iterations:
            a = step @ a @ step
    return whole @ x
