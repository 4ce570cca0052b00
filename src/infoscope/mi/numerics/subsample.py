"""The standard error of any estimator, from disjoint parts of the sample."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from infoscope.mi.method import Finding, Method
from infoscope.mi.sample import Side

PARTS, FEWEST = 10, 40
"""As many parts as leave `FEWEST` examples in each, at most `PARTS`: a variance from ten values is good to a half."""


def spread(found: Finding, method: Method, x: Side, y: Side, seed: int) -> Finding:
    """The finding with its standard error and the scale of its bias, from m disjoint random parts of the sample.

    The variance of an estimator of this kind falls as 1/n, so the variance over parts of n/m examples, divided by m,
    is the variance at n (Holmes & Nemenman 2019). Where the estimate grows with the sample, it has further to go: a
    bias that falls as 1/√n, as those of neighbours do in a few dimensions, is the estimate less the parts' mean,
    divided by √m − 1. It is a scale, not a correction. NaN for fewer than 3 × 40 examples, or where the parts are too
    small for the method.
    """
    n = len(x)
    m = min(PARTS, n // FEWEST)
    if m < 3:
        return found
    order = np.random.default_rng(seed).permutation(n)
    try:
        values = [method.estimate(x.take(rows), y.take(rows), seed).value for rows in np.array_split(order, m)]
    except ValueError:  # a part is too small for the method
        return found
    stderr = float(np.std(values, ddof=1)) / math.sqrt(m)
    bias = max(0.0, found.value - float(np.mean(values))) / (math.sqrt(m) - 1)
    return replace(found, stderr=stderr, bias=bias, over="disjoint subsamples, and the bias that they show")
