"""What an estimator says of samples whose information is known; each is asked for once, whatever checks need it."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from infoscope.measurement import Measurement
from infoscope.mi.estimate import mutual_information
from infoscope.mi.method import Method
from infoscope.run import Store
from infoscope.testing.distributions import Additive, Base, Channel, Normal, Overlap, Student

SEEDS = (0, 1, 2)
"""Samples of each setting."""

STRENGTHS: dict[str, tuple[Base, Base, Base]] = {
    "points-points": (Normal(1, 1, across=(0.0,)), Normal(1, 1, across=(0.6,)), Normal(1, 1, across=(0.9,))),
    "points-labels": (Overlap(0.0), Overlap(0.4), Overlap(0.8)),
    "labels-labels": (Channel(0.0), Channel(0.5), Channel(0.9)),
}
"""By kinds of the two sides: nothing shared, something, much."""

ROUGHER: dict[str, tuple[Base, ...]] = {"smooth": (Student(1, 1, 2),), "nothing": (Student(1, 1, 2), Additive(0.1))}
"""Truths between points that are not normal, by what a method assumes: heavy tails, and sharp edges."""


@dataclass(frozen=True)
class Answers:
    """An estimator's answers about one setting, a sample each: values, reported errors, and what the samples hold.

    `fluctuation` is how far each sample itself lies from the truth: the mean of the true log-ratio
    log p(x,y) / p(x) p(y) over its examples, less the information, which is what an estimator that knew the densities
    would be off by. `residuals` are value − truth − fluctuation: with that control variate few samples tell a bias.
    `spread` is the standard deviation of the log-ratio over √n, below which no honest standard error lies far.
    """

    setting: Base
    n: int
    found: tuple[Measurement, ...]
    fluctuation: np.ndarray
    spread: float

    @property
    def truth(self) -> float:
        """The information, nats."""
        return self.setting.information

    @property
    def values(self) -> np.ndarray:
        """One a sample."""
        return np.array([each.value for each in self.found])

    @property
    def mean(self) -> float:
        """Mean value."""
        return float(self.values.mean())

    @property
    def residuals(self) -> np.ndarray:
        """Value − truth, less the sampling fluctuation."""
        return self.values - self.truth - self.fluctuation

    @property
    def error(self) -> float:
        """Root mean square of the reported standard errors."""
        return float(np.sqrt(np.mean(np.square([each.stderr for each in self.found]))))

    @property
    def resolution(self) -> float:
        """No estimator from n examples tells apart what is closer than a few times 1/n."""
        return 4 / self.n


@lru_cache(maxsize=1024)
def answers(method: Method, setting: Base, kinds: str) -> Answers:
    """The method's answers about samples of this setting, given as these kinds of sides."""
    n = method.claims.examples
    found, fluctuation, spread = [], [], []
    for seed in SEEDS:
        x, y = sample(setting, n, seed)
        ratio = setting.log_ratio(x, y)
        fluctuation.append(float(ratio.mean()) - setting.information)
        spread.append(float(ratio.std()) / math.sqrt(n))
        found.append(asked(method, *as_kinds(x, y, kinds), seed))
    return Answers(setting, n, tuple(found), np.array(fluctuation), float(np.mean(spread)))


def sample(setting: Base, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The setting's n pairs of this seed, the same for every method."""
    return setting.sample(n, np.random.default_rng([seed, zlib.crc32(repr(setting).encode())]))


def as_kinds(x: np.ndarray, y: np.ndarray, kinds: str) -> tuple[np.ndarray, np.ndarray]:
    """Labels as floating numbers where a method takes points; they hold the same."""
    wanted = kinds.split("-")
    a, b = (side.astype(np.float64) if kind == "points" else side for side, kind in zip((x, y), wanted, strict=True))
    return a, b


def asked(method: Method, x: Any, y: Any, seed: int = 0, again: bool = False) -> Measurement:
    """The front door's answer, flagged or not; what is learned for it is learned once, unless `again`."""
    return mutual_information(x, y, method, seed=seed, strict=False, store=None if again else _learned())


@lru_cache(maxsize=1)
def _learned() -> Store:
    """Where critics and probes are kept while the process lives: bounds of one critic learn it once."""
    return Store(None)


def settings(method: Method, kinds: str) -> tuple[Base, Base, Base]:
    """Nothing shared, something and much, in the kinds that a method takes and of the sort that it is for."""
    return STRENGTHS["labels-labels" if method.claims.assumes == "discrete" else kinds]


def usual(method: Method, kinds: str, n: int | None = None, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A sample of the kind that a method is for: something shared, and a column more that shares nothing."""
    setting = settings(method, kinds)[1]
    x, y = sample(setting, n or method.claims.examples, seed)
    a, b = as_kinds(x, y, kinds)
    if kinds.startswith("labels") or method.claims.assumes == "discrete":
        return a, b
    more = np.random.default_rng(seed).normal(size=(len(a), 1))
    return np.hstack([a, more]) / 3, b / 3 if kinds.endswith("points") else b
