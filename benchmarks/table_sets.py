"""Tables whose labels are coded: drawn, scikit-learn's, real ones in files. Constants are tuned on none of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn import datasets

from infoscope import Labels, Task
from infoscope.data.tables import features


@dataclass(frozen=True)
class Drawn:
    """Inputs and labels; where it is known, what each label costs one who knows the distribution, bits."""

    x: np.ndarray
    y: np.ndarray
    oracle: float | None = None

    def task(self, name: str) -> Task:
        """As a task."""
        return Task.from_arrays(self.x.astype(np.float32), self.y, name=name)


def _drawn(seed: int, p: Callable[[np.ndarray], np.ndarray], x: Callable[[np.random.Generator], np.ndarray]) -> Drawn:
    """Labels drawn from p(x)."""
    draws = np.random.default_rng(seed)
    inputs = x(draws)
    shares = p(inputs)
    y = (draws.random((len(inputs), 1)) > shares.cumsum(1)[:, :-1]).sum(1)
    return Drawn(inputs, y, float(-np.log2(shares[np.arange(len(y)), y]).sum()))


def _binary(log_odds: np.ndarray) -> np.ndarray:
    p = 1 / (1 + np.exp(-log_odds))
    return np.stack([1 - p, p], 1)


def diabetes() -> Drawn:
    """Whether the disease went beyond its median."""
    x, y = datasets.load_diabetes(return_X_y=True)
    return Drawn(x, (y > np.median(y)).astype(int))


def classification(columns: int, classes: int) -> Drawn:
    """scikit-learn's, 5 columns of which are informative."""
    x, y = datasets.make_classification(2000, columns, n_informative=5, n_classes=classes, random_state=0)
    return Drawn(x, y)


def noisy_logistic() -> Drawn:
    """Ten normal columns, all of which tell."""
    slopes = np.random.default_rng(1).normal(size=10)
    return _drawn(0, lambda x: _binary(1.5 * x @ slopes / np.linalg.norm(slopes)), lambda d: d.normal(size=(2000, 10)))


def needle() -> Drawn:
    """One column decides among 99 others."""
    x = np.random.default_rng(0).normal(size=(2000, 100))
    return Drawn(x, (x[:, 0] > 0).astype(int), 0.0)


def tree() -> Drawn:
    """Sixteen boxes of ten uniform columns, four classes."""
    draws = np.random.default_rng(0)
    x = draws.random((2000, 10))
    columns, cuts, leaves = draws.integers(10, size=15), draws.uniform(0.3, 0.7, 15), draws.integers(4, size=16)
    node = np.zeros(2000, dtype=int)
    for _ in range(4):
        node = 2 * node + 1 + (x[np.arange(2000), columns[node]] > cuts[node])
    return Drawn(x, leaves[node - 15], 0.0)


def lognormal() -> Drawn:
    """Columns with heavy tails, a product of two of which decides."""
    x = np.exp(1.5 * np.random.default_rng(0).normal(size=(2000, 10)))
    return Drawn(x, (x[:, 0] * x[:, 1] > 1).astype(int), 0.0)


def categories() -> Drawn:
    """Four categories of five kinds and four numbers; a tenth of the labels is another."""
    draws = np.random.default_rng(0)
    kinds, numbers = draws.integers(5, size=(2000, 4)), draws.normal(size=(2000, 4))
    score = draws.normal(size=(4, 5))[np.arange(4), kinds].sum(1) + numbers @ draws.normal(size=4)
    y = (score > np.median(score)).astype(int) ^ (draws.random(2000) < 0.1)
    onehot = np.eye(5)[kinds].reshape(2000, -1)
    entropy = -0.9 * np.log2(0.9) - 0.1 * np.log2(0.1)
    return Drawn(np.concatenate([onehot, numbers], 1), y, float(2000 * entropy))


