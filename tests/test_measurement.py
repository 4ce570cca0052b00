from __future__ import annotations

import dataclasses
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infoscope.measurement import Bound, Measurement, Receipt, Status, UnreliableMeasurement

NUMBERS = st.floats(-1e6, 1e6)


def measurement(values: dict[int, float], bound: Bound = Bound.UPPER, **receipt: object) -> Measurement:
    return Measurement.from_replicates("L", values, bound=bound, receipt=Receipt("test", **receipt))


@given(st.lists(NUMBERS, min_size=2, max_size=6), NUMBERS)
def test_a_paired_difference_forgets_what_the_seeds_share(values, shift):
    a = measurement(dict(enumerate(values)))
    b = measurement({seed: v + shift for seed, v in enumerate(values)})
    assert (b - a).value == pytest.approx(shift, abs=1e-6)
    assert (b - a).stderr == pytest.approx(0, abs=1e-6)


def test_the_error_is_that_of_the_mean_and_unknown_for_one_replicate():
    assert measurement({0: 1.0, 1: 2.0, 2: 3.0}).stderr == pytest.approx(1 / math.sqrt(3))
    assert math.isnan(measurement({0: 1.0}).stderr)
    assert measurement({0: 1.0}).as_dict()["stderr"] is None


def test_unpaired_errors_add_in_quadrature():
    a, b = measurement({0: 0.0, 1: 2.0}), measurement({5: 0.0, 6: 2.0})
    assert (a - b).stderr == pytest.approx(math.sqrt(2))
    assert (a - b).replicates == {}


@pytest.mark.parametrize(
    ("left", "right", "difference"),
    [
        (Bound.UPPER, Bound.LOWER, Bound.UPPER),
        (Bound.UPPER, Bound.UPPER, Bound.NONE),
        (Bound.LOWER, Bound.UPPER, Bound.LOWER),
        (Bound.EXACT, Bound.UPPER, Bound.LOWER),
        (Bound.UPPER, Bound.EXACT, Bound.UPPER),
        (Bound.EXACT, Bound.EXACT, Bound.EXACT),
        (Bound.NONE, Bound.EXACT, Bound.NONE),
    ],
)
def test_the_side_of_a_difference_follows_from_the_sides(left, right, difference):
    assert (measurement({0: 2.0}, left) - measurement({0: 1.0}, right)).bound is difference


def test_a_ratio_is_dimensionless_and_its_error_covers():
    ratio = measurement({0: 2.0, 1: 4.0, 2: 6.0}) / measurement({0: 1.0, 1: 2.0, 2: 3.0})
    assert (ratio.value, ratio.unit, ratio.bound) == (2.0, "1", Bound.NONE)
    assert ratio.stderr == pytest.approx(0)
    with pytest.raises(TypeError, match="dimensionless"):
        _ = ratio.bits


def test_units_do_not_mix():
    accuracy = Measurement("accuracy", 0.9, unit="1")
    with pytest.raises(TypeError, match="do not combine"):
        measurement({0: 1.0}) - accuracy
    with pytest.raises(TypeError, match="Measurement only"):
        measurement({0: 1.0}) - 1.0  # type: ignore[operator]


def test_a_difference_in_two_things_at_once_is_incomparable():
    a = measurement({0: 2.0}, data="d1", model="m1", coder="c")
    assert Status.INCOMPARABLE not in (a - measurement({0: 1.0}, data="d1", model="m2", coder="c")).status
    assert Status.INCOMPARABLE in (a - measurement({0: 1.0}, data="d2", model="m2", coder="c")).status
    assert Status.INCOMPARABLE in (a - measurement({0: 1.0}, data="d1", model="m2", coder="k")).status


def test_a_status_raises_unless_it_is_asked_for():
    bad = dataclasses.replace(measurement({0: 1.0}), status=frozenset({Status.OVERFIT}))
    with pytest.raises(UnreliableMeasurement, match="stop earlier") as caught:
        bad.checked()
    assert caught.value.measurement is bad
    assert bad.checked(strict=False) is bad
    assert (bad - measurement({0: 1.0})).status == {Status.OVERFIT}


@given(st.dictionaries(st.integers(0, 9), NUMBERS, min_size=1), st.sampled_from(Bound), st.sampled_from(Status))
def test_json_gives_back_the_very_same_measurement(values, bound, status):
    a = dataclasses.replace(measurement(values, bound, notes=("k = 3",)), status=frozenset({status}))
    back = Measurement.from_json(json.loads(json.dumps(a.to_json(), allow_nan=False)))
    assert back.to_json() == a.to_json()
    assert (back.value, back.replicates, back.receipt) == (a.value, a.replicates, a.receipt)


def test_printing_is_in_bits():
    assert str(Measurement("L(y|x)", 8 * math.log(2), bound=Bound.UPPER)) == "L(y|x) = 8 bit (upper bound)"


def test_a_measurement_reads_as_the_number_that_is_printed():
    two, three = Measurement("L", 2 * math.log(2), 0.5), Measurement("L", 3 * math.log(2), 0.5)
    assert (float(two), f"{three:.1f}", f"{two}") == (2.0, "3.0", str(two))
    assert two < three
    assert two >= 2
    assert not three <= 2.9
    assert sum([two, three]).bits == pytest.approx(5)
    assert (2 * two).stderr == (two * 2).stderr == 1.0
    assert (-1 * three).value == -three.value
    with pytest.raises(TypeError, match="do not combine"):
        _ = two < Measurement("accuracy", 0.5, unit="1")
    with pytest.raises(TypeError, match="compared with a measurement or a number"):
        _ = two < "three"


def test_a_notebook_shows_warnings_and_no_markup_of_strangers():
    flagged = Measurement("<b>L</b>", 1.0, status=frozenset({Status.TIES}))
    assert "TIES" in flagged._repr_html_()
    assert "<b>" not in flagged._repr_html_()
