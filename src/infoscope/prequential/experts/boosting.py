"""Gradient boosting of trees, grown anew as labels come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from infoscope.data.targets import Real
from infoscope.prequential.experts.family import ExampleTarget, refitted
from infoscope.prequential.experts.of_classes import classwise, columns_of, smoothed
from infoscope.prequential.memory import of_refitted
from infoscope.prequential.mixture import Experts

Setting = tuple[float, int, int]
"""Learning rate, rounds, leaves of a tree."""


@dataclass(frozen=True)
class Boosting:
    """scikit-learn's histogram gradient boosting (Friedman 2001; Ke et al. 2017), one expert a setting and stage.

    Of each setting what its first tenth, third and all of its rounds say are experts of their own, so where to stop
    needs no held-out part. There is a tree a class and round, at most `trees` in all. A leaf
    holds at least one example in `share`, and at most 20 are asked for.
    """

    settings: tuple[Setting, ...] = ((0.1, 100, 8), (0.1, 100, 31))
    stages: tuple[float, ...] = (0.1, 0.3, 1.0)
    share: int = 40
    trees: int = 1000
    first: int = 16
    growth: float = 1.25

    def experts(self, x: Float[np.ndarray, "n d"], target: ExampleTarget, seed: int) -> Experts:
        """What they predict of the next example."""
        predict = self._numbers if isinstance(target, Real) else classwise(self._classes, target)
        size = len(self.settings) * len(self.stages)
        yield from refitted(predict, size, x.astype(np.float32), target, seed, self.first, self.growth)

    def memory(self, n: int, d: int, target: ExampleTarget) -> int:
        """How many bytes they fill at most for a table of n rows and d columns."""
        rows = 2 * self._size * target.outputs
        return 2 * n * d + 40 * n * target.outputs + of_refitted(n, d, rows, self.growth)

    def _classes(self, past: np.ndarray, y: np.ndarray, new: np.ndarray, classes: int) -> np.ndarray:
        from sklearn.ensemble import HistGradientBoostingClassifier

        seen = np.unique(y)
        if len(seen) < 2:
            return np.stack([smoothed(np.full((len(new), classes), 1 / classes), y, 1.0)] * self._size, 1)
        rows = []
        for rate, most, leaves in self.settings:
            rounds = max(10, min(most, self.trees // len(seen)))
            options = self._options(rate, rounds, leaves, len(y))
            model = HistGradientBoostingClassifier(**options).fit(past, y)
            for i, p in enumerate(model.staged_predict_proba(new), 1):
                if i in self._stops(rounds):
                    rows.append(smoothed(columns_of(p, model.classes_, classes), y, 1 / (len(y) + 2)))
        return np.stack(rows, 1)

    def _numbers(self, past: np.ndarray, y: np.ndarray, new: np.ndarray) -> np.ndarray:
        from sklearn.ensemble import HistGradientBoostingRegressor

        found = np.empty((len(new), self._size, y.shape[1]))
        for j, column in enumerate(y.T):
            means = []
            for rate, rounds, leaves in self.settings:
                options = self._options(rate, rounds, leaves, len(y))
                model = HistGradientBoostingRegressor(**options).fit(past, column)
                staged = enumerate(model.staged_predict(new), 1)
                means += [mean for i, mean in staged if i in self._stops(rounds)]
            found[:, :, j] = np.stack(means, 1)
        return np.stack([found, np.ones_like(found)], -1)

    def _options(self, rate: float, rounds: int, leaves: int, n: int) -> dict[str, Any]:
        return {
            "learning_rate": rate, "max_iter": rounds, "max_leaf_nodes": leaves, "min_samples_leaf": self._leaf(n),
            "early_stopping": False, "random_state": 0,
        }  # fmt: skip

    @property
    def _size(self) -> int:
        return len(self.settings) * len(self.stages)

    def _stops(self, rounds: int) -> list[int]:
        return [max(1, round(stage * rounds)) for stage in self.stages]

    def _leaf(self, n: int) -> int:
        return max(1, min(20, n // self.share))
