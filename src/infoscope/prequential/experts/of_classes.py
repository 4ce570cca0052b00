"""What tells classes apart, made to tell several labels apart, each by itself."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int

from infoscope.data.targets import Classes
from infoscope.prequential.experts.family import ExampleTarget, Predict

OfClasses = Callable[[np.ndarray, Int[np.ndarray, " past"], np.ndarray, int], Float[np.ndarray, "b experts classes"]]
"""From past inputs, their classes, a block's inputs and the number of classes: log-probabilities."""


def classwise(predict: OfClasses, target: ExampleTarget) -> Predict:
    """Of `Classes` the same; of `Labels` logits, from the examples whose label is not masked, label by label."""
    if isinstance(target, Classes):
        return lambda past, y, new: predict(past, y, new, target.outputs)

    def each(past: np.ndarray, y: Int[np.ndarray, "past names"], new: np.ndarray) -> np.ndarray:
        logits = []
        for labels in y.T:
            sent = labels >= 0
            rows = predict(past[sent], labels[sent], new, 2)
            logits.append(rows[..., 1] - rows[..., 0])
        return np.stack(logits, -1)

    return each


def smoothed(p: Float[np.ndarray, "b classes"], y: Int[np.ndarray, " past"], weight: float) -> Float[np.ndarray, "b c"]:
    """Log of probabilities with so much weight on the classes' frequencies so far, (n_c + ½) / (n + C/2).

    >>> smoothed(np.array([[1.0, 0.0]]), np.array([0]), 0.5).round(3).tolist()
    [[-0.134, -2.079]]
    """
    counts = np.bincount(y, minlength=p.shape[1]) + 0.5
    return np.log((1 - weight) * p + weight * counts / counts.sum())


def columns_of(
    p: Float[np.ndarray, "b seen"], seen: Int[np.ndarray, " seen"], classes: int
) -> Float[np.ndarray, "b c"]:
    """Probabilities of the classes that a model has seen, 0 for the others."""
    full = np.zeros((len(p), classes))
    full[:, seen] = p
    return full
