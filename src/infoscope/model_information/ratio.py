"""The ratio of two lengths that were measured together, with an interval that is honest about its denominator."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from infoscope.measurement import Measurement, Status

LEAST = 3.0
"""Errors that a denominator must be above nothing for there to be a ratio."""

LEVEL = 0.95


@dataclass(frozen=True)
class Ratio:
    """A ratio, and its 95 % interval from `lower` to `upper`: NaN where unknown, infinite where it has no end."""

    measurement: Measurement
    lower: float = math.nan
    upper: float = math.nan

    def measurements(self) -> tuple[Measurement, ...]:
        """The ratio, and where it was replicated the ends of its interval, if it has any, named after it."""
        ends = [(end, value) for end, value in (("from", self.lower), ("to", self.upper)) if math.isfinite(value)]
        return self.measurement, *(
            dataclasses.replace(
                self.measurement.named(f"{self.measurement.quantity}, 95 % {end}"),
                value=value,
                stderr=math.nan,
                replicates={},
            )
            for end, value in ends
        )


def ratio(numerator: Measurement, denominator: Measurement, quantity: str) -> Ratio:
    """Numerator / denominator, dimensionless, with the interval of Fieller (1954) over their common seeds.

    With means a, b of n paired replicates, variances of these means v_a, v_b, their covariance c, and Student's t of
    n − 1 degrees, the interval is all r with (a − r b)² ≤ t² (v_a − 2 r c + r² v_b). Where b is not t errors above 0 it
    has no end: from −∞ to ∞ it is told, with the status UNBOUNDED. Where b is not above 3 of its errors (above 0, if
    they are unknown) there is no ratio: NaN, with the status NO_RATIO.

    >>> a, b = (Measurement.from_replicates("L", dict(enumerate(row))) for row in ([4, 5, 6, 5], [10, 11, 9, 10]))
    >>> found = ratio(a, b, "S")
    >>> found.measurement.value, round(found.lower, 3), round(found.upper, 3)
    (0.5, 0.343, 0.691)
    """
    plain = (numerator / denominator).named(quantity)
    if not denominator.value > (LEAST * denominator.stderr if denominator.stderr > 0 else 0.0):
        return Ratio(_nothing(plain))
    seeds = [seed for seed in numerator.replicates if seed in denominator.replicates]
    if len(seeds) < 2 or len(seeds) < max(len(numerator.replicates), len(denominator.replicates)):
        return Ratio(plain)
    lower, upper = fieller([numerator.replicates[s] for s in seeds], [denominator.replicates[s] for s in seeds])
    endless = math.isinf(upper)
    status = plain.status | ({Status.UNBOUNDED} if endless else set())
    return Ratio(dataclasses.replace(plain, status=frozenset(status)), lower, upper)


def _nothing(plain: Measurement) -> Measurement:
    return dataclasses.replace(
        plain, value=math.nan, stderr=math.nan, replicates={}, status=plain.status | {Status.NO_RATIO}
    )


def fieller(a: list[float], b: list[float], level: float = LEVEL) -> tuple[float, float]:
    """The interval of mean(a) / mean(b) from paired values; from −∞ to ∞ where it has no end."""
    n = len(a)
    (v_a, c), (_, v_b) = (np.cov(a, b) / n).tolist()
    mean_a, mean_b = math.fsum(a) / n, math.fsum(b) / n
    t = float(student.ppf((1 + level) / 2, n - 1))
    # (mean_b² − t² v_b) r² − 2 (mean_a mean_b − t² c) r + (mean_a² − t² v_a) ≤ 0
    square, half, rest = mean_b**2 - t**2 * v_b, mean_a * mean_b - t**2 * c, mean_a**2 - t**2 * v_a
    if square <= 0:
        return -math.inf, math.inf
    root = math.sqrt(max(half**2 - square * rest, 0.0))  # below 0 by rounding alone
    return (half - root) / square, (half + root) / square
