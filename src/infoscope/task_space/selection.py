"""How good is a rule that chooses an expert? The error of what it chooses, over that of the best there was."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float

from infoscope.measurement import Measurement, Receipt, Status

CHANCE = "chance"

Scores = Mapping[str, Float[np.ndarray, "tasks experts"]]
"""Of every rule, for every task and expert; the smallest is chosen, NaN never."""


def chosen_errors(
    errors: Float[np.ndarray, "tasks experts"], scores: Float[np.ndarray, "tasks experts"] | None
) -> Float[np.ndarray, " tasks"]:
    """The error of the expert that a rule chooses for each task; without a rule the mean over experts.

    Experts that a task may not choose have NaN in `errors`. Equal scores are shared; a task of whose experts nothing is
    known has the mean.
    """
    found = []
    for row, own in zip(errors, errors if scores is None else scores, strict=True):
        allowed = np.isfinite(row)
        known = allowed & ~np.isnan(own)
        if scores is None or not known.any():
            found.append(row[allowed].mean())
        else:
            found.append(row[known & (own == own[known].min())].mean())
    return np.array(found)


def error_increase(errors: Float[np.ndarray, "tasks experts"], picked: Float[np.ndarray, " tasks"]) -> Measurement:
    """(Σ_t e_picked − Σ_t e_best) / Σ_t e_best, dimensionless, at least 0; its error is a jackknife over tasks.

    >>> round(error_increase(np.array([[0.1, 0.2], [0.3, 0.1]]), np.array([0.2, 0.1])).value, 12)
    0.5
    """
    best = np.nanmin(errors, 1)
    return _measured("error increase", picked, best, best)


def against(
    errors: Float[np.ndarray, "tasks experts"], picked: Float[np.ndarray, " tasks"], other: Float[np.ndarray, " tasks"]
) -> Measurement:
    """The error increase of one choice less that of another, paired by task: below 0 where it is the better rule."""
    return _measured("difference of error increase", picked, other, np.nanmin(errors, 1))


def _measured(quantity: str, picked: np.ndarray, other: np.ndarray, best: np.ndarray) -> Measurement:
    n, total = len(best), float(best.sum())
    value = float((picked - other).sum()) / total if total > 0 else math.nan
    kept: Bool[np.ndarray, "n n"] = ~np.eye(n, dtype=bool)
    left = np.array([(picked - other)[k].sum() / best[k].sum() if best[k].sum() > 0 else math.nan for k in kept])
    error = float(np.sqrt((n - 1) / n * np.square(left - left.mean()).sum())) if n > 1 else math.nan
    status = frozenset() if total > 0 and n > 2 else frozenset({Status.TOO_FEW_SAMPLES})
    return Measurement(
        quantity, value, error, "1", status=status, receipt=Receipt("choice", n=n, over="tasks, a jackknife")
    )
