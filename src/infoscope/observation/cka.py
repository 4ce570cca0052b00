"""Centred kernel alignment: how alike two networks' features of the same examples are."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float


def cka(a: Float[np.ndarray, "n d"], b: Float[np.ndarray, "n e"]) -> float:
    """Linear centred kernel alignment of two networks' features of the same examples (Kornblith et al. 2019).

    Of the unbiased HSIC (Song et al. 2012, eq. 5), so that many features of few examples do not look alike; 1 for
    features that are turned, moved or scaled. NaN below four examples, and where a network's features do not vary.

    >>> f = np.random.default_rng(0).normal(size=(50, 3))
    >>> round(cka(f, 2 * f[:, ::-1] + 1), 12)
    1.0
    """
    return cka_of_grams(*(gram_apart(x - x.mean(0)) for x in (a, b)))


def cka_of_grams(k: Float[np.ndarray, "n n"], m: Float[np.ndarray, "n n"]) -> float:
    """The same from products of features of different examples, with 0 on the diagonal."""
    if len(k) < 4:
        return math.nan
    scale = _hsic(k, k) * _hsic(m, m)
    return float(_hsic(k, m) / math.sqrt(scale)) if scale > 0 else math.nan


def gram_apart(x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n n"]:
    """Products of the features of every two examples, 0 on the diagonal."""
    gram = x @ x.T
    np.fill_diagonal(gram, 0.0)
    return gram


def _hsic(k: Float[np.ndarray, "n n"], m: Float[np.ndarray, "n n"]) -> float:
    n = len(k)
    sums = k.sum() * m.sum() / ((n - 1) * (n - 2)) - 2 * (k.sum(0) @ m.sum(0)) / (n - 2)
    return float(((k * m).sum() + sums) / (n * (n - 3)))
