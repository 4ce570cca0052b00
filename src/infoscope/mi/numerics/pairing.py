"""Coordinates of two sides in which they fall into pairs that are independent of each other, if there are such."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment
from scipy.stats import chi2

from infoscope.mi.numerics.normal_scores import normal_scores
from infoscope.mi.numerics.tails import tamed

LEVEL = 1e-3
"""Pairs count as independent of each other unless chance would show as much dependence this rarely."""

SLIGHT = 0.015
"""Nats of dependence between the pairs that are let pass in any case: components are not found without an error."""

STEPS, SETTLED = 200, 1e-6
"""Most steps of the search for independent components, and the turn that ends it."""

Points = Float[np.ndarray, "_n _d"]


@dataclass(frozen=True, eq=False)
class Pairing:
    """Column i of `x` belongs to column i of `y`; columns beyond are alone.

    `how` tells how they were found, `fitted` whether by what they share: canonical directions share more in the sample
    than in truth. `excess` is half the dependence between the pairs that the test saw above what chance would show,
    nats.
    """

    x: Points
    y: Points
    how: str
    fitted: bool = False
    excess: float = 0.0


def independent_pairs(x: Points, y: Points, draws: np.random.Generator) -> Pairing | None:
    """The first of several pairings whose pairs are independent of each other as far as a test shows, or none.

    I(X;Y) is then the sum over the pairs. Invertible linear maps of a side leave information as it is: tried are the
    columns themselves, canonical directions, and independent components of either side (Comon 1994), with the other
    side turned to match.
    """
    a, b = tamed(x), tamed(y)
    for found in _candidates(a, b, draws):
        statistic, freedom = dependence_between(found)
        excess = max(0.0, statistic - freedom) / (2 * len(x))
        if chi2.sf(statistic, freedom) > LEVEL or excess < SLIGHT:
            return replace(found, excess=excess)
    return None


def _candidates(a: Points, b: Points, draws: np.random.Generator) -> Iterator[Pairing]:
    yield _matched(a, b, "columns")
    u, v = _white(a), _white(b)
    if min(u.shape[1], v.shape[1]) < 1 or max(u.shape[1], v.shape[1]) < 2:
        return
    left, _, right = np.linalg.svd(u.T @ v)
    yield Pairing(u @ left, v @ right.T, "canonical directions", fitted=True)
    of_u, of_v = _components(u, draws), _components(v, draws)
    if of_v.shape[1] >= of_u.shape[1]:
        yield Pairing(of_u, _turned(v, of_u), "independent components of x")
    if of_u.shape[1] >= of_v.shape[1]:
        yield Pairing(_turned(u, of_v), of_v, "independent components of y")
    yield _matched(of_u, of_v, "independent components")


def dependence_between(found: Pairing) -> tuple[float, int]:
    """The squared correlations of polynomials of different pairs, times n, and how many: their sum's mean by chance.

    Each pair has seven features: Hermite polynomials of degree 1 to 3 of both columns' normal scores, and a product.
    """
    groups = _features(found)
    n = len(found.x)
    squares = [np.square(one.T @ other / n) for one, other in combinations(groups, 2)]
    freedom = sum(each.size for each in squares)
    return n * sum(float(each.sum()) for each in squares), freedom


def _features(found: Pairing) -> list[Points]:
    of_x, of_y = (_hermite(side) for side in (found.x, found.y))
    paired = min(len(of_x), len(of_y))
    both = []
    for i in range(paired):
        product = of_x[i][:, :1] * of_y[i][:, :1]
        both.append(np.hstack([of_x[i], of_y[i], (product - product.mean()) / product.std()]))
    return both + of_x[paired:] + of_y[paired:]


def _hermite(side: Points) -> list[Points]:
    """Of each column's normal scores, at mean 0 and deviation 1."""
    z = normal_scores(side)
    powers = np.stack([z, z**2, z**3 - 3 * z])
    powers = (powers - powers.mean(1, keepdims=True)) / powers.std(1, keepdims=True)
    return [powers[:, :, i].T for i in range(z.shape[1])]


def _matched(a: Points, b: Points, how: str) -> Pairing:
    """Columns paired off so that the largest correlations of their polynomials add up to most."""
    of_a, of_b = _hermite(a), _hermite(b)
    likeness = np.array([[np.abs(one.T @ other).max() for other in of_b] for one in of_a])
    rows, columns = linear_sum_assignment(-likeness)
    rest_a, rest_b = (np.setdiff1d(np.arange(k), used) for k, used in ((len(of_a), rows), (len(of_b), columns)))
    return Pairing(a[:, [*rows, *rest_a]], b[:, [*columns, *rest_b]], how)


def _white(points: Points) -> Points:
    u, s, _ = np.linalg.svd(points - points.mean(0), full_matrices=False)
    return u[:, s > s[0] * max(points.shape) * np.finfo(float).eps] * math.sqrt(len(points))


def _components(white: Points, draws: np.random.Generator) -> Points:
    """Independent components of white points, by the symmetric fixed point of FastICA (Hyvärinen 1999)."""
    n, d = white.shape
    turn = np.linalg.qr(draws.normal(size=(d, d)))[0]
    for _ in range(STEPS):
        g = np.tanh(white @ turn)
        u, _, vt = np.linalg.svd(white.T @ g / n - turn * (1 - g**2).mean(0))
        new = u @ vt
        moved = float(np.abs(np.abs((new * turn).sum(0)) - 1).max())
        turn = new
        if moved < SETTLED:
            break
    return white @ turn


def _turned(white: Points, like: Points) -> Points:
    """White points in the coordinates that agree most with those of the other side, the rest of them behind."""
    u, _, vt = np.linalg.svd(white.T @ like)
    k = like.shape[1]
    return np.hstack([white @ u[:, :k] @ vt, white @ u[:, k:]])
