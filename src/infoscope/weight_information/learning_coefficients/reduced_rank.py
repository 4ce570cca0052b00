"""Reduced-rank regression: a singular model whose learning coefficient is known exactly."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from infoscope.weight_information.chains import Energy


def learning_coefficient(inputs: int, outputs: int, hidden: int, rank: int) -> tuple[float, int]:
    """(λ, m) of y = B A x with A (hidden, inputs), B (outputs, hidden), where the truth has this rank.

    Aoyagi & Watanabe 2005, Main Theorem: four cases by how the sizes exceed each other.

    >>> learning_coefficient(5, 5, 3, 1), learning_coefficient(5, 5, 3, 0)
    ((8.0, 1), (6.5, 2))
    """
    m, n, h, r = inputs, outputs, hidden, rank
    if not 0 <= r <= min(m, n, h):
        raise ValueError(f"rank {r} of {n} × {h} times {h} × {m}; it is at most {min(m, n, h)}")
    if n + r > m + h:
        return (h * m - h * r + n * r) / 2, 1
    if m + r > n + h:
        return (h * n - h * r + m * r) / 2, 1
    if h + r > m + n:
        return m * n / 2, 1
    odd = (m + h + n + r) % 2
    return (-((h + r) ** 2) - m * m - n * n + 2 * (h + r) * (m + n) + 2 * m * n + odd) / 8, 1 + odd


def reduced_rank_loss(inputs: int, outputs: int, hidden: int, rank: int) -> Energy:
    """½|BA − B_0 A_0|², the expected loss for white inputs and noise of variance 1, of rows (A, B) side by side.

    The truth B_0 A_0 has orthogonal columns of length 1: all its singular values are 1.
    """
    a, b = _factors(inputs, outputs, hidden, rank)
    truth = b @ a

    def loss(w: Float[Tensor, "rows d"]) -> tuple[Float[Tensor, " rows"], Float[Tensor, "rows d"]]:
        a, b = w.split([hidden * inputs, outputs * hidden], 1)
        a, b = a.unflatten(1, (hidden, inputs)), b.unflatten(1, (outputs, hidden))
        left = b @ a - truth
        slope = torch.cat([(b.mT @ left).flatten(1), (left @ a.mT).flatten(1)], 1)
        return 0.5 * left.square().sum((1, 2)), slope

    return loss


def reduced_rank_truth(inputs: int, outputs: int, hidden: int, rank: int) -> Float[Tensor, " d"]:
    """Weights (A, B) of loss 0, in one row."""
    return torch.cat([factor.flatten() for factor in _factors(inputs, outputs, hidden, rank)])


def _factors(inputs: int, outputs: int, hidden: int, rank: int) -> tuple[Tensor, Tensor]:
    a = torch.zeros(hidden, inputs, dtype=torch.float64)
    b = torch.zeros(outputs, hidden, dtype=torch.float64)
    a[range(rank), range(rank)] = b[range(rank), range(rank)] = 1.0
    return a, b
