"""Variational bounds on mutual information from a critic's scores of held-out pairs: pure functions.

`scores[i, j]` is f(x_i, y_j). The diagonal holds true pairs, the rest stands for the product of the margins. Standard
errors leave out one example, its row and its column, at a time; they take the critic as given.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from scipy.special import logsumexp

from infoscope.measurement import Bound
from infoscope.mi.method import Finding

OVER = "held-out examples (jackknife), the critic given"

Scores = Float[np.ndarray, "n n"]
Vector = Float[np.ndarray, "..."]


def donsker_varadhan(scores: Scores) -> Finding:
    """E_p[f] − log E_pq[e^f] (Donsker & Varadhan 1983; MINE, Belghazi et al. 2018), a lower bound.

    The logarithm of a mean over finitely many pairs errs upward where few scores dominate the mean.

    >>> donsker_varadhan(np.zeros((4, 4))).value
    0.0
    """
    top = float(scores.max())
    return _jackknifed(scores, np.exp(scores - top), lambda f, e: f - np.log(e) - top, Bound.LOWER)


def nwj(scores: Scores) -> Finding:
    """E_p[f] − E_pq[e^(f−1)] (Nguyen, Wainwright & Jordan 2010), a lower bound without bias of its own.

    f may be shifted by a constant: the best one, 1 − log E_pq[e^f], is found on one half of the examples and the bound
    is taken on the other, both ways.
    """
    half = len(scores) // 2
    parts = scores[:half, :half], scores[half:, half:]
    found = [_nwj(part, 1 - _log_mean_off_diagonal(other)) for part, other in (parts, parts[::-1])]
    value = (found[0].value + found[1].value) / 2
    return Finding(value, math.hypot(found[0].stderr, found[1].stderr) / 2, OVER, Bound.LOWER)


def infonce(scores: Scores) -> Finding:
    """InfoNCE: log n + E[f(x_i, y_i) − log Σ_j e^f(x_i, y_j)], one batch of all n.

    Van den Oord et al. (2018), the mean of both directions. A lower bound that is never above log n, its ceiling.

    >>> round(infonce(np.diag([50.0, 50.0])).value / math.log(2), 12)
    1.0
    """
    own, n = np.diagonal(scores), len(scores)
    terms = math.log(n) + own - (logsumexp(scores, axis=1) + logsumexp(scores, axis=0)) / 2
    error = float(terms.std(ddof=1)) / math.sqrt(n)
    return Finding(float(terms.mean()), error, "held-out examples, the critic given", Bound.LOWER, ceiling=math.log(n))


def smile(scores: Scores, clip: float) -> Finding:
    """E_p[f] − log E_pq[e^f′], f′ = f clipped to ±clip (Song & Ermon 2020): less variance, and no longer a bound."""
    clipped = scores.clip(-clip, clip)
    return _jackknifed(scores, np.exp(clipped - clip), lambda f, e: f - np.log(e) - clip, Bound.NONE)


def gain(scores: Scores, known: Scores) -> tuple[float, float]:
    """How much more Donsker & Varadhan's bound is for a critic than for a known part of it, and its standard error."""
    values = [_left_out(s, np.exp(s - s.max()), lambda f, e, t=s.max(): f - np.log(e) - t) for s in (scores, known)]
    (whole, without), (base, base_without) = values
    return whole - base, _jackknife_error(without - base_without)


def _nwj(scores: Scores, shift: float) -> Finding:
    return _jackknifed(scores, np.exp(scores + shift - 1), lambda f, e: f + shift - e, Bound.LOWER)


def _log_mean_off_diagonal(scores: Scores) -> float:
    n = len(scores)
    off = scores[~np.eye(n, dtype=bool)]
    return float(logsumexp(off)) - math.log(len(off))


def _jackknifed(scores: Scores, product: Scores, value: Callable[[Vector, Vector], Vector], bound: Bound) -> Finding:
    found, without = _left_out(scores, product, value)
    return Finding(found, _jackknife_error(without), OVER, bound)


def _left_out(scores: Scores, product: Scores, value: Callable[..., Vector]) -> tuple[float, Vector]:
    """`value` of the means on and off the diagonal, and the same without each example in turn."""
    n = len(scores)
    own, diagonal = np.diagonal(scores), np.diagonal(product)
    total = product.sum() - diagonal.sum()
    rest = np.maximum(total - product.sum(0) - product.sum(1) + 2 * diagonal, np.finfo(float).tiny)
    whole = value(own.mean(), max(total, np.finfo(float).tiny) / (n * (n - 1)))
    return float(whole), value((own.sum() - own) / (n - 1), rest / ((n - 1) * (n - 2)))


def _jackknife_error(without: Vector) -> float:
    n = len(without)
    return math.sqrt((n - 1) / n * float(np.square(without - without.mean()).sum()))
