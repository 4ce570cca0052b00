"""Checks of how an estimator behaves, whatever it estimates: seeds, symmetries, hard examples, the caller's state."""

from __future__ import annotations

import dataclasses
import math
import pickle
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np

from infoscope.measurement import Bound, Measurement, Status
from infoscope.mi.method import Claims, Map, Method
from infoscope.mi.sample import read
from infoscope.testing.answers import asked, usual
from infoscope.testing.check import ContractBroken, require
from infoscope.testing.state import changes

KINDS = ("points-points", "points-labels", "labels-labels")
ROUNDING = 1e-8
"""A claimed symmetry holds to rounding: a factor is a power of two, a turn costs a few last bits."""


def is_a_frozen_value(method: Method) -> None:
    """It can be a key, travels to another process, and its repr, which the receipt keeps, tells it whole."""
    hash(method)
    require(pickle.loads(pickle.dumps(method)) == method, "its copy by pickle is not equal to it")
    require(" at 0x" not in repr(method), f"its repr is {repr(method)!r}, an address; receipts need its options")


def says_what_it_takes(method: Method) -> None:
    """It answers about every pair of kinds that it takes with a finite number, and claims what there is to claim."""
    require(bool(method.takes) and set(method.takes) <= set(KINDS), f"takes {method.takes}; kinds are {KINDS}")
    require(isinstance(method.claims, Claims), f"its claims are {method.claims!r}, not `Claims`")
    unknown = method.claims.invariant - set(get_args(Map))
    require(not unknown, f"it claims to be invariant under {sorted(unknown)}; there are {get_args(Map)}")
    for kinds in method.takes:
        found = asked(method, *usual(method, kinds))
        require(math.isfinite(found.value), f"{kinds} give {found}")


def refuses_options_that_make_no_sense(method: Method) -> None:
    """Numbers among its options: NaN is refused by the option's name, and so are 0 and −1 where it is above 0."""
    value: Any = method
    for field in dataclasses.fields(value) if hasattr(value, "__dataclass_fields__") else ():
        own = getattr(method, field.name)
        if isinstance(own, bool) or not isinstance(own, int | float):
            continue
        for wrong in (math.nan, *((0, -1) if own > 0 else ())):
            try:
                dataclasses.replace(value, **{field.name: wrong})
            except ValueError as error:
                require(field.name in str(error), f"{field.name}={wrong} is refused without its name: {error}")
            else:
                raise ContractBroken(f"{field.name}={wrong} is taken; say in `__post_init__` what it may be")


def same_seed_same_bits(method: Method) -> None:
    """The same examples and seed, the same answer to the last bit; another seed matters only if `seeded`."""
    for kinds in method.takes:
        x, y = usual(method, kinds)
        first, again = (asked(method, x, y, 3, again=True) for _ in range(2))
        require(repr(first) == repr(again), f"{kinds}, seed 3 twice: {first.value!r} and {again.value!r}")
        if not method.claims.seeded:
            value = asked(method, x, y, 4).value
            told = f"{kinds}: seeds 3 and 4 give {first.value!r} and {value!r}, and it does not claim to be seeded"
            require(first.value == value, told)


def leaves_the_caller_alone(method: Method) -> None:
    """The arrays, the global random states, threads and error modes are after a call what they were before."""
    for kinds in method.takes:
        x, y = usual(method, kinds)
        held = x.copy(), y.copy()
        changed = changes(lambda x=x, y=y: asked(method, x, y, again=True))
        require(not changed, f"{kinds}: it changed {' and '.join(changed)}")
        for name, now, before in zip(("x", "y"), (x, y), held, strict=True):
            require(now.tobytes() == before.tobytes(), f"{kinds}: it wrote to the caller's `{name}`")


