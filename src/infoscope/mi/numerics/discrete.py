"""Information between discrete variables, exact under the empirical distribution."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from jaxtyping import Int

from infoscope.measurement import NATS_PER_BIT, Bound, Status
from infoscope.mi.method import Finding
from infoscope.mi.sample import Side

SAMPLES_PER_CELL = 5
"""Fewer examples than this to an occupied joint cell, and the bias of a plug-in estimate is no longer small."""

DENSE = 64
"""A table of joint counts is made where it has at most this many cells an example; otherwise pairs are sorted."""


def plug_in(x: Side, y: Side, corrected: bool = False) -> Finding:
    """I(X;Y) of labels: Σ p(x,y) log p(x,y) / p(x)p(y), with the standard error of its first order.

    As an estimate from samples it errs upward, by about (cells − rows − columns + 1) / 2n (Miller 1955), which the
    notes tell. With `corrected` the three entropies are jackknifed (Zahl 1977), which takes off more of it where cells
    hold few examples; half of what this takes off counts as a further error. It never adds: where one side tells the
    other, the examples may be the whole population and the plug-in exact.
    """
    n = len(x)
    rows, columns, count = _table(x, y)
    marginal_x, marginal_y = np.bincount(x.values), np.bincount(y.values)
    density = np.log(count * n / (marginal_x[rows].astype(float) * marginal_y[columns]))
    value, stderr = _mean(density, count)
    few = frozenset({Status.TOO_FEW_SAMPLES} if len(count) * SAMPLES_PER_CELL > n else ())
    if corrected:
        better = _jackknifed(marginal_x) + _jackknifed(marginal_y) - _jackknifed(count)
        excess = max(value - better, 0.0)
        note = f"bias of {excess / NATS_PER_BIT:.6f} bit subtracted (jackknife)"
        over = "examples, to first order, and half of the bias that was subtracted"
        return Finding(value - excess, stderr, over, status=few, notes=(note,), bias=excess / 2)
    bias = (len(count) - x.classes - y.classes + 1) / (2 * n)
    note = f"bias of the plug-in about {bias / NATS_PER_BIT:+.6f} bit (Miller 1955), not subtracted"
    return Finding(value, stderr, "examples, to first order", status=few, notes=(note,))


def _jackknifed(count: Int[np.ndarray, " m"]) -> float:
    """The jackknife, n Ĥ − (n − 1) times the mean Ĥ with one example left out, nats: Ĥ = log n − 1/n Σ c log c of each.

    >>> round(_jackknifed(np.array([1, 1])), 6), round(2 * math.log(2), 6)
    (1.386294, 1.386294)
    """
    n = int(count.sum())
    if n < 2:
        return 0.0
    count = count[count > 0]
    terms = count * np.log(count)
    fewer = (count - 1) * np.log(np.maximum(count - 1, 1))
    without = math.log(n - 1) - (terms.sum() - terms + fewer) / (n - 1)
    return n * (math.log(n) - float(terms.sum()) / n) - (n - 1) * float(count @ without) / n


def entropy(x: Side) -> Finding:
    """H(X) of labels under the empirical distribution."""
    count = np.bincount(x.values)
    value, stderr = _mean(-np.log(count / len(x)), count)
    return Finding(value, stderr, "examples, to first order")


def of_layer(t: Side, y: Side) -> tuple[Finding, Finding]:
    """I(X;T) = H(T) and I(T;Y) of a discrete layer; the examples are taken for the whole population of inputs."""
    return replace(entropy(t), bound=Bound.EXACT), replace(plug_in(t, y), bound=Bound.EXACT, status=frozenset())


def _table(x: Side, y: Side) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"], Int[np.ndarray, " m"]]:
    """Row, column and count of every occupied joint cell."""
    keys = x.values * y.classes + y.values
    if x.classes * y.classes <= DENSE * len(x):
        table = np.bincount(keys)
        cells = np.flatnonzero(table)
        return *np.divmod(cells, y.classes), table[cells]
    cells, count = np.unique(keys, return_counts=True)
    return *np.divmod(cells, y.classes), count


def _mean(values: np.ndarray, count: Int[np.ndarray, " m"]) -> tuple[float, float]:
    """Mean of per-example values that `count` examples share, and its standard error."""
    n = int(count.sum())
    mean = float(values @ count) / n
    spread = float((values - mean) ** 2 @ count)
    return mean, math.sqrt(spread / n / max(n - 1, 1))
