"""Gaussian processes on the columns that have mattered so far: distances weighed by what forests split on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from infoscope.prequential.experts.columns import ranked
from infoscope.prequential.experts.family import ExampleTarget, refitted
from infoscope.prequential.experts.of_classes import classwise
from infoscope.prequential.gram import exponential, gaussian, median, squared_distances
from infoscope.prequential.memory import DOUBLE, of_refitted
from infoscope.prequential.mixture import Experts


@dataclass(frozen=True)
class Relevance:
    """Regression of the labels on ranked columns, each multiplied by the root of its importance to a forest.

    The forest is grown on the past, and so is everything else; its importances (Breiman 2001) stand in for the widths
    that a Gaussian process with one width a column would learn. It has fewer than `trees`
    while few labels are known, and down to `fewest` where they would be grown on more than so many `rows` in all. At
    most `most` past examples are landmarks.
    """

    trees: int = 60
    rows: int = 200_000
    fewest: int = 20
    noises: tuple[float, ...] = (0.03, 0.3)
    slopes: tuple[float, ...] = (6.0, 12.0)
    soft: tuple[float, ...] = (0.05, 0.15)
    most: int = 700
    first: int = 20
    growth: float = 1.2

    def experts(self, x: Float[np.ndarray, "n d"], target: ExampleTarget, seed: int) -> Experts:
        """What they predict of the next example."""
        size = 2 * len(self.noises) * (len(self.slopes) + len(self.soft))
        yield from refitted(classwise(self._rows, target), size, ranked(x), target, seed, self.first, self.growth)

    def memory(self, n: int, d: int, target: ExampleTarget) -> int:
        """How many bytes they fill at most for a table of n rows and d columns: mostly likeness to the landmarks."""
        some, rows = min(n, self.most), 2 * len(self.noises) * (len(self.slopes) + len(self.soft))
        likeness = DOUBLE * 4 * some * n + DOUBLE * 4 * some**2
        return likeness + of_refitted(n, d, 2 * rows * target.outputs, self.growth)

    def _rows(self, past: np.ndarray, y: Int[np.ndarray, " past"], new: np.ndarray, classes: int) -> np.ndarray:
        weights = self._importances(past, y) ** 0.5
        a, b = (torch.from_numpy(each * weights) for each in (past, new))
        onehot = torch.eye(classes, dtype=torch.float64)[torch.from_numpy(y)]
        rows = []
        for kind in (gaussian, exponential):
            for mean in self._means(kind, a, b, onehot - 1 / classes):
                rows += [mean * slope for slope in self.slopes]
                rows += [np.log(np.logaddexp(0, np.maximum((mean + 1 / classes) / s, -30))) for s in self.soft]
        return np.stack([row - np.logaddexp.reduce(row, 1, keepdims=True) for row in rows], 1)

    def _importances(self, past: np.ndarray, y: np.ndarray) -> Float[np.ndarray, " d"]:
        from sklearn.ensemble import ExtraTreesClassifier

        if len(np.unique(y)) < 2:
            return np.ones(past.shape[1])
        leaf = max(1, min(5, len(y) // 100))
        trees = min(self.trees, 10 + len(y) // 2, max(self.fewest, self.rows // len(y)))
        options: dict[str, Any] = {"max_features": 0.5, "min_samples_leaf": leaf, "random_state": 0}
        forest = ExtraTreesClassifier(trees, **options).fit(past, y)
        found = forest.feature_importances_
        return found / found.sum() if found.sum() > 0 else np.ones(past.shape[1])

    def _means(
        self, kind: Callable[[Tensor], Tensor], past: Tensor, new: Tensor, y: Float[Tensor, "past classes"]
    ) -> list[np.ndarray]:
        some = past[:: -(-len(past) // self.most)] if len(past) > self.most else past
        among = squared_distances(some, some)
        scale = median(among)
        root = torch.linalg.cholesky(kind(among / scale) + 1e-6 * torch.eye(len(some), dtype=torch.float64))
        phi, psi = (
            torch.linalg.solve_triangular(root, kind(squared_distances(some, each) / scale), upper=False)
            for each in (past, new)
        )
        gram, right = phi @ phi.T, phi @ y
        found = []
        for noise in self.noises:
            factor = torch.linalg.cholesky(gram + noise * torch.eye(len(gram), dtype=torch.float64))
            found.append((psi.T @ torch.cholesky_solve(right, factor)).numpy())
        return found
