"""The largest of several estimates that err downward."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from infoscope.measurement import NATS_PER_BIT, Status
from infoscope.mi.estimators import probe as probes
from infoscope.mi.estimators.copula_critic import CopulaCritic
from infoscope.mi.estimators.gaussian import Gaussian, wishart_bias
from infoscope.mi.estimators.ksg import KSG
from infoscope.mi.estimators.pairs import Pairs
from infoscope.mi.estimators.probe import Probe, from_predictions
from infoscope.mi.estimators.projected import Projected
from infoscope.mi.estimators.quantised import Quantised
from infoscope.mi.estimators.residual import Residual
from infoscope.mi.estimators.ross import Ross
from infoscope.mi.method import Claims, Finding
from infoscope.mi.numerics.functional import is_function
from infoscope.mi.numerics.neighbours import TREE_DIMENSIONS
from infoscope.mi.numerics.pairing import independent_pairs
from infoscope.mi.numerics.subsample import spread
from infoscope.mi.numerics.summaries import summaries
from infoscope.mi.numerics.ties import is_discrete, repeats, values
from infoscope.mi.sample import Side
from infoscope.run import Store

DEVIATIONS = 2.0
"""Combined standard errors by which a probe must stand above neighbours to be believed in their place."""

PAIRED = 24
"""Columns of both sides together up to which pairs are looked for."""

FORGONE = 1.5
"""The critic misses what it loses on held-out pairs, and what it stops early for: half as much again."""

OF_A_SYMBOL = 20
"""Examples of each value, in the mean, from which points that repeat their values are taken for labels."""

HIGH = 1.0
"""Nats from which what a regression leaves is looked at: below, neighbours see as much."""

WIDER, FEWEST_NEAR = 4, 20
"""So many times as many neighbours show how the estimate moves with them, from so many examples a neighbour on."""

CROWDED, FULL = 1 / 5, 1 / 2
"""Columns an example: from the first on a critic has too little to learn from, from the second a covariance has."""


@dataclass(frozen=True)
class Largest:
    """The recommended estimator: the larger of one from neighbours and one that learns.

    Between points: `KSG` or `CopulaCritic`, whichever is larger, which errs upward by a fraction of the standard error
    where both are right; and where both find much, `Residual`. Between points and labels: `Ross`, unless `Probe`, a
    lower bound, is significantly above it. Where columns fall into independent pairs, `Pairs` adds these up, and
    where few numbers of each side, such as the distance from its centre, show more than all of them, that counts.
    All of them miss dependence rather than invent it. Neighbours are sharp in few dimensions, at sharp edges and at
    high information, and see little in many; what learns is the other way round. In more than a dozen dimensions KSG
    is left out.

    The data decide what they are: points that repeat a few values are labels, and where one side is a function of the
    other as far as the examples show, the value says INFINITE. With a fifth as many columns as examples the normal
    copula stands alone, and with half as many `Projected`, flagged TOO_FEW_SAMPLES.
    """

    ksg: KSG = KSG()
    critic: CopulaCritic = CopulaCritic()
    residual: Residual = Residual()
    pairs: Pairs = Pairs()
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
        told = _of_functions(x, y, seed) if columns <= TREE_DIMENSIONS else set()
        learned = self.critic.estimate(x, y, seed, store) if columns < n - 1 else None
        near = self.ksg.estimate(x, y, seed) if columns <= TREE_DIMENSIONS else None
        found = self._of_pairs(x, y, seed, learned, near) if 2 < columns <= PAIRED and learned and not told else None
        if found is None:
            found = self._of_whole(x, y, seed, learned, near, bool(told))
        if columns > 2 and not told:
            found = self._of_summaries(x, y, seed, found)
        return replace(found, status=found.status | told)

    def _of_pairs(self, x: Side, y: Side, seed: int, learned: Finding, near: Finding | None) -> Finding | None:
        """The sum over pairs, if there are such and the sides as a whole do not show significantly more."""
        pairing = independent_pairs(x.values, y.values, np.random.default_rng(seed))
        if pairing is None:
            return None
        a, b = Side(pairing.x), Side(pairing.y)
        summed = self.pairs.estimate(a, b, seed)
        found = _at_least(spread(summed, self.pairs, a, b, seed), summed.stderr)
        if pairing.fitted:
            n, p, q = len(x), a.values.shape[1], b.values.shape[1]
            found = replace(found, value=found.value - wishart_bias(n, p, q) + min(p, q) * wishart_bias(n, 1, 1))
        whole = {"CopulaCritic": learned} | ({} if near is None else {"KSG": near})
        errors = [error for error in (found.stderr, learned.stderr) if math.isfinite(error)]
        if max(map(_size, whole.values())) - found.value > DEVIATIONS * math.hypot(*errors):
            return None
        why = f"{pairing.how} fall into pairs that are independent of each other, and Pairs adds them up"
        return _told(replace(found, bias=math.hypot(found.bias, pairing.excess)), why, whole)

    def _of_whole(
        self, x: Side, y: Side, seed: int, learned: Finding | None, near: Finding | None, function: bool
    ) -> Finding:
        """The larger of what neighbours, a critic and, where there is much, a regression find."""
        if learned is None or near is None:
            found = learned or near
            assert found is not None  # so many columns are few, or fewer than examples
            return replace(found, bias=FORGONE * found.bias) if near is None else spread(found, self.ksg, x, y, seed)
        others: dict[str, Finding] = {"KSG": near, "CopulaCritic": learned}
        methods: dict[str, KSG | Residual] = {"KSG": self.ksg, "Residual": self.residual}
        if max(near.value, learned.value) > HIGH and not (function or repeats(x) or repeats(y)):
            others["Residual"] = self.residual.estimate(x, y, seed)
        name = max(others, key=lambda each: _size(others[each]))
        found = others.pop(name)
        if name in methods:
            found = self._with_trend(spread(found, methods[name], x, y, seed), methods[name], x, y, seed)
            found = _at_least(found, learned.stderr)
        if name == "CopulaCritic":
            found = replace(found, bias=FORGONE * found.bias)
        if name == "KSG":  # what the critic loses on held-out pairs is there to be found, and KSG stood in for it
            found = replace(found, bias=math.hypot(found.bias, learned.bias))
        return _told(found, f"{name} is the larger", others)

    def _of_summaries(self, x: Side, y: Side, seed: int, whole: Finding) -> Finding:
        """What few numbers of either side share, where that is significantly more than was found between all."""
        best = whole
        for what, a, b in summaries(x.values, y.values):
            near = self.ksg.estimate(Side(a), Side(b), seed)
            if near.value < best.value:
                continue
            near = spread(near, self.ksg, Side(a), Side(b), seed)
            if near.value - whole.value > math.hypot(near.stderr, whole.stderr):
                why = f"KSG between {what} of the sides is taken, a bound for the sides themselves"
                best = _told(replace(near, bias=max(near.bias, whole.bias)), why, {"the whole": whole})
        return best

    def _with_trend(self, found: Finding, method: KSG | Residual | Ross, x: Side, y: Side, seed: int) -> Finding:
        """What four times as many neighbours see less of is the scale of what these neighbours don't see.

        Not in up to three dimensions, where neighbours are near enough.
        """
        columns = x.values.shape[1] + (0 if y.labels else y.values.shape[1])
        if columns < 4 or len(x) < FEWEST_NEAR * method.k:
            return found
        wider = replace(method, k=WIDER * method.k).estimate(x, y, seed).value
        return replace(found, bias=max(found.bias, found.value - wider))

    def _of_labels(self, x: Side, y: Side, seed: int, store: Store | None) -> Finding:
        near = spread(self.ross.estimate(x, y, seed), self.ross, x, y, seed)
        if len(x) < probes.FEWEST:
            return near
        near = self._with_trend(near, self.ross, x, y, seed)
        seen = self.probe.predictions(x, y, seed, store)
        learned = from_predictions(seen.p.numpy(), seen.y.numpy(), seen.converged)
        # Half of what the probe loses on examples that it hasn't seen is there to be found.
        near, learned = (replace(one, bias=math.hypot(one.bias, seen.forgone / 2)) for one in (near, learned))
        if learned.value - near.value > DEVIATIONS * math.hypot(learned.stderr, near.stderr):
            return _told(learned, "Probe, a lower bound, is above Ross", {"Ross": near})
        return _told(near, "Ross is not below the probe's bound", {"Probe": learned})


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


def _at_least(found: Finding, error: float) -> Finding:
    """Ten parts show a deviation to a quarter: the normal copula's, in closed form, is none too large."""
    return replace(found, stderr=max(found.stderr, error)) if math.isfinite(error) else found


def _size(found: Finding) -> float:
    """A closed form has no value where ranks are equal, which they are where less than a gap lies between sides."""
    return -math.inf if math.isnan(found.value) else found.value


def _told(found: Finding, why: str, others: dict[str, Finding]) -> Finding:
    rest = ", ".join(f"{name} gives {other.value / NATS_PER_BIT:.6f} bit" for name, other in others.items())
    return replace(found, notes=(f"{why}; {rest}", *found.notes))
