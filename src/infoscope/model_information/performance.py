"""How well a trained network does on examples that it has not seen, in the measure of their target."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from infoscope.data.targets import Boxes, Classes, Labels, Real, Tokens
from infoscope.data.task import Task
from infoscope.measurement import Measurement, Receipt
from infoscope.prequential.loss_curve import lead, mean_or_nan

Predictions = Mapping[int, Float[np.ndarray, "n ..."]]
"""What each replicate's network predicts, by seed (see `infoscope.training.predict.Predictions`)."""


def performance(task: Task, p: Predictions, receipt: Receipt) -> list[Measurement]:
    """The measures that are usual for the task's target; the error is over the networks."""
    match task.target:
        case Classes():
            y = task.labels.numpy()
            return [accuracy(p, y, receipt), confidence(p, y, receipt)]
        case Labels():
            return [_over_networks("micro-accuracy", "1", p, lambda q: micro_accuracy(q, task.y), receipt)]
        case Real():
            return [_over_networks("R²", "1", p, lambda q: explained(q, task.y), receipt)]
        case Tokens():
            return [_over_networks("loss a token", "nat", p, lambda q: -float(np.nanmean(q)), receipt)]
        case Boxes():
            return []


def _over_networks(
    quantity: str, unit: str, p: Predictions, measure: Callable[[np.ndarray], float], receipt: Receipt
) -> Measurement:
    values = {seed: measure(rows) for seed, rows in p.items()}
    return Measurement.from_replicates(quantity, values, unit=unit, receipt=receipt)


def micro_accuracy(p: Float[np.ndarray, "n names"], y: Tensor) -> float:
    """Fraction of the labels that are not masked whose probability lies on the right side of one half."""
    sent = y.numpy() >= 0
    return mean_or_nan(((p > 0.5) == (y.numpy() > 0))[sent])


def explained(p: Float[np.ndarray, "n dim"], y: Tensor) -> float:
    """R² = 1 − Σ (y − f)² / Σ (y − ȳ)², the mean over dimensions; NaN where a number never changes."""
    truth = y.double().numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        each = 1 - ((truth - p) ** 2).sum(0) / ((truth - truth.mean(0)) ** 2).sum(0)
    return float(np.where(np.isfinite(each), each, np.nan).mean())


def accuracy(p: Predictions, y: Int[np.ndarray, " n"], receipt: Receipt) -> Measurement:
    """Fraction of examples whose most probable class is the true one; the error is over the networks."""
    values = {seed: mean_or_nan(lead(rows, y)[0]) for seed, rows in p.items()}
    return Measurement.from_replicates("accuracy", values, unit="1", receipt=receipt)


def confidence(p: Predictions, y: Int[np.ndarray, " n"], receipt: Receipt) -> Measurement:
    """Mean lead of the most probable class over the second, E_x[p_c1(x) − p_c2(x)].

    Eq. (9)-(11) of "Model Information as an Analysis Tool in Deep Learning".
    """
    values = {seed: mean_or_nan(lead(rows, y)[1]) for seed, rows in p.items()}
    return Measurement.from_replicates("confidence", values, unit="1", receipt=receipt)
