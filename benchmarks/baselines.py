"""What anybody would try first: scikit-learn's models refitted at a growing prefix, each mixed over a few settings."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.special import logsumexp
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from infoscope import Real
from infoscope.prequential import real
from infoscope.prequential.loss_curve import predictions
from infoscope.prequential.mixture import Experts

FIRST = 10
"""Labels that are sent before anything is fitted."""


@dataclass(frozen=True)
class Baseline:
    """Models of several settings, fitted anew whenever the past has grown by `growth`."""

    models: tuple[Callable[[], Any], ...]
    growth: float = 1.25


STEADY: dict[str, Any] = {"random_state": 0, "early_stopping": False}
LEAVES, PENALTIES, STRENGTHS, NEAR = (1, 5), (1.0, 10.0, 100.0), (0.03, 0.3, 3.0), (3, 10, 30)
BOOSTED: tuple[dict[str, Any], ...] = (
    {},
    {"learning_rate": 0.1, "max_iter": 50, "max_leaf_nodes": 8, "min_samples_leaf": 5},
    {"learning_rate": 0.3, "max_iter": 30, "max_depth": 3, "min_samples_leaf": 5},
)


class _Neighbours(KNeighborsClassifier):
    """Of as many neighbours as there are, where they are fewer."""

    def fit(self, x: Any, y: Any) -> Any:
        self.n_neighbors = min(self.n_neighbors, len(x))
        return super().fit(x, y)


def _scaled(model: Any) -> Any:
    return make_pipeline(StandardScaler(), model)


CLASSIFIERS = {
    "logistic": Baseline(tuple(lambda c=c: _scaled(LogisticRegression(C=c, max_iter=2000)) for c in STRENGTHS)),
    "forest": Baseline(
        tuple(lambda leaf=leaf: RandomForestClassifier(200, min_samples_leaf=leaf, random_state=0) for leaf in LEAVES)
    ),
    "boosting": Baseline(tuple(lambda o=o: HistGradientBoostingClassifier(**STEADY, **o) for o in BOOSTED), 1.6),
    "kNN": Baseline(tuple(lambda k=k: _scaled(_Neighbours(k)) for k in NEAR)),
}

REGRESSORS = {
    "ridge": Baseline(tuple(lambda a=a: _scaled(Ridge(a)) for a in PENALTIES)),
    "forest": Baseline(
        tuple(lambda leaf=leaf: RandomForestRegressor(200, min_samples_leaf=leaf, random_state=0) for leaf in LEAVES)
    ),
    "boosting": Baseline(tuple(lambda o=o: HistGradientBoostingRegressor(**STEADY, **o) for o in BOOSTED), 1.6),
}


def bits_of_classes(baseline: Baseline, x: np.ndarray, y: np.ndarray, classes: int) -> float:
    """A Bayes mixture over the settings; a share of 1/(n + 2) of each prediction is the classes' frequencies so far."""
    costs = np.zeros(len(baseline.models))
    for start, stop in _prefixes(len(y), baseline.growth):
        counts = np.bincount(y[:start], minlength=classes) + 0.5
        known = counts / counts.sum()
        for i, model in enumerate(baseline.models):
            p = np.tile(known, (stop - start, 1))
            if start and len(np.unique(y[:start])) > 1:
                fitted, said = _fitted(model(), x[:start], y[:start]), np.zeros((stop - start, classes))
                said[:, fitted.classes_] = fitted.predict_proba(x[start:stop])
                p = (1 - 1 / (start + 2)) * said + p / (start + 2)
            costs[i] -= np.log(p[np.arange(stop - start), y[start:stop]]).sum()
    return _mixed(costs)


def bits_of_labels(baseline: Baseline, x: np.ndarray, y: np.ndarray) -> float:
    """Label by label, those of the same example that were sent before among the inputs; −1 is a label not sent."""
    bits = 0.0
    for j, label in enumerate(y.T):
        sent = label >= 0
        inputs = np.concatenate([x, y[:, :j]], 1)
        bits += bits_of_classes(baseline, inputs[sent], label[sent], 2)
    return bits


def bits_of_numbers(baseline: Baseline, x: np.ndarray, y: np.ndarray, target: Real) -> float:
    """The code of `Real` with the settings' means for experts: the noise is learned from their past residuals."""
    numbers = target.standard(torch.from_numpy(y)).numpy()
    means = np.zeros((len(y), len(baseline.models), y.shape[1]))
    for start, stop in _prefixes(len(y), baseline.growth):
        for i, model in enumerate(baseline.models if start else ()):
            for j, column in enumerate(numbers[:start].T):
                means[start:stop, i, j] = _fitted(model(), x[:start], column).predict(x[start:stop])
    rows = np.stack([means, np.ones_like(means)], -1)
    symbols, _ = target.cut(torch.from_numpy(y))
    sender = real.mixture(_said(rows), target, target.mask(torch.from_numpy(y)))
    said = predictions(sender, symbols)
    return -float(sum(np.log2(p[symbol]) for p, symbol in zip(said, symbols.tolist(), strict=True)))


def _said(rows: np.ndarray) -> Experts:
    for i in range(len(rows)):
        yield rows[i]


def _fitted(model: Any, x: np.ndarray, y: np.ndarray) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(x, y)


def _prefixes(n: int, growth: float) -> Iterator[tuple[int, int]]:
    start = 0
    while start < n:
        stop = min(n, max(FIRST, int(start * growth)))
        yield start, stop
        start = stop


def _mixed(costs: np.ndarray) -> float:
    return float((np.log(len(costs)) - logsumexp(-costs)) / np.log(2))
