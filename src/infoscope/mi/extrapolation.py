"""Does an estimate still move with the size of the sample, and where is it going?"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from infoscope.measurement import NATS_PER_BIT, Bound, Measurement
from infoscope.mi.estimate import mutual_information
from infoscope.mi.method import Method
from infoscope.mi.sample import paired, read

if TYPE_CHECKING:
    from infoscope.run import Store


def extrapolated(
    x: Any,
    y: Any,
    method: Method | None = None,
    *,
    parts: Sequence[int] = (1, 2, 3, 4, 5),
    seed: int = 0,
    store: Store | None = None,
) -> Measurement:
    """I(X;Y) at an infinite sample, nats, by a straight line in 1/n through the estimates on parts of the sample.

    The sample is cut into 1, 2, 3 … disjoint random parts, and the estimates on parts of equal size are averaged
    (Strong et al. 1998; Holmes & Nemenman 2019): the line's value at 1/n = 0. Right where the bias is of first order
    in 1/n, as a plug-in's is. The notes tell the means; where they do not lie on a line, or the value is far from the
    first of them, the sample is too small for the method.
    """
    a, b = read(x, "x"), read(y, "y")
    paired(a, b, ("x", "y"))
    n = len(a)
    order = np.random.default_rng(seed).permutation(n)
    options: dict[str, Any] = {"seed": seed, "strict": False, "store": store}
    means = {}
    for m in parts:
        values = [
            mutual_information(np.asarray(x)[rows], np.asarray(y)[rows], method, **options).value
            for rows in np.array_split(order, m)
        ]
        means[m] = math.fsum(values) / m
    # Means over m parts all have about the variance of the whole sample's estimate: an unweighted fit is right.
    line, covariance = np.polyfit([m / n for m in parts], list(means.values()), 1, cov="unscaled")
    whole = mutual_information(x, y, method, **options)
    error = whole.stderr * math.sqrt(covariance[1, 1])
    told = ", ".join(f"{n // m}: {value / NATS_PER_BIT:.6f} bit" for m, value in means.items())
    notes = (*whole.receipt.notes, f"straight line in 1/n through the means at n = {told}")
    receipt = dataclasses.replace(whole.receipt, notes=notes)
    return dataclasses.replace(whole, value=float(line[1]), stderr=error, bound=Bound.NONE, receipt=receipt)
