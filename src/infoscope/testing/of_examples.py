"""Checks of estimators that take the examples for the whole population: their answers are exact, and so are these.

Two functionals have a slow plain version: the information between cells, which is a count, and that of points with
Gaussian noise, which is an integral on a line.
"""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.special import logsumexp, ndtr
from scipy.stats import norm

from infoscope.measurement import Bound
from infoscope.mi.method import Method
from infoscope.mi.sample import Side, read
from infoscope.testing.answers import as_kinds, asked, usual
from infoscope.testing.check import require

EXACT = 1e-9
"""Sums of a few thousand logarithms agree to this."""

CELLED = 20_000
"""Examples behind the comparison with an integral over cells."""


def independent_examples_give_nothing(method: Method) -> None:
    """Every value of x with every value of y, equally often: exactly 0."""
    for kinds in method.takes:
        x, y = (side.ravel() for side in np.meshgrid(np.arange(6), np.arange(4)))
        a, b = as_kinds(x, y, kinds)
        a, b = (0.3 * side - 0.7 if side.dtype.kind == "f" else side for side in (a, b))
        found = asked(method, a, b)
        require(abs(found.value) < EXACT, f"{kinds}, every x with every y: {found.value!r} nat, not 0")


def equals_a_plain_count(method: Any) -> None:
    """Σ p(a,b) log p(a,b) / p(a) p(b) over its own `cells` of both sides, counted one by one."""
    for kinds in method.takes:
        for x, y in (usual(method, kinds), _table(kinds)):
            cells = [method.cells(read(side, name)).values.tolist() for side, name in ((x, "x"), (y, "y"))]
            plain, found = counted(*cells), asked(method, x, y)
            require(
                abs(found.value - plain) < EXACT,
                f"{kinds}: it says {found.value:.9f} nat, and its cells hold {plain:.9f}",
            )


def meets_the_integral_over_its_cells(method: Any) -> None:
    """Normal points: the information between cells by integration, less what few examples in many cells add.

    Miller's (1955) bias of a plug-in is good to a third where cells are sparse. A method with more than 300 cells,
    such as one that tells every value apart, has no bias that could be told from the rest, and is not held to this.
    """
    if "points-points" not in method.takes:
        return
    draws = np.random.default_rng(0)
    rho = 0.8
    z = draws.normal(size=(CELLED, 2))
    sides = 0.4 * z[:, 0], 0.4 * (rho * z[:, 0] + 0.6 * z[:, 1])
    cells = [method.cells(Side(side[:, None])) for side in sides]
    if max(each.classes for each in cells) > 300:
        return
    found = asked(method, *sides)
    of_x, of_y = (intervals(side / 0.4, each.values) for side, each in zip(sides, cells, strict=True))
    truth = between_intervals(rho, of_x, of_y)
    joint = len(set(zip(*(each.values.tolist() for each in cells), strict=True)))
    bias = (joint - cells[0].classes - cells[1].classes + 1) / (2 * CELLED)
    off, allowed = found.value - bias - truth, 4 * found.stderr + bias / 3
    require(
        abs(off) <= allowed,
        f"normal points, ρ = {rho}: its cells share {truth:.4f} nat, and less a bias of {bias:.4f} it says "
        f"{found.value - bias:.4f} where {allowed:.4f} off is allowed",
    )
    require(
        0.3 * 0.6 / math.sqrt(CELLED) < found.stderr < 5 / math.sqrt(CELLED),
        f"normal points: an error of {found.stderr:.2g} nat from {CELLED} examples",
    )


def meets_the_integral_with_noise(method: Any) -> None:
    """A few points on a line with noise of its `variance`: exact within its error, or on the side that it claims."""
    deviation = math.sqrt(method.variance)
    for seed in range(3):
        draws = np.random.default_rng(seed)
        points = 3 * deviation * draws.normal(size=24)
        for y in (np.arange(24), np.arange(24) % 3):
            found, truth = asked(method, points, y, seed), with_noise(points, y, deviation)
            low, high = bracket(points, y, deviation)
            told = f"{len(set(y.tolist()))} labels: it says {found}, the integral {truth / math.log(2):.4f} bit"
            if found.bound is Bound.EXACT:
                require(0 < found.stderr < 0.05, f"{told}; an error that covers is above 0 and below 0.05 nat")
                require(abs(found.value - truth) < 4 * found.stderr, told)
            elif found.bound is Bound.NONE:
                require(low - EXACT <= found.value <= high + EXACT, f"{told}; outside of both bounds of the entropies")
            else:
                side = -1 if found.bound is Bound.LOWER else 1
                require(side * (found.value - truth) >= -1e-6, f"{told}; that is no {found.bound.value} bound")
                most = high if side > 0 else truth
                require(found.value <= most + EXACT and found.value >= low - EXACT, f"{told}; farther than need be")


