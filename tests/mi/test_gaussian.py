from __future__ import annotations

import math

import numpy as np
import pytest

from infoscope.measurement import Status
from infoscope.mi import Gaussian, mutual_information


def dense(n: int, d: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Every pair of the 2 d columns correlated by ½."""
    r = np.random.default_rng(seed)
    z = math.sqrt(0.5) * (r.normal(size=(n, 2 * d)) + r.normal(size=(n, 1)))
    return z[:, :d], z[:, d:]


def truth(d: int) -> float:
    covariance = np.full((2 * d, 2 * d), 0.5) + 0.5 * np.eye(2 * d)
    return float(np.linalg.slogdet(covariance[:d, :d])[1] - 0.5 * np.linalg.slogdet(covariance)[1])


@pytest.mark.parametrize(("d", "known"), [(2, 0.2938933325), (5, 0.5928118328), (25, 1.2921837217)])
def test_the_correction_removes_the_bias_in_any_number_of_dimensions(d, known):
    assert truth(d) == pytest.approx(known, abs=1e-10)
    found = [mutual_information(*dense(300, d, s), Gaussian()) for s in range(40)]
    values = [m.value for m in found]
    error = np.std(values, ddof=1) / math.sqrt(40)
    assert abs(np.mean(values) - known) < 4 * error
    raw = np.mean([mutual_information(*dense(300, d, s), Gaussian(corrected=False)).value for s in range(40)])
    assert raw - np.mean(values) == pytest.approx(d * d / 600, rel=0.3)  # p q / 2n to first order


def test_the_reported_error_is_the_spread_over_samples():
    found = [mutual_information(*dense(500, 2, s), Gaussian()) for s in range(200)]
    assert np.mean([m.stderr for m in found]) == pytest.approx(np.std([m.value for m in found]), rel=0.15)


def test_the_copula_sees_through_monotone_maps():
    x, y = dense(1000, 3, 0)
    straight = mutual_information(x, y, Gaussian(copula=True)).value
    bent = mutual_information(np.exp(x), np.cbrt(y), Gaussian(copula=True)).value
    assert bent == pytest.approx(straight, abs=1e-12)


def test_copies_are_infinite_and_repeated_columns_harmless():
    x, y = dense(200, 2, 0)
    assert Status.INFINITE in mutual_information(x, x, Gaussian(), strict=False).status
    doubled = mutual_information(np.hstack([x, x]), y, Gaussian()).value
    assert doubled == pytest.approx(mutual_information(x, y, Gaussian()).value, abs=1e-12)


def test_too_few_examples():
    with pytest.raises(ValueError, match="needs more than 21 examples"):
        mutual_information(*dense(20, 10, 0), Gaussian())
    assert Status.TOO_FEW_SAMPLES in mutual_information(*dense(60, 10, 0), Gaussian(), strict=False).status
