"""Where a curve stops growing, and the largest of several noisy means: pure functions of (replicates, tasks)."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float
from scipy.stats import t as student

Values = Float[np.ndarray, "replicates tasks"]
"""What each replicate came to on each task, the tasks in order of their complexity."""

CONFIDENCE = 0.95
"""With which a rise must be seen before a plateau, and none like it on it."""


def plateau_begins(values: Values, complexity: Float[np.ndarray, " tasks"]) -> int | None:
    """The first task of the longest tail on which the values no longer grow; None where no plateau is visible.

    On such a tail of two tasks or more neither the slope against the complexity nor the rise from its first task to the
    mean of its others, per step, is half as steep as what came before, which is above 0: both with 95 % confidence by
    Student's t over the replicates. So one replicate shows no plateau, nor do fewer than three tasks, nor values that
    never rose: these may have been held back by the tasks.

    >>> values = np.array([[10.0, 20, 30, 31, 30], [11, 21, 31, 30, 32]])
    >>> plateau_begins(values, np.arange(5.0)), plateau_begins(values[:, :3], np.arange(3.0))
    (2, None)
    """
    replicates, tasks = values.shape
    if replicates < 2:
        return None
    quantile = float(student.ppf(CONFIDENCE, replicates - 1))
    for first in range(1, tasks - 1):
        tail = values[:, first:]
        step = complexity[first + 1] - complexity[first]
        before, error = _mean(_slopes(values[:, : first + 1], complexity[: first + 1]))
        after = (_slopes(tail, complexity[first:]), (tail[:, 1:].mean(1) - tail[:, 0]) / step)
        highest = max(mean + quantile * stderr for mean, stderr in map(_mean, after))
        if before > quantile * error and highest < before / 2:
            return first
    return None


def surely_more(values: Values, than: Values) -> bool:
    """Whether the mean over tasks is larger with the same confidence, paired; False of other numbers of replicates."""
    if len(values) != len(than) or len(values) < 2:
        return False
    mean, error = _mean(values.mean(1) - than.mean(1))
    return mean > float(student.ppf(CONFIDENCE, len(values) - 1)) * error


def cross_fitted_maximum(values: Values) -> Float[np.ndarray, " replicates"]:
    """Each replicate on the task that is the best of the *other* replicates; NaN of a single one.

    The largest of several noisy means is too large on average, since the noise takes part in the choice. Here what is
    chosen by is not what is measured, so the mean is never too large: max_D of the expectations is its upper limit.

    >>> cross_fitted_maximum(np.array([[1.0, 2], [3, 0]])).tolist()
    [1.0, 0.0]
    """
    n = len(values)
    if n < 2:
        return np.full(n, math.nan)
    others = (values.sum(0) - values) / (n - 1)
    return values[np.arange(n), others.argmax(1)]


def _slopes(values: Values, x: Float[np.ndarray, " tasks"]) -> Float[np.ndarray, " replicates"]:
    """The least-squares slope of each replicate."""
    centred = x - x.mean()
    return values @ centred / (centred @ centred)


def _mean(values: Float[np.ndarray, " replicates"]) -> tuple[float, float]:
    return float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(values)))
