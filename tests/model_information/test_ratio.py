"""A ratio of two paired lengths, and the interval of Fieller."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from infoscope.measurement import Measurement, Status
from infoscope.model_information.ratio import fieller, ratio


def of(*values: float) -> Measurement:
    return Measurement.from_replicates("L(M,D)", dict(enumerate(values)))


def test_the_ends_are_where_students_test_just_rejects():
    """Fieller's set is defined by the t test of a − r b; its ends have p = .05 exactly."""
    draws = np.random.default_rng(0)
    a, b = draws.normal(3, 1, 6), draws.normal(5, 1, 6)
    for end in fieller(a.tolist(), b.tolist()):
        assert ttest_1samp(a - end * b, 0).pvalue == pytest.approx(0.05)


def test_it_covers_as_often_as_it_says():
    """4,000 draws of five pairs each."""
    draws, held = np.random.default_rng(1), 0
    for _ in range(4000):
        common = draws.normal(0, 1, 5)
        a, b = 2 + common + draws.normal(0, 1, 5), 16 + common + draws.normal(0, 3, 5)
        lower, upper = fieller(a.tolist(), b.tolist())
        held += lower <= 2 / 16 <= upper
    assert held / 4000 == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / 4000))


def test_a_length_over_itself_is_one_exactly():
    found = ratio(of(3.0, 4.0, 4.5), of(3.0, 4.0, 4.5), "S")
    assert (found.measurement.value, found.measurement.stderr) == (1.0, 0.0)
    assert (found.lower, found.upper) == (pytest.approx(1.0), pytest.approx(1.0))


def test_there_is_no_ratio_to_what_is_within_three_errors_of_nothing():
    for nothing in (of(-1.0, 3.0, 1.0), of(-5.0, -5.1, -5.2), of(0.0)):
        found = ratio(of(*[1.0, 2.0, 3.0][: len(nothing.replicates)]), nothing, "S")
        assert math.isnan(found.measurement.value)
        assert found.measurement.status == {Status.NO_RATIO}
        assert found.measurements() == (found.measurement,)


def test_between_three_errors_and_students_t_the_interval_has_no_end_and_says_so():
    denominator = of(1.0, 3.0, 2.0)  # 3.46 errors, and t of 2 degrees is 4.30
    found = ratio(of(1.0, 1.5, 1.2), denominator, "S")
    assert found.measurement.status == {Status.UNBOUNDED}
    assert (found.lower, found.upper) == (-math.inf, math.inf)
    assert found.measurements() == (found.measurement,)


def test_one_replicate_gives_a_ratio_without_an_interval():
    found = ratio(of(1.0), of(4.0), "S")
    assert found.measurement.value == 0.25
    assert math.isnan(found.lower)
    assert math.isnan(found.measurement.stderr)
