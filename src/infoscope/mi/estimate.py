"""The front door: mutual information of a sample, and of a layer with input and label."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from infoscope import __version__
from infoscope.measurement import NATS_PER_BIT, Bound, Measurement, Receipt, Status, mean_and_stderr
from infoscope.mi.estimators.quantised import Quantised
from infoscope.mi.method import Finding, LayerMethod, LearningMethod, Method, ShufflingMethod
from infoscope.mi.numerics import discrete, ties
from infoscope.mi.numerics.subsample import spread
from infoscope.mi.sample import Side, as_points, is_constant, paired, read, read_labels

if TYPE_CHECKING:
    from infoscope.run import Store

SATURATION = 0.95
"""A value above this share of the most that can be reported says that there is more than the sample can show."""

DEVIATIONS = 2.0
"""A value counts as significant this many standard deviations above the mean of its shuffled baseline."""

ROUNDING = 1e-9
"""Nats by which numbers that are equal in exact arithmetic may differ."""


ERRORS = 3.0
"""A value so many of its errors below 0 is none that information has."""


@dataclass(frozen=True)
class LayerInformation:
    """What a layer T holds about the input, I(X;T), and about the label, I(T;Y)."""

    x_t: Measurement
    t_y: Measurement


def mutual_information(
    x: Any,
    y: Any,
    method: Method | None = None,
    *,
    null: int = 0,
    seed: int = 0,
    strict: bool = True,
    store: Store | None = None,
) -> Measurement:
    """Mutual information I(X;Y) of two variables from n pairs, nats.

    `x` and `y` are arrays or tensors of shape (n,) or (n, d): floating values are points, integers and booleans are
    labels. Without a `method` it is chosen by what the sides are. `null=20` estimates again on 20 shufflings of `y`
    and flags a value that is not above them. A flagged value raises unless `strict=False`. What a method learns is kept
    in the `store`, if there is one, and never learned twice.

    >>> x = np.arange(4096)
    >>> round(mutual_information(x % 64, x % 8).bits, 12)
    3.0
    """
    a, b = read(x, "x"), read(y, "y")
    paired(a, b, ("x", "y"))
    if a.labels and not b.labels:
        a, b = b, a
    chosen = method or default(a, b)
    _check_kinds(chosen, a, b, "x and y")
    return _answer("I(X;Y)", chosen, a, b, null, seed, store).checked(strict)


def layer_information(
    t: Any,
    y: Any,
    method: Method,
    *,
    x: Any = None,
    null: int = 0,
    seed: int = 0,
    strict: bool = False,
    name: str = "t",
    store: Store | None = None,
) -> LayerInformation:
    """I(X;T) and I(T;Y) of a layer's activations `t` (n, d), the labels `y` (n,) and input patterns X, nats.

    The layer is a function of X, and every pattern is distinct: I(X;T) is H(T) of the binned or noisy layer under
    the empirical distribution. A method that neither bins nor adds noise needs `x`; if `x` is continuous the true
    value is infinite, and says so. `name` names the layer in errors. The shuffled baseline `null` concerns I(T;Y)
    alone: I(X;T) does not depend on the pairing when all patterns are distinct. What a method learns is kept in the
    `store`, if there is one, and never learned twice.
    """
    points, labels = _layer(t, y, name)
    _check_kinds(method, points, labels, f"a layer {name} and its labels")
    if isinstance(method, LayerMethod):
        x_t, t_y = method.layer(points, labels, seed)
    else:
        x_t = _of_inputs(method, x, points, name, seed, store)
        t_y = _found(method, points, labels, seed, store)
    t_y = _against_shuffled(t_y, method, points, labels, null, seed, store)
    information = _of_layer(method, points, labels, (x_t, t_y), seed)
    information.x_t.checked(strict)
    information.t_y.checked(strict)
    return information


def layer_bracket(
    t: Any, y: Any, variance: float = 1e-3, *, name: str = "t"
) -> tuple[LayerInformation, LayerInformation]:
    """The lower and the upper `KDE` information of a layer, from one pass over its distances.

    The same numbers as `layer_information` with `KDE(variance, "lower")` and `"upper"`, at half the cost.
    """
    from infoscope.mi.estimators.kde import KDE, kernel_bounds

    points, labels = _layer(t, y, name)
    bounds = kernel_bounds(points.values, labels, variance)
    return (
        _of_layer(KDE(variance, "lower"), points, labels, bounds.findings("lower"), 0),
        _of_layer(KDE(variance, "upper"), points, labels, bounds.findings("upper"), 0),
    )


def default(x: Side, y: Side) -> Method:
    """The method when none is named: `Quantised` for labels, corrected for bias, otherwise `Largest`."""
    if x.labels:
        return Quantised(corrected=True)
    from infoscope.mi.estimators.largest import Largest

    return Largest()


def _layer(t: Any, y: Any, name: str) -> tuple[Side, Side]:
    points, labels = as_points(t, name), read_labels(y, "y")
    paired(points, labels, (name, "y"))
    return points, labels


def _of_layer(
    method: Method, points: Side, labels: Side, findings: tuple[Finding, Finding], seed: int
) -> LayerInformation:
    receipt, log_n = _receipt(method, points, labels, seed), math.log(len(points))
    return LayerInformation(
        _measurement("I(X;T)", findings[0], log_n, receipt),
        _measurement("I(T;Y)", findings[1], min(log_n, labels.entropy()), receipt),
    )


def _answer(quantity: str, method: Method, x: Side, y: Side, null: int, seed: int, store: Store | None) -> Measurement:
    found = _against_shuffled(_found(method, x, y, seed, store), method, x, y, null, seed, store)
    log_n = math.log(len(x))
    ceiling = log_n if x.labels else min(log_n, y.entropy())
    return _measurement(quantity, found, ceiling, _receipt(method, x, y, seed))


def _estimate(method: Method, x: Side, y: Side, seed: int, store: Store | None) -> Finding:
    if is_constant(x) or is_constant(y):
        return Finding(0.0, 0.0, "one side is constant", Bound.EXACT)
    return method.estimate(x, y, seed, store) if isinstance(method, LearningMethod) else method.estimate(x, y, seed)


def _found(method: Method, x: Side, y: Side, seed: int, store: Store | None) -> Finding:
    found = _estimate(method, x, y, seed, store)
    if method.subsampled and math.isnan(found.stderr):
        return spread(found, method, x, y, seed)
    return found


def _of_inputs(method: Method, x: Any, t: Side, name: str, seed: int, store: Store | None) -> Finding:
    """I(X;T) by a method that neither bins nor adds noise: infinite between continua, unless the sample hides it."""
    infinite = frozenset({Status.INFINITE})
    if x is None:
        if ties.is_discrete(t):
            return replace(
                discrete.entropy(ties.values(t)), bound=Bound.EXACT, notes=("a layer of symbols: I(X;T) is H(T)",)
            )
        return Finding(math.nan, status=infinite, notes=(f"{type(method).__name__} needs the inputs for I(X;T)",))
    inputs = read(x, "x")
    paired(inputs, t, ("x", name))
    if ties.is_discrete(inputs) or ties.is_discrete(t):  # a constant, too
        infinite = frozenset()
    if inputs.labels:
        inputs = as_points(x, "x")
    if "points-points" not in method.takes:
        note = f"{type(method).__name__} is for I(T;Y) only"
        return Finding(math.nan, status=infinite or frozenset({Status.TIES}), notes=(note,))
    found = _found(method, inputs, t, seed, store)
    return replace(found, status=found.status | infinite)


def _against_shuffled(
    found: Finding, method: Method, x: Side, y: Side, null: int, seed: int, store: Store | None
) -> Finding:
    """The finding with its shuffled baseline in the notes, flagged unless it stands above it."""
    if not null:
        return found
    draws = np.random.default_rng(seed)
    shufflings = [y.take(draws.permutation(len(y))) for _ in range(null)]
    if isinstance(method, ShufflingMethod) and not is_constant(x):
        values = method.shuffled(x, shufflings, seed)
    else:
        values = [_estimate(method, x, shuffled, seed, store).value for shuffled in shufflings]
    mean, _ = mean_and_stderr(values)
    deviation = float(np.std(values, ddof=1)) if null > 1 else math.nan
    spread_of_null = 0.0 if math.isnan(deviation) else deviation
    above = found.value > mean + max(DEVIATIONS * spread_of_null, ROUNDING)
    spread = f"standard deviation {deviation / NATS_PER_BIT:.6f}"
    note = f"{null} shufflings give {mean / NATS_PER_BIT:.6f} bit in the mean, {spread}"
    status = found.status if above else found.status | {Status.INSIGNIFICANT}
    return replace(found, status=status, notes=(*found.notes, note))


def _measurement(quantity: str, found: Finding, generic: float, receipt: Receipt) -> Measurement:
    own = generic if found.ceiling is None else found.ceiling
    ceiling = own if math.isinf(own) else min(own, generic)
    full = found.value > SATURATION * ceiling and ceiling > 0
    stderr = math.hypot(found.stderr, found.bias) if found.bias else found.stderr
    beyond = found.value - generic if found.value > generic * (1 + 1e-9) else 0.0
    status = found.status | ({Status.SATURATED} if full or (beyond and math.isnan(stderr)) else set())
    status |= {Status.NEGATIVE} if found.value < -ERRORS * stderr else set()
    notes = found.notes
    if beyond > DEVIATIONS * stderr:
        stderr = beyond / DEVIATIONS
        notes = (*notes, f"n examples show {generic / NATS_PER_BIT:.6f} bit at most: the error reaches down to there")
    told = replace(receipt, over=found.over, notes=notes)
    return Measurement(quantity, found.value, stderr, bound=found.bound, status=status, receipt=told)


def _receipt(method: Method, x: Side, y: Side, seed: int) -> Receipt:
    data = f"{x.digest()} {y.digest()}"
    return Receipt(repr(method), data=data, n=len(x), seeds=(seed,), version=__version__, device="cpu")


def _check_kinds(method: Method, x: Side, y: Side, what: str) -> None:
    pair = f"{x.kind}-{y.kind}"
    if pair not in method.takes:
        from infoscope.mi import methods

        able = [name for name, other in methods.METHODS.items() if pair in other.takes]
        raise ValueError(
            f"{type(method).__name__} is for {' or '.join(method.takes)}, and {what} are {pair}; "
            f"use one of {', '.join(able)}"
        )
