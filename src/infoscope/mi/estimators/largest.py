"""The largest of several estimates that err downward."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from infoscope.measurement import NATS_PER_BIT, Status
from infoscope.mi.estimators import probe as probes
from infoscope.mi.estimators.copula_critic import CopulaCritic
from infoscope.mi.estimators.gaussian import Gaussian
from infoscope.mi.estimators.ksg import KSG
from infoscope.mi.estimators.probe import Probe
from infoscope.mi.estimators.projected import Projected
from infoscope.mi.estimators.quantised import Quantised
from infoscope.mi.estimators.residual import Residual
from infoscope.mi.estimators.ross import Ross
from infoscope.mi.method import Claims, Finding, Method
from infoscope.mi.numerics.functional import is_function
from infoscope.mi.numerics.neighbours import TREE_DIMENSIONS
from infoscope.mi.numerics.subsample import spread
from infoscope.mi.numerics.ties import is_discrete, repeats, values
from infoscope.mi.sample import Side
from infoscope.run import Store

DEVIATIONS = 2.0
"""Combined standard errors by which a probe must stand above neighbours to be believed in their place."""

OF_A_SYMBOL = 20
"""Examples of each value, in the mean, from which points that repeat their values are taken for labels."""

HIGH = 1.0
"""Nats from which what a regression leaves is looked at: below, neighbours see as much."""

CROWDED, FULL = 1 / 5, 1 / 2
"""Columns an example: from the first on a critic has too little to learn from, from the second a covariance has."""


@dataclass(frozen=True)
class Largest:
    """The recommended estimator: the larger of one from neighbours and one that learns.

    Between points: `KSG` or `CopulaCritic`, whichever is larger, which errs upward by a fraction of the standard error
    where both are right; and where both find much, `Residual`. Between points and labels: `Ross`, unless `Probe`, a
    lower bound, is significantly above it. All of them miss dependence rather than invent it. Neighbours are sharp in
    few dimensions, at sharp edges and at high information, and see little in many; what learns is the other way
    round. In more than a dozen dimensions KSG is left out.

    The data decide what they are: points that repeat a few values are labels, and where one side is a function of the
    other as far as the examples show, the value says INFINITE. With a fifth as many columns as examples the normal
    copula stands alone, and with half as many `Projected`, flagged TOO_FEW_SAMPLES.
    """

    ksg: KSG = KSG()
    critic: CopulaCritic = CopulaCritic()
    residual: Residual = Residual()
    ross: Ross = Ross()
    probe: Probe = Probe()

    takes: ClassVar[tuple[str, ...]] = ("points-points", "points-labels")
    subsampled: ClassVar[bool] = False
    learns: ClassVar[bool] = True
    claims = Claims(ceiling=False, seeded=True, invariant=frozenset({"scale"}))

    def estimate(self, x: Side, y: Side, seed: int, store: Store | None = None) -> Finding:
        """By what the sides are."""
        a, b = _as_symbols(x), _as_symbols(y)
        if a.labels and b.labels:
            found = Quantised(corrected=True).estimate(a, b, seed)
        elif a.labels or b.labels:
            found = self._of_labels(*((b, a) if a.labels else (a, b)), seed, store)
        else:
            return self._of_points(x, y, seed, store)
        told = [f"{name} repeats few values, and is read as labels" for name, before, after in
                (("x", x, a), ("y", y, b)) if after.labels and not before.labels]  # fmt: skip
        return replace(found, notes=(*told, *found.notes))

    def _of_points(self, x: Side, y: Side, seed: int, store: Store | None) -> Finding:
        n, columns = len(x), x.values.shape[1] + y.values.shape[1]
        if columns > max(CROWDED * n, TREE_DIMENSIONS):
            return _of_many(x, y, columns, seed)
        if columns > TREE_DIMENSIONS:
            return self.critic.estimate(x, y, seed, store)
        told = _of_functions(x, y, seed)
        found = self._of_few(x, y, seed, store, bool(told))
        return replace(found, status=found.status | told)

    def _of_few(self, x: Side, y: Side, seed: int, store: Store | None, function: bool) -> Finding:
        near = self.ksg.estimate(x, y, seed)
        if x.values.shape[1] + y.values.shape[1] >= len(x) - 1:
            return spread(near, self.ksg, x, y, seed)
        learned = self.critic.estimate(x, y, seed, store)
        others = {"KSG": (near, self.ksg), "CopulaCritic": (learned, self.critic)}
        if max(near.value, learned.value) > HIGH and not (function or repeats(x) or repeats(y)):
            others["Residual"] = self.residual.estimate(x, y, seed), self.residual
        name = max(others, key=lambda each: _size(others[each][0]))
        found, method = others.pop(name)
        if name == "CopulaCritic":
            return _told(found, f"{name} is the larger", others)
        found = spread(found, method, x, y, seed)
        # What the critic loses on held-out pairs is there to be found, and another stood in for it.
        bias = learned.bias if name == "KSG" else 0.0
        found = replace(found, bias=math.hypot(found.bias, bias))
        return _told(found, f"{name} is the larger", others)

    def _of_labels(self, x: Side, y: Side, seed: int, store: Store | None) -> Finding:
        near = spread(self.ross.estimate(x, y, seed), self.ross, x, y, seed)
        if len(x) < probes.FEWEST:
            return near
        learned = self.probe.estimate(x, y, seed, store)
        if learned.value - near.value > DEVIATIONS * math.hypot(learned.stderr, near.stderr):
            return _told(learned, "Probe, a lower bound, is above Ross", {"Ross": (near, self.ross)})
        return _told(near, "Ross is not below the probe's bound", {"Probe": (learned, self.probe)})


def _as_symbols(side: Side) -> Side:
    """Points that repeat few values as labels."""
    if side.labels or not is_discrete(side):
        return side
    symbols = values(side)
    return symbols if symbols.classes * OF_A_SYMBOL <= len(side) else side


def _of_many(x: Side, y: Side, columns: int, seed: int) -> Finding:
    """Closed forms, where there is too little to learn from."""
    if columns > FULL * len(x):
        return Projected().estimate(x, y, seed)
    found = Gaussian(copula=True).estimate(x, y, seed)
    note = f"{len(x)} examples in {columns} columns are too few for a critic; the normal copula stands alone"
    return replace(found, status=found.status | {Status.TOO_FEW_SAMPLES}, notes=(note, *found.notes))


def _of_functions(x: Side, y: Side, seed: int) -> set[Status]:
    """What must be said where one side is a function of the other."""
    if not any(is_function(a.values, b.values, np.random.default_rng(seed)) for a, b in ((x, y), (y, x))):
        return set()
    return {Status.SATURATED if is_discrete(x) or is_discrete(y) else Status.INFINITE}


def _size(found: Finding) -> float:
    """A closed form has no value where ranks are equal, which they are where less than a gap lies between sides."""
    return -math.inf if math.isnan(found.value) else found.value


def _told(found: Finding, why: str, others: dict[str, tuple[Finding, Method]]) -> Finding:
    values = ", ".join(f"{name} gives {other.value / NATS_PER_BIT:.6f} bit" for name, (other, _) in others.items())
    return replace(found, notes=(f"{why}; {values}", *found.notes))
