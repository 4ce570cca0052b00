from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infoscope.dynamics.schedule import DeltaSkipApproximate, DeltaSkipExact, Every, Logarithmic, distance


def followed(schedule, curve, *, live, room=None):
    """The states that a schedule measures on a curve, and the most that was kept at once.

    `live` sees one state after another and keeps no more than `room`; otherwise all are there from the start.
    """
    run, states, most = schedule.start(), [], 0

    def measure(reached, last):
        while now := run.wanted(reached, last):
            assert len(set(now)) == len(now)
            for state in now:
                assert state <= reached
                assert not live or state == reached or (run.oldest() or 0) <= state
                assert state not in states
                states.append(state)
                run.update(state, curve[state])

    for reached in range(len(curve)) if live else ():
        held = reached + 1 - run.oldest() if run.oldest() is not None else 0
        most = max(most, held)
        measure(reached, room is not None and held >= room)
    measure(len(curve) - 1, True)
    return sorted(states), most


CURVES = st.lists(st.tuples(*[st.one_of(st.floats(-2, 2), st.just(math.nan))] * 2), min_size=1, max_size=60)


@given(
    curve=CURVES,
    delta=st.floats(0.001, 1),
    multiplier=st.floats(1.01, 4),
    live=st.booleans(),
    room=st.none() | st.integers(1, 9),
)
def test_neighbours_differ_by_at_most_delta_unless_nothing_lies_between(curve, delta, multiplier, live, room):
    states, most = followed(DeltaSkipExact(delta, multiplier), curve, live=live, room=room)
    assert states[0] == 0
    assert states[-1] == len(curve) - 1
    for a, b in itertools.pairwise(states):
        assert b == a + 1 or distance(curve[a], curve[b]) <= delta
    assert room is None or most <= room


@given(curve=CURVES, delta=st.floats(0.001, 1))
def test_watching_and_looking_back_measure_the_same_epochs(curve, delta):
    schedule = DeltaSkipExact(delta)
    assert followed(schedule, curve, live=True)[0] == followed(schedule, curve, live=False)[0]


def test_backtracking_is_that_of_the_worked_example():
    # The dissertation's section of 9 unknowns from 2 to 14 with delta = 2, section 3.3.2.
    section = [2, 5, 6, 8, 10, 11, 12, 13, 14]
    run = DeltaSkipExact(2.0, 8).start()
    run.update(0, [section[0]])
    run.stride = 8
    run.update(8, [section[8]])
    rounds = []
    while now := [state for state in run.wanted(8) if state <= 8]:
        rounds.append(sorted(now))
        for state in now:
            run.update(state, [section[state]])
    assert rounds == [[4], [2, 6], [1, 3]]


def test_a_still_curve_takes_a_logarithm_of_its_epochs():
    states, _ = followed(DeltaSkipExact(0.1), [(0.0,)] * 8001, live=True)
    assert states == [0, 1, 3, 7, 15, 31, 63, 127, 255, 511, 1023, 2047, 4095, 8000]


def test_a_steep_curve_is_measured_at_every_epoch():
    assert followed(DeltaSkipExact(0.1), [(i,) for i in range(20)], live=True)[0] == list(range(20))


def test_the_approximate_skip_never_goes_back():
    step = [(float(i > 20),) for i in range(64)]
    assert followed(DeltaSkipApproximate(0.1), step, live=True) == ([0, 1, 3, 7, 15, 31, 47, 63], 0)


def test_what_is_kept_is_bounded_by_the_room():
    curve = [(0.0,)] * 1000
    states, most = followed(DeltaSkipExact(0.1), curve, live=True, room=16)
    assert most == 16
    assert max(b - a for a, b in itertools.pairwise(states)) <= 16


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (Every(4), [0, 4, 8, 12, 14]),
        (Every(), list(range(15))),
        (Logarithmic(1), [0, 1, 10, 14]),
        (Logarithmic(1000), list(range(15))),
    ],
)
@pytest.mark.parametrize("live", [True, False])
def test_schedules_that_are_known_beforehand(schedule, expected, live):
    assert followed(schedule, [()] * 15, live=live) == (expected, 0)


@given(per_decade=st.integers(1, 30))
def test_a_decade_has_so_many_epochs(per_decade):
    states, _ = followed(Logarithmic(per_decade), [()] * 10_001, live=False)
    assert sum(1000 < state <= 10_000 for state in states) == per_decade


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Every(0), "n is 0"),
        (lambda: Logarithmic(0), "per_decade is 0"),
        (lambda: DeltaSkipExact(0.0), "delta is 0"),
        (lambda: DeltaSkipExact(0.1, 1.0), "multiplier is 1"),
        (lambda: DeltaSkipApproximate(math.nan), "delta is nan"),
    ],
)
def test_options_that_make_no_sense_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