def cover() -> Drawn:
    """Ten numbers and 44 binary columns in two categories, seven classes of unequal size, as in forest cover types."""
    draws = np.random.default_rng(0)
    n = 3000
    area, soil = draws.integers(4, size=n), draws.choice(40, size=n, p=draws.dirichlet(np.full(40, 0.5)))
    numbers = draws.normal(size=(n, 10)) + 0.5 * draws.normal(size=(4, 10))[area]
    slopes = draws.normal(size=(10, 7)) * np.array([1.5, 1, 0.6, 0.4, 0.3, 0.2, 0.2])[:7]
    z = numbers @ slopes / 2 + draws.normal(size=(4, 7))[area] + draws.normal(size=(40, 7))[soil]
    z += 0.8 * np.abs(numbers[:, :1]) * draws.normal(size=(1, 7)) + np.array([1.5, 1.8, 0, -1, -0.5, -0.5, -0.5])
    p = np.exp(z - z.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    y = (draws.random((n, 1)) > p.cumsum(1)[:, :-1]).sum(1)
    oracle = float(-np.log2(p[np.arange(n), y]).sum())
    return Drawn(np.concatenate([numbers, np.eye(4)[area], np.eye(40)[soil]], 1), y, oracle)


def mixture(noise: float = 0.0) -> Drawn:
    """Four classes, each three Gaussians in six dimensions; with `noise`, that share of labels is one of the others."""
    draws = np.random.default_rng(0)
    centres = 1.6 * draws.normal(size=(4, 3, 6))

    def posterior(x: np.ndarray) -> np.ndarray:
        density = np.exp(-0.5 * ((x[:, None, None] - centres) ** 2).sum(-1)).mean(2)
        clean = density / density.sum(1, keepdims=True)
        return (1 - noise) * clean + noise * (1 - clean) / 3

    def inputs(draws: np.random.Generator) -> np.ndarray:
        return centres[draws.integers(4, size=3000), draws.integers(3, size=3000)] + draws.normal(size=(3000, 6))

    return _drawn(1, posterior, inputs)


def of_sklearn(load: Callable[..., tuple[np.ndarray, np.ndarray]]) -> Drawn:
    """One of its own."""
    return Drawn(*load(return_X_y=True))


SETS: dict[str, Callable[[], Drawn]] = {
    "diabetes > median": diabetes,
    "make_classification 20 d": lambda: classification(20, 2),
    "make_classification 50 d, 4 classes": lambda: classification(50, 4),
    "noisy logistic 10 d": noisy_logistic,
    "x0 > 0 among 99 noise columns": needle,
    "axis-aligned tree, 4 classes": tree,
    "lognormal x": lognormal,
    "one-hot + numeric, 10 % noise": categories,
    "covtype-like 54 d, 7 classes": cover,
    "iris": lambda: of_sklearn(datasets.load_iris),
    "wine": lambda: of_sklearn(datasets.load_wine),
    "breast_cancer": lambda: of_sklearn(datasets.load_breast_cancer),
    "Gaussian mixtures": mixture,
    "Gaussian mixtures, 20 % noise": lambda: mixture(0.2),
    "Gaussian mixtures, 45 % noise": lambda: mixture(0.45),
}
"""Drawn here, or scikit-learn's."""

FILES = ("german_credit", "phoneme", "wine_quality_red", "ionosphere", "banknote", "pima_diabetes")
"""Real tables, `NAME.csv` in the folder of data."""

NUMBERS = ("abalone", "auto_imports", "wine_quality_red")
"""Real tables whose last column is predicted as a number."""


SEVERAL: dict[str, tuple[str, dict[str, tuple[str, object]]]] = {
    "auto_imports, 5 labels": (
        "auto_imports",
        {
            "diesel": ("x3", "diesel"),
            "turbo": ("x4", "turbo"),
            "two doors": ("x5", "two"),
            "sedan": ("x6", "sedan"),
            "rear wheels": ("x7", "rwd"),
        },
    ),
    "german_credit, 5 labels": (
        "german_credit",
        {
            "bad": ("label", 2),
            "other credits": ("history", "A34"),
            "owns property": ("property", "A121"),
            "owns housing": ("housing", "A152"),
            "telephone": ("telephone", "A192"),
        },
    ),
}
"""Real tables of which several columns are predicted at once: the file, and of each label column and value that is 1.

A missing value is a label that is not sent; the last column of `auto_imports`, the price, is among the inputs.
"""


def several_of(name: str, folder: Path) -> Task:
    """The task of several labels at once: all other columns are the inputs."""
    import pandas

    file, labels = SEVERAL[name]
    frame = pandas.read_csv(folder / "tables" / f"{file}.csv", na_values=["?"])
    columns = [frame[column] for column, _ in labels.values()]
    values = [value for _, value in labels.values()]
    y = np.stack([np.where(c.isna(), -1, c == v) for c, v in zip(columns, values, strict=True)], 1)
    x = features(frame.drop(columns=[column for column, _ in labels.values()]), name)
    return Task.from_arrays(x, y.astype(int), target=Labels(tuple(labels)), name=name)


def task_of(name: str, folder: Path | None) -> Task:
    """A row's task."""
    if name in SETS:
        return SETS[name]().task(name)
    return Task.from_dataset(str(folder / "tables" / f"{name}.csv")) if folder else Task.from_dataset(name)
