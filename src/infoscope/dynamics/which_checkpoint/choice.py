"""What a criterion would choose among checkpoints, what that costs on held-out examples, and how it ranks them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

DRAWS = 200
"""Samples of the held-out examples, with replacement, by which the error of a rank correlation is found."""


@dataclass(frozen=True)
class Choice:
    """The checkpoint of a criterion's least value, what it costs an example more than the best, and Kendall's τ.

    Errors are over held-out examples; nats.
    """

    place: int
    excess: float
    excess_stderr: float
    tau: float
    tau_stderr: float


def chosen(values: Sequence[float], losses: Float[np.ndarray, "checkpoints n"], seed: int) -> Choice:
    """What a criterion chooses, beside the losses of held-out examples at every checkpoint.

    The best checkpoint is found by one half of the examples and held against the choice by the other half, both ways
    round, so that being the best by chance does not count. τ-b is 1 where a criterion ranks all checkpoints as the
    losses do.

    >>> losses = np.array([[3.0, 3.0], [1.0, 1.0], [2.0, 2.0]])
    >>> found = chosen([5.0, 6.0, 7.0], losses, 0)
    >>> found.place, found.excess, round(found.tau, 2)
    (0, 2.0, -0.33)
    """
    order = np.random.default_rng(seed).permutation(losses.shape[1])
    place, excess = int(np.argmin(values)), np.zeros(losses.shape[1])
    for one, other in ((order[::2], order[1::2]), (order[1::2], order[::2])):
        best = int(np.argmin(losses[:, one].mean(1)))
        excess[other] = losses[place, other] - losses[best, other]
    n = len(excess)
    times = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=DRAWS)
    error = float(excess.std(ddof=1)) / math.sqrt(n)
    spread = float(np.std(kendall(values, times @ losses.T)))
    return Choice(place, float(excess.mean()), error, float(kendall(values, losses.mean(1))), spread)


def kendall(a: Sequence[float], b: Float[np.ndarray, "*draws k"]) -> Float[np.ndarray, "*draws"]:
    """Kendall's τ-b of k values with others, one for each draw; NaN where all of one are the same.

    >>> float(kendall([1.0, 2.0, 3.0], np.array([1.0, 3.0, 2.0]))), float(kendall([1.0, 1.0], np.array([1.0, 2.0])))
    (0.333..., nan)
    """
    i, j = np.triu_indices(len(a), 1)
    one, other = np.sign(np.asarray(a)[i] - np.asarray(a)[j]), np.sign(b[..., i] - b[..., j])
    pairs = np.sqrt((one != 0).sum() * (other != 0).sum(-1))
    with np.errstate(invalid="ignore"):
        return np.asarray((one * other).sum(-1) / pairs)