def order_of_rows_means_nothing(method: Method) -> None:
    """Pairs sorted by a side say what they say shuffled, within errors; and so do sides that were torn apart."""
    for kinds in method.takes:
        x, y = usual(method, kinds)
        torn = x[np.random.default_rng(0).permutation(len(x))]
        for side, what in ((x, "the same pairs"), (torn, "the same pairs of sides torn apart")):
            order = np.argsort(y if y.ndim == 1 else y[:, 0], kind="stable")
            plain, ordered = asked(method, side, y), asked(method, side[order], y[order])
            _agree(method, plain, ordered, f"{kinds}: {what}, shuffled and sorted")


def names_and_types_mean_nothing(method: Method) -> None:
    """Labels may be called anything, and single precision says what double says, within half an error."""
    for kinds in method.takes:
        x, y = usual(method, kinds)
        plain = asked(method, x, y)
        if x.dtype.kind == "f":
            single = asked(method, x.astype(np.float32), y.astype(np.float32) if y.dtype.kind == "f" else y)
            _agree(method, plain, single, f"{kinds}: in double and in single precision", 0.5)
        if y.dtype.kind in "iu":
            names = 1000 - 7 * y
            _agree(method, plain, asked(method, x, names), f"{kinds}: labels under other names", 2.0)


