"""Which of several codes of the same labels is the shortest, and how sure that is; and from which n on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from infoscope.prequential.loss_curve import LossCurve

BLOCKS = 20
"""Groups of examples, drawn at random, that a jackknife leaves out one at a time."""

DRAWS = 20_000

Candidates = Mapping[str, Sequence[LossCurve]]
"""Curves by name: of the same examples, in the same orders."""


def best(candidates: Candidates) -> dict[str, float]:
    """P(best) of each: how probable it is that it has the smallest expected length, ties shared.

    The totals T_m are means over orders of sums over examples. Their joint error has two parts: examples, by a
    jackknife
    that leaves out one of `BLOCKS` random groups at a time, and orders, whose spread is seen when there are several.
    Both keep what the candidates have in common, so nothing is lost to it and nothing has to be corrected for how many
    they are. P is the share of draws T + Σ^½ t, t Student's with `BLOCKS` − 1 degrees of freedom, in which one is the
    smallest.

    >>> half, sure = (LossCurve.from_probabilities([[1 - p, p]] * 40, [1] * 40) for p in (0.5, 0.9))
    >>> best({"coin": [half], "knows": [sure], "again": [sure]})
    {'coin': 0.0, 'knows': 0.5, 'again': 0.5}
    """
    names = list(candidates)
    costs = _by_example(candidates)
    totals, spread = costs.mean(1).sum(1), _covariance(costs)
    values, axes = np.linalg.eigh(spread)
    draws = np.random.default_rng(0)
    noise = draws.standard_normal((DRAWS, len(names))) * np.sqrt(np.maximum(values, 0))
    heavier = np.sqrt((BLOCKS - 1) / draws.chisquare(BLOCKS - 1, DRAWS))[:, None]
    drawn = totals + heavier * (noise @ axes.T)
    least = drawn.min(1, keepdims=True)
    tied = drawn <= least + 1e-9 * (1 + abs(least))
    shares = (tied / tied.sum(1, keepdims=True)).mean(0)
    return dict(zip(names, shares.tolist(), strict=True))


@dataclass(frozen=True)
class Crossing:
    """From how many labels on the one that is shorter in the end is ahead for good; 0 if it always was.

    `lower` and `upper` hold 90 % of what it is when orders and groups of examples are drawn again; NaN if it never is
    ahead in the end. `turned` is the share of draws in which it is not.
    """

    n: int
    lower: float
    upper: float
    turned: float


def crossing(winner: Sequence[LossCurve], other: Sequence[LossCurve], draws: int = 400) -> Crossing:
    """Where the cumulative codelength of `winner` goes below that of `other` for the last time."""
    costs = _by_example({"winner": winner, "other": other})
    index = np.stack([curve.index for curve in winner])
    groups = _groups(costs.shape[2])
    size = int(groups.max()) + 1
    # The difference of each order along its own sequence, parted by the group of the example that was sent.
    apart = np.zeros((len(index), size, index.shape[1]))
    for r, row in enumerate(index):
        steps = costs[0, r][_place(row)] - costs[1, r][_place(row)]
        apart[r, groups[_place(row)], np.arange(len(row))] = steps
    paths = apart.cumsum(2)
    found = _last_change(paths.mean(0).sum(0))
    generator, ends, turned = np.random.default_rng(0), [], 0
    for _ in range(draws):
        orders = generator.integers(len(paths), size=len(paths))
        weights = np.bincount(generator.integers(size, size=size), minlength=size)
        path = np.einsum("g,gn->n", weights, paths[orders].mean(0))
        if path[-1] >= 0:
            turned += 1
        else:
            ends.append(_last_change(path))
    lower, upper = np.quantile(ends, [0.05, 0.95]) if ends else (np.nan, np.nan)
    return Crossing(found, float(lower), float(upper), turned / draws)


def _last_change(path: Float[np.ndarray, " n"]) -> int:
    """The number of labels up to the last one at which the difference was above 0."""
    behind = np.flatnonzero(path > 0)
    return int(behind[-1]) + 1 if len(behind) else 0


def _by_example(candidates: Candidates) -> Float[np.ndarray, "candidates orders n"]:
    """Costs by example, in one order for all; a ValueError unless they are of the same examples and orders."""
    first = next(iter(candidates.values()))
    found = []
    for name, curves in candidates.items():
        same = len(curves) == len(first) and all(
            a.seed == b.seed and np.array_equal(a.index, b.index) for a, b in zip(curves, first, strict=True)
        )
        same = same and all(np.array_equal(np.sort(a.index), np.sort(first[0].index)) for a in curves)
        if not same:
            raise ValueError(f"{name!r} was coded in other orders or of other examples; compare codes of the same ones")
        rows = np.empty((len(curves), len(curves[0])))
        for row, curve in zip(rows, curves, strict=True):
            row[_place(curve.index)] = curve.nats
        found.append(rows)
    return np.stack(found)


def _place(index: np.ndarray) -> np.ndarray:
    """The place of every example among those that were sent."""
    return np.argsort(np.argsort(index, kind="stable"), kind="stable")


def _groups(n: int) -> np.ndarray:
    """The group of every example, as equal as can be, drawn at random."""
    return np.random.default_rng(0).permutation(n) % min(BLOCKS, n)


def _covariance(costs: Float[np.ndarray, "candidates orders n"]) -> Float[np.ndarray, "candidates candidates"]:
    """Of the totals: what examples and what orders put into them."""
    candidates, orders, n = costs.shape
    groups, spread = _groups(n), np.zeros((candidates, candidates))
    if n > 1:
        sums = np.stack([np.bincount(groups, row) for row in costs.mean(1)])
        spread += np.atleast_2d(np.cov(sums)) * sums.shape[1]
    if orders > 1:
        spread += np.atleast_2d(np.cov(costs.sum(2))) / orders
    return spread
