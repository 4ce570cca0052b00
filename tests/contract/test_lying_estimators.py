"""Each way of lying breaks the contract, in the check that is meant for it, and the message says so."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pytest

from infoscope.measurement import Bound, Status
from infoscope.mi import KDE, KSG, Gaussian, Ross, Uniform
from infoscope.mi.method import Claims, Finding
from infoscope.mi.sample import Side
from infoscope.testing import ContractBroken, check_estimator, checks_of, parametrize_with_checks

NORMAL = Claims(assumes="normal", ceiling=False)
DOWN = replace(NORMAL, errs="down")
POINTS, LABELS = ("points-points",), ("points-labels",)


TELLS: dict[str, Callable[[Finding, Side, Side, int], Finding]] = {}


@dataclass(frozen=True)
class Told:
    """A method that answers by a function of what an honest one has found: that of this name in `TELLS`."""

    name: str
    honest: Any = Gaussian()
    claims: Claims = NORMAL
    takes: tuple[str, ...] = POINTS
    subsampled: ClassVar[bool] = False

    def estimate(self, x: Side, y: Side, seed: int) -> Finding:
        return TELLS[self.name](self.honest.estimate(x, y, seed), x, y, seed)


@dataclass(frozen=True)
class Celled(Uniform):
    """Binning that tells more than its cells hold."""

    def estimate(self, x: Side, y: Side, seed: int) -> Finding:
        found = super().estimate(x, y, seed)
        return replace(found, value=found.value + 1e-6)


@dataclass(frozen=True)
class RowsAsCells(Uniform):
    """Binning whose cells are the numbers of the rows."""

    def cells(self, side: Side) -> Side:
        return Side(np.arange(len(side)), len(side))

    def estimate(self, x: Side, y: Side, seed: int) -> Finding:
        return Finding(math.log(len(x)), 0.01)


@dataclass(frozen=True)
class OtherSide(KDE):
    """A kernel bound that says that it lies on the other side."""

    def estimate(self, x: Side, y: Side, seed: int) -> Finding:
        found = super().estimate(x, y, seed)
        return replace(found, bound=-found.bound)


@dataclass(frozen=True)
class ManyCells(Uniform):
    """Binning that tells more than its cells hold once there are very many examples."""

    def estimate(self, x: Side, y: Side, seed: int) -> Finding:
        found = super().estimate(x, y, seed)
        return replace(found, value=1.3 * found.value) if len(x) > 10_000 else found


@dataclass(frozen=True)
class Nearsighted(KDE):
    """A kernel bound that sees nothing where everything is far apart."""

    def estimate(self, x: Side, y: Side, seed: int) -> Finding:
        found = super().estimate(x, y, seed)
        return replace(found, value=0.0) if np.ptp(x.values) > 15 * math.sqrt(self.variance) else found


@dataclass(frozen=True)
class Overfull(KDE):
    """A layer that tells of the label more than it holds of the input."""

    def layer(self, t: Side, y: Side, seed: int) -> tuple[Finding, Finding]:
        return super().layer(t, y, seed)[::-1]


@dataclass(frozen=True)
class OtherBaseline(KDE):
    """A shuffled baseline that is not what the estimate says."""

    def shuffled(self, x: Side, shufflings: Sequence[Side], seed: int) -> list[float]:
        return [0.0 for _ in shufflings]


@dataclass(frozen=True)
class Unchecked:
    """Nothing is refused among its options."""

    k: int = 3
    takes: ClassVar[tuple[str, ...]] = POINTS
    subsampled: ClassVar[bool] = False
    claims = NORMAL

    def estimate(self, x: Side, y: Side, seed: int) -> Finding:
        return Gaussian().estimate(x, y, seed)


@dataclass(frozen=True)
class Held(Unchecked):
    """A function that was written on the spot among its options."""

    k: Any = None


def value(number: Callable[[float, Side, Side], float]) -> Callable[..., Finding]:
    return lambda found, x, y, seed: replace(found, value=float(number(found.value, x, y)))


def mutating(found: Finding, x: Side, y: Side, seed: int) -> Finding:
    x.values[:] = x.values[::-1].copy()
    return found


def drawing(found: Finding, x: Side, y: Side, seed: int) -> Finding:
    random.random()
    return found


def unseeded(found: Finding, x: Side, y: Side, seed: int) -> Finding:
    return replace(found, value=found.value + 1e-9 * np.random.default_rng().normal())


def by_order(v: float, x: Side, y: Side) -> float:
    return v + 0.5 * abs(np.corrcoef(np.arange(len(y)), np.ravel(y.values))[0, 1])


def pairing_ignored(v: float, x: Side, y: Side) -> float:
    return 0.5 * abs(np.corrcoef(np.sort(x.values[:, 0]), np.sort(np.ravel(y.values)))[0, 1])


def nan_on_ties(v: float, x: Side, y: Side) -> float:
    return v if len(np.unique(x.values[:, 0])) > len(x) / 2 else math.nan


def crashing_on_few(v: float, x: Side, y: Side) -> float:
    return v + 0 * x.values[8, 0]


def single(v: float, x: Side, y: Side) -> float:
    return v if x.values.dtype == np.float64 else v + 0.3


def with_error(error: float) -> Callable[..., Finding]:
    return lambda found, x, y, seed: replace(found, stderr=error)


def told(tell: Callable[..., Finding], **rest: Any) -> Told:
    """A method that tells what this function makes of an honest answer."""
    name = f"lie {len(TELLS)}"
    TELLS[name] = tell
    return Told(name, **rest)


def claiming(honest: Any, **claims: Any) -> Told:
    """An honest method that claims more of itself than is so."""
    return told(
        lambda found, x, y, seed: found, honest=honest, claims=replace(honest.claims, **claims), takes=honest.takes
    )


ROSS = {"honest": Ross(), "claims": Claims(), "takes": LABELS}
LIARS: dict[str, tuple[Any, str]] = {
    "n − 42": (told(value(lambda v, x, y: len(x) - 42)), "nothing_shared_gives_nothing"),
    "n − 42 of labels": (told(value(lambda v, x, y: len(x) - 42), **ROSS), "nothing_shared_gives_nothing"),
    "always 0": (told(value(lambda v, x, y: 0.0)), "more_shared_gives_more"),
    "always 0, a lower bound": (
        told(value(lambda v, x, y: 0.0), claims=DOWN),
        "more_shared_gives_more",
    ),
    "always H(Y)": (told(value(lambda v, x, y: y.entropy()), **ROSS), "nothing_shared_gives_nothing"),
    "× 1.3": (told(value(lambda v, x, y: 1.3 * v)), "meets_closed_forms"),
    "× 1.3 of labels": (
        told(lambda f, x, y, s: replace(f, value=1.3 * f.value, stderr=0.03), **ROSS),
        "meets_closed_forms",
    ),
    "× 0.7": (told(value(lambda v, x, y: 0.7 * v)), "meets_closed_forms"),
    "a lower bound × 1.3": (
        told(value(lambda v, x, y: 1.3 * v), claims=DOWN),
        "meets_closed_forms",
    ),
    "a lower bound × 0.3": (
        told(value(lambda v, x, y: 0.3 * v), claims=DOWN),
        "meets_closed_forms",
    ),
    "an upper bound that is below": (
        told(lambda f, x, y, s: replace(f, value=0.7 * f.value, bound=Bound.UPPER), claims=DOWN),
        "bounds_hold",
    ),
    "another unit": (told(value(lambda v, x, y: v / math.log(2))), "meets_closed_forms"),
    "errors of 0": (told(with_error(0.0)), "errors_are_honest"),
    "errors far too small": (told(with_error(1e-3)), "errors_are_honest"),
    "errors that say nothing": (told(with_error(10.0)), "errors_are_honest"),
    "errors that hide a lie": (
        told(lambda f, x, y, s: replace(f, value=1.3 * f.value, stderr=0.3)),
        "meets_closed_forms",
    ),
    "unknown errors": (told(with_error(math.nan)), "errors_are_honest"),
    "the seed ignored": (told(unseeded, claims=replace(NORMAL, seeded=True)), "same_seed_same_bits"),
    "a part for the seed, not claimed": (
        told(lambda f, x, y, s: replace(f, value=f.value + 1e-9 * s)),
        "same_seed_same_bits",
    ),
    "the global random state": (told(drawing), "leaves_the_caller_alone"),
    "writes to its input": (told(mutating), "leaves_the_caller_alone"),
    "reads y's order": (told(value(by_order)), "order_of_rows_means_nothing"),
    "reads the order of labels": (
        told(value(by_order), **ROSS),
        "order_of_rows_means_nothing",
    ),
    "does not look at pairs": (told(value(pairing_ignored)), "nothing_shared_gives_nothing"),
    "NaN where values repeat": (told(value(nan_on_ties)), "constants_and_ties_stay_finite"),
    "crashes on few examples": (
        told(value(crashing_on_few), honest=KSG(3), claims=Claims()),
        "few_examples_are_refused_or_answered",
    ),
    "single precision is another world": (told(value(single)), "names_and_types_mean_nothing"),
    "more than H(Y)": (told(value(lambda v, x, y: 1.2 * v), **ROSS), "never_more_than_there_is"),
    "claims monotone maps": (claiming(KSG(), invariant=frozenset({"monotone"})), "invariant_under_monotone"),
    "claims rotations": (claiming(KSG(), invariant=frozenset({"rotation"})), "invariant_under_rotation"),
    "claims scale": (claiming(KDE(), invariant=frozenset({"scale"})), "invariant_under_scale"),
    "claims a map that there is not": (claiming(KSG(), invariant=frozenset({"time"})), "says_what_it_takes"),
    "claims any dependence": (claiming(Gaussian(), assumes="smooth"), "meets_closed_forms"),
    "claims sharp edges": (claiming(Gaussian(copula=True), assumes="nothing"), "meets_closed_forms"),
    "claims atoms": (claiming(Gaussian(), mixed=True), "mixed_sides_are_right"),
    "claims cells as a sample's information": (claiming(Uniform(), estimates="information"), "meets_closed_forms"),
    "takes nothing": (told(with_error(0.1), takes=("points-pictures",)), "says_what_it_takes"),
    "more than its cells hold": (Celled(), "equals_a_plain_count"),
    "rows for cells": (RowsAsCells(), "independent_examples_give_nothing"),
    "cells that move when there are many": (ManyCells(), "meets_the_integral_over_its_cells"),
    "nothing for clouds far apart": (Nearsighted(), "wider_apart_gives_more"),
    "a layer that tells more than it holds": (Overfull(), "a_layer_holds_what_it_tells"),
    "another baseline": (OtherBaseline(), "shufflings_are_estimates"),
    "the other side's bound": (OtherSide(), "meets_the_integral_with_noise"),
    "a value that does not travel": (Held(lambda f: f), "is_a_frozen_value"),
    "any option": (Unchecked(), "refuses_options_that_make_no_sense"),
}


@pytest.mark.parametrize("name", LIARS)
def test_a_liar_is_caught_where_it_lies(name, broken):
    liar, check = LIARS[name]
    found = broken(liar)
    assert check in found, found
    assert repr(check) in found[check]
    assert found[check].startswith(repr(liar))
    with pytest.raises(ContractBroken):
        check_estimator(liar)


def test_the_message_has_the_numbers(broken):
    liar, check = LIARS["n − 42"]
    found = broken(liar)[check]
    assert "558.0000" in found
    assert "is to lie within" in found


def test_the_same_wrapper_is_honest_where_it_tells_the_truth(broken):
    assert broken(claiming(Gaussian())) == {}
    assert broken(Gaussian()) == {}


def test_every_check_of_an_estimate_catches_somebody():
    caught = {check for _, check in LIARS.values()}
    offered = {
        check.name for liar in (*map(claiming, (Gaussian(), Ross())), Uniform(), KDE()) for check in checks_of(liar)
    }
    of_the_front_door = {"bad_examples_are_refused"}
    assert {name for name in offered - of_the_front_door if "invariant" not in name} <= caught


@dataclass(frozen=True)
class Yours:
    """Somebody's own class, with what the protocol asks for."""

    takes: ClassVar[tuple[str, ...]] = POINTS
    subsampled: ClassVar[bool] = False
    claims = NORMAL

    def estimate(self, x: Side, y: Side, seed: int) -> Finding:
        if len(x) < 4:
            raise ValueError("a correlation takes 4 examples or more")
        rho = np.corrcoef(x.values[:, 0], y.values[:, 0])[0, 1]
        if rho**2 > 1 - 1e-12:
            return Finding(math.nan, status=frozenset({Status.INFINITE}))
        return Finding(-0.5 * math.log1p(-(rho**2)), abs(rho) / math.sqrt(len(x)))


@parametrize_with_checks({"yours": Yours()})
def test_your_own_class(check):
    check()


def test_what_is_neither_estimator_nor_coder_is_told_what_it_lacks():
    with pytest.raises(TypeError, match=r"neither an estimator .*`claims`"):
        checks_of(object())
