"""Does the norm of an embedding say how hard a task is? Its rank correlation with the codelength at one size."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata

from infoscope.measurement import Measurement, Receipt, Status

FEWEST = 4


def rank_correlation(
    x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"], controlled: Float[np.ndarray, " n"] | None = None
) -> Measurement:
    """Spearman's ρ of x and y, dimensionless; partial where a third is held fixed. Error by a jackknife over tasks.

    The partial one is Pearson's correlation of what is left of the ranks after a regression on those of `controlled`;
    where all of `controlled` are equal there is nothing to take off, and it is ρ itself.

    >>> x = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    >>> round(rank_correlation(x, x**3).value, 12), rank_correlation(x, x**3, x).value
    (1.0, nan)
    """
    value = _rho(x, y, controlled)
    n = len(x)
    left = [
        _rho(np.delete(x, i), np.delete(y, i), None if controlled is None else np.delete(controlled, i))
        for i in range(n)
    ]
    error = float(np.sqrt((n - 1) / n * np.square(np.array(left) - np.mean(left)).sum())) if n > FEWEST else math.nan
    few = frozenset({Status.TOO_FEW_SAMPLES}) if n <= FEWEST else frozenset[Status]()
    name = "rho(|F|,L)" if controlled is None else "rho(|F|,L|n)"
    receipt = Receipt("rank correlation", n=n, over="tasks, a jackknife")
    return Measurement(name, value, error, "1", status=few, receipt=receipt)


def _rho(x: np.ndarray, y: np.ndarray, controlled: np.ndarray | None) -> float:
    a, b = (rankdata(v) - rankdata(v).mean() for v in (x, y))
    if controlled is not None:
        c = rankdata(controlled) - rankdata(controlled).mean()
        if c.any():
            a, b = (v - c * (v @ c) / (c @ c) for v in (a, b))
    size = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / size if size > 1e-9 * len(x) else math.nan