def constants_and_ties_stay_finite(method: Method) -> None:
    """A constant tells exactly nothing; dead columns, repeated, rounded and whole numbers give a finite answer."""
    for kinds in method.takes:
        x, y = usual(method, kinds)
        still = asked(method, np.zeros_like(x), y)
        require((still.value, still.stderr) == (0.0, 0.0), f"{kinds}: a constant side tells {still}")
        if x.dtype.kind != "f":
            continue
        x = x.reshape(len(x), -1)
        hard = {
            "rounded to tenths": np.round(x, 1),
            "whole numbers": np.round(3 * x),
            "signs beside dead columns": np.hstack([np.where(x > 0, 1.0, -1.0), np.zeros((len(x), 2))]),
            "each row four times": np.repeat(x[: -(-len(x) // 4)], 4, axis=0)[: len(x)],
        }
        for what, side in hard.items():
            found = asked(method, side, y)
            require(math.isfinite(found.value), f"{kinds}, x {what}: {found}")
            if method.claims.ceiling:
                most = math.log(len(x)) * (1 + 1e-12)
                require(found.value <= most, f"{kinds}, x {what}: {found.value:.4f} nat is above log n = {most:.4f}")


def few_examples_are_refused_or_answered(method: Method) -> None:
    """One example, two, a handful: a ValueError that says what it needs, or an answer; never another error."""
    for kinds in method.takes:
        for n in (1, 2, 3, 6, 12):
            x, y = usual(method, kinds, n)
            try:
                found = asked(method, x, y)
            except ValueError as error:
                require(any(c.isdigit() for c in str(error)), f"{n} {kinds} are refused without a number: {error}")
            else:
                require(not math.isinf(found.value), f"{n} {kinds} give {found.value}")
                require(found.stderr != 0 or found.value == 0 or not method.subsampled, f"{n} {kinds}: error 0")


def bad_examples_are_refused(method: Method) -> None:
    """NaN and infinity are refused with the row that holds them, sides of unequal length with both lengths."""
    for kinds in method.takes:
        x, y = usual(method, kinds)
        refused = [((x[:-1], y), str(len(y)))]
        for bad in (math.nan, math.inf) if x.dtype.kind == "f" else ():
            broken = x.copy()
            broken[7] = bad
            refused.append(((broken, y), "row 7"))
        for sides, word in refused:
            try:
                found = asked(method, *sides)
            except ValueError as error:
                require(word in str(error), f"{kinds}: refused without naming {word}: {error}")
            else:
                raise ContractBroken(f"{kinds} with NaN, infinity or unequal lengths give {found}")


def never_more_than_there_is(method: Method) -> None:
    """A side that tells the labels: at most H(Y). A copy: at most log n, where that is claimed, and flagged."""
    for kinds in method.takes:
        _, y = usual(method, kinds)
        if kinds.endswith("labels"):
            tells = y.astype(np.float64) + 0.01 * np.random.default_rng(0).uniform(size=len(y))
            found = asked(method, tells if kinds.startswith("points") else y, y)
            most = read(y, "y").entropy() if method.claims.errs != "anyhow" else math.inf
        else:
            found, most = asked(method, y, y), math.log(len(y)) if method.claims.ceiling else math.inf
            flagged = found.status & {Status.SATURATED, Status.INFINITE, Status.TIES, Status.NOT_CONVERGED}
            lower = method.claims.estimates == "cells" or found.bound is Bound.LOWER
            told = bool(flagged) or found.value < most / 2 or lower
            require(told, f"{kinds}: a copy gives {found}, and no warning")
        error = found.stderr if math.isfinite(found.stderr) else 0.0
        require(not math.isinf(found.value), f"{kinds}: a copy gives {found.value}")
        require(
            not found.value > most + 3 * error + 1e-9,
            f"{kinds}: one side tells the other, which holds {most:.4f} nat; it says {found.value:.4f} ± {error:.4f}",
        )


@dataclass(frozen=True)
class Invariance:
    """The check that a method's answer does not change under a map that it claims not to see."""

    map: Map

    def __call__(self, method: Method) -> None:
        """Ask about the examples as they are and mapped."""
        for kinds in method.takes:
            x, y = usual(method, kinds)
            moved = mapped(self.map, x, y)
            if moved is None or (self.map == "sides" and kinds == "points-labels"):
                continue
            plain, found = asked(method, x, y), asked(method, *moved)
            off = abs(found.value - plain.value)
            require(
                off <= ROUNDING * (1 + abs(plain.value)),
                f"{kinds}: it claims not to see {SEEN[self.map]}, and says {found.value:.9f} nat where it said "
                f"{plain.value:.9f}",
            )


SEEN: dict[str, str] = {
    "scale": "each side's unit (x · 2²⁰, y / 2¹⁰)",
    "shift": "where each side's zero lies (x + 3, y − 5)",
    "linear": "any invertible linear map of a side",
    "rotation": "a rotation of a side",
    "monotone": "increasing maps of columns (eˣ, y³ + y)",
    "rows": "the order of rows",
    "sides": "which side is which",
}


def mapped(name: Map, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """The examples under a map; None where there is nothing for it to move."""
    if name == "rows":
        order = np.random.default_rng(1).permutation(len(x))
        return x[order], y[order]
    if name == "sides":
        return y, x
    if x.dtype.kind != "f":
        return None
    d = x.reshape(len(x), -1).shape[1]
    draws = np.random.default_rng(1)
    maps: dict[str, tuple[Any, Any]] = {
        "scale": (lambda a: a * 2.0**20, lambda b: b * 2.0**-10),
        "shift": (lambda a: a + 3, lambda b: b - 5),
        "monotone": (np.exp, lambda b: b**3 + b),
        "linear": (lambda a: a @ draws.normal(size=(d, d)), lambda b: -3 * b),
        "rotation": (lambda a: a @ np.linalg.qr(draws.normal(size=(d, d)))[0], lambda b: -b),
    }
    of_x, of_y = maps[name]
    return of_x(x), of_y(y) if y.dtype.kind == "f" else y


def _agree(method: Method, one: Measurement, other: Measurement, what: str, errors: float = 3.0) -> None:
    """Two answers differ by no more than some combined reported errors and the resolution of a sample."""
    both = [each.stderr for each in (one, other) if math.isfinite(each.stderr)]
    allowed = errors * math.hypot(*both) + 4 / method.claims.examples
    off = abs(one.value - other.value)
    require(off <= allowed, f"{what}, {one.value:.4f} and {other.value:.4f} nat, where {allowed:.4f} apart is allowed")
