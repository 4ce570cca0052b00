"""The recommended estimator: what it takes when, and that its error holds the bias that the data show."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
import pytest

from infoscope.measurement import Bound
from infoscope.mi import CopulaCritic, Largest, Quantised, Ross, mutual_information
from infoscope.mi.estimate import default
from infoscope.mi.method import Finding
from infoscope.mi.numerics.subsample import spread
from infoscope.mi.sample import Side, read


def one_bit_in_noise(n: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    """A bit sent as ±1 through unit noise in one of d dimensions, turned: 0.3368 nat in any d."""
    r = np.random.default_rng(0)
    y = r.integers(2, size=n)
    t = r.normal(size=(n, d))
    t[:, 0] += 2 * y - 1
    return t @ np.linalg.qr(r.normal(size=(d, d)))[0], y


def test_the_probe_s_bound_is_taken_where_neighbours_see_little():
    t, y = one_bit_in_noise(2000, 20)
    found = mutual_information(t, y)
    ross = mutual_information(t, y, Ross())
    assert abs(found.value - 0.3368) < 2 * found.stderr + 0.02
    assert ross.value < 0.3368 - 0.05
    assert found.bound is Bound.LOWER
    assert found.receipt.notes[0].startswith("Probe, a lower bound, is above Ross")


def test_neighbours_are_kept_where_the_probe_is_not_above_them():
    r = np.random.default_rng(0)
    t = r.uniform(size=(800, 1))
    y = (8 * t[:, 0]).astype(int) % 2  # stripes
    found = mutual_information(t, y, strict=False)
    assert found.receipt.notes[0].startswith("Ross is not below the probe's bound")
    assert found.value == mutual_information(t, y, Ross(), strict=False).value


def test_a_handful_of_examples_has_no_probe():
    r = np.random.default_rng(0)
    t, y = r.normal(size=(15, 2)), np.arange(15) % 2
    assert mutual_information(t, y, strict=False).value == mutual_information(t, y, Ross(), strict=False).value


def test_defaults_by_kind():
    points, labels = read(np.random.default_rng(0).normal(size=(9, 2)), "x"), read(np.arange(9) % 2, "y")
    assert default(labels, labels) == Quantised(corrected=True)
    assert default(points, labels) == default(points, points) == Largest()


class Falling:
    """Estimates 1 − 1/√n, without spread."""

    takes: ClassVar[tuple[str, ...]] = ("points-points",)
    subsampled: ClassVar[bool] = True

    def estimate(self, x: Side, y: Side, seed: int) -> Finding:
        return Finding(1 - 1 / math.sqrt(len(x)))


def test_a_bias_that_falls_as_the_root_of_n_is_found_exactly():
    side = Side(np.random.default_rng(0).normal(size=(1000, 1)))
    found = spread(Falling().estimate(side, side, 0), Falling(), side, side, 0)
    assert found.bias == pytest.approx(1 / math.sqrt(1000), rel=1e-9)
    assert found.stderr == pytest.approx(0, abs=1e-12)
    measured = mutual_information(side.values, side.values, Falling(), strict=False)
    assert measured.stderr == pytest.approx(1 / math.sqrt(1000), rel=1e-9)


@pytest.mark.parametrize(("seed", "df"), [(0, 2), (1, 2)])
def test_what_a_critic_loses_on_held_out_pairs_is_in_its_error(seed, df):
    r = np.random.default_rng(seed)
    z = r.normal(size=(1500, 6)) / np.sqrt(r.chisquare(df, size=(1500, 1)) / df)
    found = mutual_information(z[:, :3], z[:, 3:], strict=False)
    finding = CopulaCritic().estimate(Side(z[:, :3]), Side(z[:, 3:]), 0)
    assert finding.bias > 0
    assert abs(found.value - 0.2909219227) < 3 * found.stderr  # Student's closed form for ν = 2, 3 + 3 dimensions
