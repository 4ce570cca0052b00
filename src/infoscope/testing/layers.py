"""Checks of methods that know both informations of a layer, or a cheaper way to their shuffled baseline."""

from __future__ import annotations

import math

import numpy as np

from infoscope.mi.method import LayerMethod, ShufflingMethod
from infoscope.mi.sample import as_points, read_labels
from infoscope.testing.answers import usual
from infoscope.testing.check import require

SLACK = 1e-9


def a_layer_holds_what_it_tells(method: LayerMethod) -> None:
    """0 ≤ I(T;Y) ≤ I(X;T) ≤ log n, I(T;Y) ≤ H(Y), and I(T;Y) is what `estimate` says of the same examples."""
    x, y = usual(method, "points-labels", 200)
    t, labels = as_points(x, "t"), read_labels(y, "y")
    x_t, t_y = method.layer(t, labels, 0)
    told = f"I(X;T) = {x_t.value:.6f} and I(T;Y) = {t_y.value:.6f} nat of {len(x)} examples"
    drawn = [each.stderr for each in (x_t, t_y) if method.claims.seeded and math.isfinite(each.stderr)]
    slack = SLACK + 4 * sum(drawn)
    require(-slack <= t_y.value <= x_t.value + slack, f"{told}: a layer tells of the label what it holds, or less")
    require(x_t.value <= math.log(len(x)) + SLACK, f"{told}: more than log n = {math.log(len(x)):.6f}")
    require(t_y.value <= labels.entropy() + slack, f"{told}: more than H(Y) = {labels.entropy():.6f}")
    if method.claims.estimates != "information":  # of a sample it may know better
        again = method.estimate(t, labels, 0).value
        require(abs(again - t_y.value) < SLACK, f"{told}, and its `estimate` says {again:.6f} of the same")
    nothing, none = method.layer(as_points(np.zeros_like(x), "t"), labels, 0)
    require(
        abs(nothing.value) < SLACK and abs(none.value) < SLACK,
        f"a constant layer holds {nothing.value:.3g} and tells {none.value:.3g} nat",
    )


def shufflings_are_estimates(method: ShufflingMethod) -> None:
    """Its cheaper way gives for every shuffling what its `estimate` gives."""
    x, y = usual(method, "points-labels", 200)
    t, labels = as_points(x, "t"), read_labels(y, "y")
    draws = np.random.default_rng(0)
    shufflings = [labels.take(draws.permutation(len(y))) for _ in range(3)]
    for quick, shuffled in zip(method.shuffled(t, shufflings, 0), shufflings, strict=True):
        slow = method.estimate(t, shuffled, 0).value
        require(abs(quick - slow) < SLACK, f"a shuffling gives {quick:.9f} nat, and its `estimate` {slow:.9f}")
