"""Forests of randomised trees, grown anew as labels come."""

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


@dataclass(frozen=True)
class Forest:
    """Random forests (Breiman 2001) and extremely randomised trees (Geurts, Ernst & Wehenkel 2006) of scikit-learn.

    Each of `leaves`, the smallest leaf, makes one of both, of at most `trees`: fewer while few labels are known, and
    down to `fewest` where they would be grown on more than so many `rows` in all. Shares in the leaves, averaged over
    trees, are read as probabilities, with a weight of 1/(n + 2) on the classes' frequencies; of numbers their mean.
    """

    trees: int = 100
    leaves: tuple[int, ...] = (2,)
    features: float = 0.4
    rows: int = 300_000
    fewest: int = 25
    first: int = 12
    growth: float = 1.25

    def experts(self, x: Float[np.ndarray, "n d"], target: ExampleTarget, seed: int) -> Experts:
        """What they predict of the next example."""
        table = x.astype(np.float32)
        predict = self._numbers if isinstance(target, Real) else classwise(self._classes, target)
        yield from refitted(predict, 2 * len(self.leaves), table, target, seed, self.first, self.growth)

    def memory(self, n: int, d: int, target: ExampleTarget) -> int:
        """How many bytes they fill at most for a table of n rows and d columns: both forests have their last trees."""
        nodes = 2 * len(self.leaves) * self._trees(n) * 2 * n // min(self.leaves)
        rows = 4 * len(self.leaves) * target.outputs
        return nodes * (64 + 8 * target.outputs) + of_refitted(n, d, rows, self.growth)

    def _classes(self, past: np.ndarray, y: np.ndarray, new: np.ndarray, classes: int) -> np.ndarray:
        from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier

        if not len(y):
            return np.full((len(new), 2 * len(self.leaves), classes), -np.log(classes))
        rows, trees = [], self._trees(len(y))
        for leaf in self.leaves:
            some: dict[str, Any] = {"max_features": self.features}
            forest = RandomForestClassifier(trees, min_samples_leaf=leaf, random_state=0)
            extra = ExtraTreesClassifier(trees, min_samples_leaf=leaf, random_state=0, **some)
            for model in (forest, extra):
                model.fit(past, y)
                p = columns_of(np.asarray(model.predict_proba(new)), np.asarray(model.classes_), classes)
                rows.append(smoothed(p, y, 1 / (len(y) + 2)))
        return np.stack(rows, 1)

    def _numbers(self, past: np.ndarray, y: np.ndarray, new: np.ndarray) -> np.ndarray:
        from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor

        means = []
        for leaf in self.leaves:
            options: dict[str, Any] = {"min_samples_leaf": leaf, "max_features": self.features, "random_state": 0}
            for kind in (RandomForestRegressor, ExtraTreesRegressor):
                model = kind(self._trees(len(y)), **options).fit(past, y[:, 0] if y.shape[1] == 1 else y)
                means.append(model.predict(new).reshape(len(new), -1))
        found = np.stack(means, 1)
        return np.stack([found, np.ones_like(found)], -1)

    def _trees(self, n: int) -> int:
        return min(self.trees, 10 + n // 2, max(self.fewest, self.rows // n))
