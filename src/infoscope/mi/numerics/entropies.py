"""Mutual information as a sum of three differential entropies, for estimators of entropy from neighbourhoods."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr, ndtri

from infoscope.measurement import Status
from infoscope.mi.method import Finding
from infoscope.mi.numerics.neighbours import standardised
from infoscope.mi.numerics.ties import repeats
from infoscope.mi.sample import Side

KNOTS = 32
"""Knots of a smoothed normal score: more of them begin to show the lattice, fewer leave heavy tails."""


def of_surprisals(
    x: Side, y: Side, surprisal: Callable[[Float[np.ndarray, "n d"]], Float[np.ndarray, " n"]], scores: bool
) -> Finding:
    """⟨−log f̂(x)⟩ + ⟨−log f̂(y)⟩ − ⟨−log f̂(x,y)⟩, with its standard error to first order.

    Of columns that are standardised and, with `scores`, bent to about normal ones.

    A surprisal of NaN is left out of its mean. Repeated values are spread out, and TIES is flagged.
    """
    tied = repeats(x) or repeats(y)
    draws = np.random.default_rng(0)
    a, b = (spread_out(standardised(side.values), draws) for side in (x, y))
    if scores:
        a, b = smooth_scores(a), smooth_scores(b)
    parts = np.stack([surprisal(a), surprisal(b), -surprisal(np.hstack([a, b]))])
    value = float(np.nanmean(parts, axis=1).sum())
    stderr = float(np.nanstd(parts.sum(0), ddof=1)) / math.sqrt(len(x))
    notes = ("every value was moved by noise of less than half the distance to the next",) if tied else ()
    status = frozenset({Status.TIES} if tied else ())
    return Finding(value, stderr, "examples, to first order", status=status, notes=notes)


def spread_out(points: Float[np.ndarray, "n d"], draws: np.random.Generator) -> Float[np.ndarray, "n d"]:
    """Columns with uniform noise as wide as the smallest distance between two of their values.

    The value can be read off from the sum, so information stays as it is, while a density comes to be. Where all
    values differ the noise is far below the distances that count.
    """
    widths = [float(np.diff(np.unique(column)).min(initial=np.inf)) for column in points.T]
    return points + np.array(widths) * draws.uniform(-0.5, 0.5, points.shape)


def smooth_scores(points: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    """Each column bent so that it is about normal: straight between quantiles that lie evenly on the normal scale.

    An increasing map of a column leaves information as it is; this one tames tails, which neighbourhoods cannot follow.
    Exact normal scores would make a lattice of the column, where estimators expect the gaps of a sample, and would
    lose a line thinner than these; between its knots this map is straight and keeps both.
    """
    n = len(points)
    ranks = np.unique(np.rint((n + 1) * ndtr(np.linspace(-1, 1, KNOTS) * ndtri(n / (n + 1)))).clip(1, n).astype(int))
    knots, scores = np.sort(points, axis=0)[ranks - 1], ndtri(ranks / (n + 1))
    return np.stack([np.interp(column, at, scores) for column, at in zip(points.T, knots.T, strict=True)], axis=1)
