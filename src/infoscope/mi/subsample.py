"""The standard error of any estimator, from disjoint parts of the sample."""

from __future__ import annotations

import math

import numpy as np

from infoscope.mi.method import Method
from infoscope.mi.sample import Side

PARTS, FEWEST = 10, 40
"""As many parts as leave `FEWEST` examples in each, at most `PARTS`: a variance from ten values is good to a half."""


def subsample_error(method: Method, x: Side, y: Side, seed: int) -> float:
    """Standard error of an estimate, nats: that of the mean over disjoint random parts (Holmes & Nemenman 2019).

    The variance of an estimator of this kind falls as 1/n, so the variance over parts of n/m examples, divided by m,
    is the variance at n; the parts' bias, which is larger, does not enter. NaN for fewer than
    3 × 40 examples, or where the parts are too small for the method.
    """
    n = len(x)
    m = min(PARTS, n // FEWEST)
    if m < 3:
        return math.nan
    order = np.random.default_rng(seed).permutation(n)
    try:
        values = [method.estimate(x.take(rows), y.take(rows), seed).value for rows in np.array_split(order, m)]
    except ValueError:  # a part is too small for the method
        return math.nan
    return float(np.std(values, ddof=1)) / math.sqrt(m)
