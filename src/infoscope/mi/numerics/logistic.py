"""Logistic regression with a penalty, for more columns than examples can settle: a path from strong to weak."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float, Int
from scipy.special import log_softmax, softmax

STEPS = 200
"""Steps of the accelerated gradient for each penalty, which begins where the stronger one ended."""

SETTLED = 1e-4
"""A step that moves every weight by less is the last."""

Penalty = Literal["squares", "absolute"]


def path(
    x: Float[np.ndarray, "n d"], y: Int[np.ndarray, " n"], classes: int, penalty: Penalty, strengths: Sequence[float]
) -> Iterator[tuple[Float[np.ndarray, "d c"], Float[np.ndarray, " c"]]]:
    """Weights and intercepts of least mean cross-entropy + strength · (½ Σ w² or Σ |w|), for each strength in turn.

    By FISTA (Beck & Teboulle 2009), begun anew where it overshoots (O'Donoghue & Candès 2015).
    """
    n, d = x.shape
    target = np.eye(classes)[y]
    centre = x.mean(0)
    x = x - centre
    # Cross-entropy curves by at most ½ of the inputs' largest second moment; one more column is the intercept.
    rate = 1 / (0.5 * max(1.0, float(np.linalg.norm(x, 2)) ** 2 / n))
    weights, intercept = np.zeros((d, classes)), np.log(np.maximum(target.mean(0), 0.5 / n))
    for strength in strengths:
        ahead, ahead_0, momentum = weights, intercept, 1.0
        for _ in range(STEPS):
            error = (softmax(x @ ahead + ahead_0, axis=1) - target) / n
            new = _shrunk(ahead - rate * x.T @ error, rate * strength, penalty)
            new_0 = ahead_0 - rate * error.sum(0)
            if float(((ahead - new) * (new - weights)).sum()) > 0:
                momentum = 1.0
            later = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
            pull = (momentum - 1) / later
            ahead, ahead_0 = new + pull * (new - weights), new_0 + pull * (new_0 - intercept)
            moved = float(np.abs(new - weights).max())
            weights, intercept, momentum = new, new_0, later
            if moved < SETTLED:
                break
        yield weights, intercept - centre @ weights


def _shrunk(w: Float[np.ndarray, "d c"], by: float, penalty: Penalty) -> Float[np.ndarray, "d c"]:
    return w / (1 + by) if penalty == "squares" else np.sign(w) * np.maximum(np.abs(w) - by, 0)


def cross_entropy(
    x: Float[np.ndarray, "n d"], y: Int[np.ndarray, " n"], weights: Float[np.ndarray, "d c"], intercept: np.ndarray
) -> float:
    """Mean −log p(y|x)."""
    return float(-log_softmax(x @ weights + intercept, axis=1)[np.arange(len(y)), y].mean())
