"""A few columns of many: those that have told most so far, and no others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from infoscope.data.targets import Real
from infoscope.prequential.experts.class_gaussians import densities
from infoscope.prequential.experts.columns import standard
from infoscope.prequential.experts.family import ExampleTarget, refitted
from infoscope.prequential.experts.of_classes import classwise
from infoscope.prequential.mixture import Experts

SHARED = 1e6
"""Examples that a covariance shared by all classes is worth."""


@dataclass(frozen=True)
class FewColumns:
    """The `sizes` columns with the largest correlation ratio so far, as if there were no others.

    Of classes a linear discriminant, means and covariance integrated out; of numbers a ridge regression. Where one
    column of hundreds tells the label, what shrinks all alike needs as many labels as there are columns; these need
    about the logarithm of that. They are the only experts here that depend on the axes.
    """

    sizes: tuple[int, ...] = (1, 2, 4, 16)
    powers: tuple[float, ...] = (0.7, 1.0)
    first: int = 4
    growth: float = 1.1

    def experts(self, x: Float[np.ndarray, "n d"], target: ExampleTarget, seed: int) -> Experts:
        """What they predict of the next example."""
        table = standard(x)
        if isinstance(target, Real):
            yield from refitted(self._means, len(self.sizes), table, target, seed, self.first, self.growth)
            return
        size = len(self.sizes) * len(self.powers)
        yield from refitted(classwise(self._rows, target), size, table, target, seed, self.first, self.growth)

    def _rows(
        self, past: np.ndarray, y: Int[np.ndarray, " past"], new: np.ndarray, classes: int
    ) -> Float[np.ndarray, "b experts classes"]:
        order = np.argsort(-between(past, y, classes), kind="stable")
        prior = np.log((np.bincount(y, minlength=classes) + 0.5) / (len(y) + classes / 2))
        logs = [densities(past[:, own], y, new[:, own], classes, SHARED) for own in self._leading(order)]
        rows = [power * each + prior for each in logs for power in self.powers]
        return np.stack([row - np.logaddexp.reduce(row, 1, keepdims=True) for row in rows], 1)

    def _means(self, past: np.ndarray, y: Float[np.ndarray, "past dim"], new: np.ndarray) -> np.ndarray:
        means = np.empty((len(new), len(self.sizes), y.shape[1]))
        for j, numbers in enumerate(y.T):
            centre = numbers.mean()
            told = abs((past - past.mean(0)).T @ (numbers - centre))
            for k, own in enumerate(self._leading(np.argsort(-told, kind="stable"))):
                a = past[:, own]
                weights = np.linalg.solve(a.T @ a + np.eye(len(own)), a.T @ (numbers - centre))
                means[:, k, j] = centre + new[:, own] @ weights
        return np.stack([means, np.ones_like(means)], -1)

    def _leading(self, order: Int[np.ndarray, " d"]) -> list[np.ndarray]:
        return [order[:size] for size in self.sizes]


def between(past: Float[np.ndarray, "n d"], y: Int[np.ndarray, " n"], classes: int) -> Float[np.ndarray, " d"]:
    """Of each column the share of its variance that lies between the classes: the correlation ratio η².

    >>> between(np.array([[0.0, 1.0], [0.0, -1.0], [2.0, 1.0], [2.0, -1.0]]), np.array([0, 0, 1, 1]), 2).tolist()
    [1.0, 0.0]
    """
    counts = np.bincount(y, minlength=classes)
    onehot = (y[:, None] == np.arange(classes)).astype(float)
    centred = past - past.mean(0)
    sums = onehot.T @ centred
    total = (centred**2).sum(0)
    return (sums**2 / np.maximum(counts, 1)[:, None]).sum(0) / np.where(total > 0, total, 1)
