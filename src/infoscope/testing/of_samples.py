"""Checks of estimators that take examples for a sample: of their answers about settings whose truth is known.

Tolerances come from what a method reports of itself. A mean over samples may be one reported standard error from the
truth, for the bias that it has at this size, and three standard errors of that mean; and a method whose tolerance
would let a fifth of the truth pass at the strongest setting is held to more examples, not to less.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from infoscope.measurement import Bound
from infoscope.mi.method import Method
from infoscope.testing.answers import ROUGHER, Answers, answers, as_kinds, asked, settings
from infoscope.testing.check import require

FOUND = 0.5
"""A method that errs downward finds at least this share of what is easy to find."""

POWER = 5
"""A tolerance above the truth by this at the strongest setting could not tell a liar."""

SMALLEST, LARGEST = 0.5, 6.0
"""Reported errors, in units of the least that a sample allows: nobody halves it, and sixfold says nothing."""


def nothing_shared_gives_nothing(method: Method) -> None:
    """Independent sides: within two reported errors of 0, and near 0 beside what there could be."""
    for kinds in method.takes:
        nothing, _, much = settings(method, kinds)
        found = answers(method, nothing, kinds)
        most = min(max(2 * found.error, found.resolution), much.information / POWER)
        low = -math.inf if method.claims.errs == "down" else -most
        require(
            low <= found.mean <= most,
            f"{kinds} that share nothing give {_told(found)}, which is to lie within {most:.4f} nat of 0",
        )


def more_shared_gives_more(method: Method) -> None:
    """Three strengths: never less by more than an error, and in all by more than three."""
    for kinds in method.takes:
        found = [answers(method, setting, kinds) for setting in settings(method, kinds)]
        error = max(each.error for each in found) / math.sqrt(len(found[0].found))
        means = [each.mean for each in found]
        told = " → ".join(_told(each) for each in found)
        require(all(b - a > -error for a, b in pairwise(means)), f"{kinds}, ever more shared: {told}")
        require(means[-1] - means[0] > 3 * error, f"{kinds}: between nothing and much shared it hardly moves, {told}")


def meets_closed_forms(method: Method) -> None:
    """The mean over samples is the truth: both ways, or for a method that errs downward at most that, and half."""
    for kinds in method.takes:
        _, some, much = settings(method, kinds)
        more = ROUGHER.get(method.claims.assumes, ()) if kinds == "points-points" else ()
        for setting in (some, much, *(more if method.claims.errs == "never" else ())):
            _meets(method, answers(method, setting, kinds), setting == much)


def _meets(method: Method, found: Answers, strongest: bool) -> None:
    off, truth = float(found.residuals.mean()), found.truth
    # Three samples say little about their deviation: the method's own error is the other witness.
    deviation = min(float(found.residuals.std(ddof=1)), found.error)
    tolerance = found.error + 3 * deviation / math.sqrt(len(found.found)) + found.resolution
    told = f"about {found.setting!r}, which holds {truth:.4f} nat, it says {_told(found)}"
    if strongest:
        require(
            tolerance < truth / POWER or method.claims.errs == "down",
            f"{told}: errors this wide let {tolerance / truth:.0%} of the truth pass; claim more examples",
        )
    require(off <= tolerance, f"{told}: above by {off:.4f} where {tolerance:.4f} is allowed")
    if method.claims.errs == "never":
        require(off >= -tolerance, f"{told}: below by {-off:.4f} where {tolerance:.4f} is allowed")
    elif strongest:
        require(found.mean >= FOUND * truth, f"{told}: less than {FOUND:.0%} of what is easy to find")


def errors_are_honest(method: Method) -> None:
    """Reported errors: known, not too small for any estimator, not so large as to say nothing, and they cover."""
    for kinds in method.takes:
        z: list[np.ndarray] = []
        for setting in settings(method, kinds)[1:]:
            found = answers(method, setting, kinds)
            told = f"about {setting!r} it says {_told(found)}"
            require(
                math.isfinite(found.error),
                f"{told}: an unknown error; with `subsampled` true the front door finds one",
            )
            low = SMALLEST * found.spread
            require(
                found.error >= low,
                f"{told}: no estimator from {found.n} examples has an error below about {low:.4f} nat",
            )
            high = LARGEST * found.spread
            require(found.error <= high, f"{told}: {high:.4f} would be {LARGEST:.0f} times what a sample allows")
            away = (found.values - found.truth) / found.error
            z.append(np.maximum(away, 0) if method.claims.errs == "down" else away)
        root = float(np.sqrt(np.mean(np.square(np.concatenate(z)))))
        require(root <= 2.5, f"{kinds}: errors of {root:.1f} reported standard errors, root mean square over samples")


def bounds_hold(method: Method) -> None:
    """Where an answer says that it is a lower bound, or an upper one, the truth lies on its other side."""
    for kinds in method.takes:
        for setting in settings(method, kinds):
            found = answers(method, setting, kinds)
            tolerance = found.error + found.resolution
            for each, residual in zip(found.found, found.residuals, strict=True):
                off = {Bound.LOWER: residual, Bound.UPPER: -residual}.get(each.bound, 0.0)
                told = f"about {setting!r}, which holds {found.truth:.4f} nat, it says {each}"
                require(off <= 2 * tolerance, f"{told}: beyond by {off:.4f} where {2 * tolerance:.4f} is allowed")


def mixed_sides_are_right(method: Method) -> None:
    """A bit given as numbers is a bit, told as TIES; and half a side may be one value, the other half a continuum."""
    n = method.claims.examples
    draws = np.random.default_rng(0)
    bit = draws.permutation(np.arange(n) % 2)
    for kinds in method.takes:
        if kinds == "labels-labels":
            continue
        a, b = as_kinds(bit, bit, kinds)
        found = asked(method, a, b)
        require(
            abs(found.value - math.log(2)) < 1e-9,
            f"{kinds}: a bit beside its copy gives {found.value:.6f} nat, not log 2 = {math.log(2):.6f}",
        )
        half = bit * (1 + draws.uniform(size=n))
        found = asked(method, half, b)
        require(
            abs(found.value - math.log(2)) < 3 * found.stderr + 4 / n,
            f"{kinds}: a side of half atoms, half continuum beside what tells them apart gives {found.value:.4f} ± "
            f"{found.stderr:.4f} nat, not log 2 = {math.log(2):.4f}",
        )


def _told(found: Answers) -> str:
    return f"{found.mean:.4f} ± {found.error:.4f} nat (mean of {len(found.found)} samples of {found.n}, error of one)"
