"""Wrong labels that are planted: of every class alike, of some classes only, and where a weaker annotator is unsure."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression

NOISES = (("none", 0.0), ("alike", 0.05), ("alike", 0.2), ("by class", 0.1), ("weak annotator", 0.1))


def planted(kind: str, rate: float, y: np.ndarray, classes: int, x: np.ndarray, seed: int) -> np.ndarray:
    """The labels with about this share of them wrong; `x` is what the annotator looks at."""
    rng, z = np.random.default_rng(seed), y.copy()
    if kind == "alike":
        wrong = rng.random(len(y)) < rate
        z[wrong] = (y[wrong] + rng.integers(1, classes, wrong.sum())) % classes
    elif kind == "by class":
        ring = rng.permutation(classes)
        other = dict(zip(ring, np.roll(ring, -1), strict=True))
        struck = np.isin(y, ring[: max(1, classes // 2)])
        wrong = struck & (rng.random(len(y)) < min(0.45, rate / struck.mean()))
        z[wrong] = [other[c] for c in y[wrong]]
    elif kind == "weak annotator":
        p = _annotator(x, y, classes, rng)
        unsure = 1 - p[np.arange(len(y)), y]
        wrong = rng.random(len(y)) < np.minimum(0.9, _factor(unsure, rate) * unsure)
        p[np.arange(len(y)), y] = 0
        z[wrong] = [rng.choice(classes, p=row / row.sum()) for row in p[wrong]]
    return z


def _annotator(x: np.ndarray, y: np.ndarray, classes: int, rng: np.random.Generator) -> np.ndarray:
    """Logistic regression on a sixth of the true labels."""
    known = rng.permutation(len(y))[: max(60, len(y) // 6)]
    model = LogisticRegression(C=0.05, max_iter=200).fit(x[known], y[known])
    p = np.full((len(y), classes), 1e-6)
    p[:, model.classes_] = model.predict_proba(x)
    return p / p.sum(1, keepdims=True)


def _factor(unsure: np.ndarray, rate: float) -> float:
    """By which doubts are multiplied, so that this share of labels is wrong."""
    low, high = 0.0, 100.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if np.minimum(0.9, middle * unsure).mean() < rate else (low, middle)
    return low