def wider_apart_gives_more(method: Any) -> None:
    """Two clouds of labelled points, moved apart in units of the noise: from nothing to the whole label."""
    deviation = math.sqrt(method.variance)
    y = np.arange(60) % 2
    cloud = 0.3 * deviation * np.repeat(np.random.default_rng(0).normal(size=30), 2)
    found = [asked(method, cloud + gap * deviation * y, y) for gap in (0.0, 1.0, 3.0, 20.0)]
    told = ", ".join(f"{each.value:.4f}" for each in found)
    values = [each.value for each in found]
    require(all(b > a for a, b in pairwise(values)), f"ever wider apart: {told} nat")
    require(abs(values[0]) < 1e-9 and abs(values[-1] - math.log(2)) < 1e-6, f"from one cloud to two: {told} nat")


def counted(x: list[Any], y: list[Any]) -> float:
    """The information of the empirical distribution of pairs of labels, nats.

    >>> round(counted([0, 0, 1, 1], [0, 0, 1, 1]) / math.log(2), 12)
    1.0
    """
    n, both, of_x, of_y = len(x), Counter(zip(x, y, strict=True)), Counter(x), Counter(y)
    return math.fsum(m / n * math.log(m * n / (of_x[a] * of_y[b])) for (a, b), m in both.items())


def intervals(values: Float[np.ndarray, " n"], cells: np.ndarray) -> tuple[Float[np.ndarray, " edges"], np.ndarray]:
    """The line cut where sorted values change cells: edges from −∞ to ∞, and the cell of each interval."""
    order = np.argsort(values, kind="stable")
    ordered, codes = values[order], cells[order]
    steps = np.flatnonzero(codes[1:] != codes[:-1])
    edges = (ordered[steps] + ordered[steps + 1]) / 2
    return np.concatenate([[-np.inf], edges, [np.inf]]), np.concatenate([codes[:1], codes[steps + 1]])


def between_intervals(
    rho: float, x: tuple[np.ndarray, np.ndarray], y: tuple[np.ndarray, np.ndarray], nodes: int = 12
) -> float:
    """I(cell of X; cell of Y) of standard normals correlated by ρ, nats, by Gauss–Legendre over every x interval."""
    (a, of_a), (b, of_b) = x, y
    at, weight = np.polynomial.legendre.leggauss(nodes)
    low, high = a[:-1].clip(-9, 9), a[1:].clip(-9, 9)
    # Long intervals are cut up, so that a few nodes see the whole of the density.
    parts = np.linspace(low, high, 9)
    half = (parts[1:] - parts[:-1]) / 2
    place = (parts[1:] + parts[:-1])[..., None] / 2 + half[..., None] * at
    mass = half[..., None] * weight * norm.pdf(place)
    below = ndtr((b[None, None, None] - rho * place[..., None]) / math.sqrt(1 - rho**2))
    table = np.einsum("pin,pinj->ij", mass, np.diff(below, axis=-1))
    joint = np.zeros((of_a.max() + 1, of_b.max() + 1))
    np.add.at(joint, (of_a[:, None], of_b[None, :]), table)
    joint /= joint.sum()
    some = joint > 0
    product = joint.sum(1, keepdims=True) * joint.sum(0)
    return float((joint[some] * np.log(joint[some] / product[some])).sum())


def with_noise(points: Float[np.ndarray, " n"], y: np.ndarray, deviation: float) -> float:
    """I(T + Z; Y) over the points as they are, Z normal of this deviation, nats, by the trapezoidal rule.

    >>> round(with_noise(np.array([0.0, 1.0]), np.array([0, 1]), math.sqrt(0.1)) / math.log(2), 9)  # known
    0.792911453
    """
    grid = np.arange(points.min() - 9 * deviation, points.max() + 9 * deviation, deviation / 20)
    log_kernel = norm.logpdf(grid[:, None], points, deviation)

    def entropy(rows: np.ndarray) -> float:
        log_p = logsumexp(log_kernel[:, rows], axis=1) - math.log(rows.sum())
        return -float((np.exp(log_p) * log_p).sum()) * deviation / 20

    inside = math.fsum((y == label).mean() * entropy(y == label) for label in np.unique(y))
    return entropy(np.full(len(y), True)) - inside


def bracket(points: Float[np.ndarray, " n"], y: np.ndarray, deviation: float) -> tuple[float, float]:
    """What the bounds of Kolchinsky & Tracey (2017) on the entropies with and without the label leave of I, nats."""
    squares = np.square(points[:, None] - points)

    def held(rows: np.ndarray, four: float) -> float:
        kernel = np.exp(-squares[np.ix_(rows, rows)] / (2 * four * deviation**2))
        return -float(np.log(kernel.mean(1)).mean())

    def inside(four: float) -> float:
        return math.fsum((y == label).mean() * held(np.flatnonzero(y == label), four) for label in np.unique(y))

    every = np.arange(len(y))
    return held(every, 4) - inside(1), held(every, 1) - inside(4)


def _table(kinds: str) -> tuple[np.ndarray, np.ndarray]:
    """A lopsided table of counts, as rows."""
    counts = np.array([[9, 1, 0], [2, 0, 7], [1, 4, 4], [0, 0, 3]])
    x, y = (np.repeat(index.ravel(), counts.ravel()) for index in np.indices(counts.shape))
    a, b = as_kinds(x, y, kinds)
    return tuple(0.31 * side - 0.6 if side.dtype.kind == "f" else side for side in (a, b))  # type: ignore[return-value]
