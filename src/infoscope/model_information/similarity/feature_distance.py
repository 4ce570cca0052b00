"""How far apart two domains lie in feature space, and how alike two networks' features are: what S is held against."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float
from scipy.spatial.distance import cdist, pdist

Table = Float[np.ndarray, "_ d"]


def first_order(a: Table, b: Table) -> float:
    """d1 = |E f(a) − E f(b)|, eq. (13) of "Model Information as an Analysis Tool in Deep Learning".

    >>> first_order(np.zeros((2, 2)), np.full((3, 2), 3.0) + [0, 1])
    5.0
    """
    return float(np.linalg.norm(a.mean(0) - b.mean(0)))


def second_order(a: Table, b: Table) -> float:
    """d2 = |Cov f(a) − Cov f(b)|, the Frobenius norm, eq. (14).

    >>> second_order(np.array([[1.0, 0], [-1, 0]]), np.array([[0.0, 1], [0, -1]])) / 2**0.5
    2.0
    """
    return float(np.linalg.norm(np.cov(a, rowvar=False) - np.cov(b, rowvar=False)))


def squared_mmd(a: Table, b: Table) -> float:
    """MMD², the unbiased estimate of eq. (3) of Gretton et al. (2012): of two samples of one distribution 0 on average.

    The kernel is Gaussian, exp(−|u − v|² / 2σ²), with σ the median distance within both samples together. It may be
    negative; NaN where all rows are equal.

    >>> draws = np.random.default_rng(0)
    >>> same = [squared_mmd(draws.normal(size=(20, 2)), draws.normal(size=(20, 2))) for _ in range(400)]
    >>> bool(abs(np.mean(same)) < 3 * np.std(same) / 20)
    True
    """
    sigma = float(np.median(pdist(np.concatenate([a, b]))))
    if not sigma > 0:
        return math.nan
    within = [_mean_apart(np.exp(-cdist(x, x, "sqeuclidean") / (2 * sigma**2))) for x in (a, b)]
    across = np.exp(-cdist(a, b, "sqeuclidean") / (2 * sigma**2)).mean()
    return float(sum(within) - 2 * across)


def _mean_apart(kernel: Float[np.ndarray, "n n"]) -> float:
    """The mean over pairs of different rows."""
    n = len(kernel)
    return float((kernel.sum() - np.trace(kernel)) / (n * (n - 1)))
