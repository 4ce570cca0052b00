from __future__ import annotations

import math
from itertools import pairwise

import pytest

from infoscope.report.thinning import spread, thin

N = 60_000


def test_a_short_curve_is_left_alone():
    assert thin(range(1000), [0.0] * 1000) == list(range(1000))


@pytest.mark.parametrize("log_x", [False, True])
def test_ends_extremes_and_gaps_stay(log_x):
    x = [float(i) for i in range(N)]
    y = [math.sin(i) for i in range(N)]
    y[41_111], y[52_222], y[33_333] = 9.0, -9.0, math.nan
    kept = thin(x, y, log_x)
    assert {0, N - 1, 41_111, 52_222, 33_333} <= set(kept)
    assert kept == sorted(set(kept))
    assert len(kept) <= 1010


def test_a_logarithmic_axis_keeps_its_first_decades_whole():
    kept = thin(range(1, N + 1), [0.0] * N, log_x=True)
    assert kept[:10] == list(range(10))


def test_the_envelope_of_every_column_is_that_of_the_whole_curve():
    y = [math.sin(i * 0.7) * i for i in range(N)]
    kept = set(thin(range(N), y))
    columns = [[] for _ in range(200)]
    for i in range(N):
        columns[min(int(i / (N - 1) * 200), 199)].append(i)
    for members in columns:
        drawn = [y[i] for i in members if i in kept]
        assert (min(drawn), max(drawn)) == (min(y[i] for i in members), max(y[i] for i in members))


def test_a_curve_that_turns_back_is_thinned_along_its_length():
    turns = [i / N * 6 * math.pi for i in range(N)]
    kept = thin([math.cos(t) for t in turns], [math.sin(t) for t in turns])
    assert kept[0] == 0
    assert kept[-1] == N - 1
    assert len(kept) <= 1000
    assert max(b - a for a, b in pairwise(kept)) <= N / 200


def test_a_spread_has_both_ends_and_survives_what_the_axis_cannot_show():
    assert spread([0.0, *range(1, 10_001)], log_x=True, most=5) == [1, 10, 100, 1000, 10_000]
    assert spread([math.cos(i / 10) for i in range(100)], most=3) == [0, 50, 99]
    assert spread([math.nan] * 100, most=2) == [0, 99]
    assert spread([5.0]) == [0]
