"""Information between discrete variables, exact under the empirical distribution."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from jaxtyping import Int

from infoscope.measurement import Bound, Status
from infoscope.mi.method import Finding
from infoscope.mi.sample import Side

SAMPLES_PER_CELL = 5
"""Fewer examples than this to an occupied joint cell, and the bias of a plug-in estimate is no longer small."""

DENSE = 64
"""A table of joint counts is made where it has at most this many cells an example; otherwise pairs are sorted."""


def plug_in(x: Side, y: Side) -> Finding:
    """I(X;Y) of labels: Σ p(x,y) log p(x,y) / p(x)p(y), with the standard error of its first order.

    Its bias is upward, about (cells − rows − columns + 1) / 2n (Miller 1955), and told in the notes.
    """
    n = len(x)
    rows, columns, count = _table(x, y)
    marginal_x, marginal_y = np.bincount(x.values), np.bincount(y.values)
    density = np.log(count * n / (marginal_x[rows].astype(float) * marginal_y[columns]))
    value, stderr = _mean(density, count)
    bias = (len(count) - x.classes - y.classes + 1) / (2 * n)
    few = frozenset({Status.TOO_FEW_SAMPLES} if len(count) * SAMPLES_PER_CELL > n else ())
    note = f"bias of the plug-in about {bias / math.log(2):+.6f} bit (Miller 1955), not subtracted"
    return Finding(value, stderr, "examples, to first order", Bound.NONE, few, notes=(note,))


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
