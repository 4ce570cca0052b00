"""The front door: what it takes, what it refuses, what it writes down."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
import torch

from infoscope.measurement import Status
from infoscope.mi import KSG, METHODS, Quantised, Ross, Saxe, extrapolated, layer_information
from infoscope.mi.estimate import mutual_information
from infoscope.mi.method import Method
from infoscope.mi.sample import coded

T, Y = np.random.default_rng(0).normal(size=(120, 3)), np.arange(120) % 3


@pytest.mark.parametrize(
    ("t", "y", "message"),
    [
        (np.where(np.arange(120)[:, None] == 7, np.nan, T), Y, r"`T2` has 1 of 120 rows with NaN.*first is row 7"),
        (np.where(np.arange(120)[:, None] > 117, np.inf, T), Y, r"`T2` has 2 of 120 rows.*row 118"),
        (T[:100], Y, "`T2` has 100 examples and `y` 120"),
        (T, Y + 0.5, "`y` holds float64 .* not integer labels"),
        (T, Y.astype(str), "`y` holds .* not integer labels"),
        (T, np.eye(120, dtype=int), "not integer labels"),
        (T[:0], Y[:0], "no examples"),
        (T.astype(str), Y, "neither numbers nor labels"),
    ],
)
def test_wrong_data_get_one_clear_error(t, y, message):
    with pytest.raises(ValueError, match=message):
        layer_information(t, y, Saxe(), name="T2")


def test_a_method_for_other_kinds_says_which_are_for_these():
    with pytest.raises(ValueError, match=r"KSG is for points-points, and x and y are points-labels.*ross"):
        mutual_information(T, Y, KSG())


def test_tensors_lists_and_arrays_are_one():
    a = mutual_information(T, Y, Ross(), strict=False)
    b = mutual_information(torch.tensor(T), torch.tensor(Y), Ross(), strict=False)
    c = mutual_information(Y.tolist(), T.tolist(), Ross(), strict=False)
    assert a == b == c
    half = torch.tensor(T, dtype=torch.bfloat16)
    assert math.isfinite(mutual_information(half, Y, Ross(), strict=False).value)


def test_the_receipt_says_how_to_make_it_again():
    found = mutual_information(T, Y, Ross(k=3), seed=4, strict=False).receipt
    assert (found.method, found.n, found.seeds, found.over) == (
        "Ross(k=3)",
        120,
        (4,),
        "disjoint subsamples, and the bias that they show",
    )
    other = mutual_information(T + 1e-9, Y, Ross(k=3), strict=False).receipt
    assert found.data != other.data
    assert found.version


def test_every_method_of_the_table_keeps_the_protocol():
    for name, method in METHODS.items():
        assert isinstance(method, Method), name
        assert set(method.takes) <= {"points-points", "points-labels", "labels-labels"}, name


def test_integer_rows_are_labels():
    bits = (np.arange(64)[:, None] >> np.arange(6)) & 1
    assert mutual_information(np.tile(bits, (10, 1)), np.tile(np.arange(64) % 4, 10)).bits == pytest.approx(2)
    assert coded(np.tile(bits, (2, 1))).classes == 64


def test_a_plug_in_from_too_few_samples_says_so():
    r = np.random.default_rng(0)
    found = mutual_information(r.integers(20, size=100), r.integers(20, size=100), strict=False)
    assert Status.TOO_FEW_SAMPLES in found.status


def test_the_plug_in_error_covers():
    r = np.random.default_rng(0)
    p = np.array([[0.4, 0.1], [0.15, 0.35]])
    truth = float((p * np.log(p / p.sum(0) / p.sum(1)[:, None])).sum())
    cells = r.choice(4, p=p.ravel(), size=(200, 2000))
    found = [mutual_information(c // 2, c % 2) for c in cells]
    covered = np.mean([abs(m.value - truth) < 2 * m.stderr for m in found])
    assert 0.91 < covered < 0.99
    assert np.std([m.value for m in found]) == pytest.approx(np.mean([m.stderr for m in found]), rel=0.15)


def test_extrapolation_takes_the_bias_of_a_plug_in_off():
    r = np.random.default_rng(0)
    raw, straight = [], []
    for _ in range(40):
        x, y = r.integers(8, size=(2, 4000))
        raw.append(mutual_information(x, y, Quantised(), strict=False).value)
        straight.append(extrapolated(x, y, Quantised()).value)
    assert np.mean(raw) == pytest.approx(49 / 8000, rel=0.1)
    assert abs(np.mean(straight)) < 4 * np.std(straight) / math.sqrt(40) < 0.002


def test_estimators_that_learn_nothing_start_without_torch():
    program = (
        "import sys, numpy; from infoscope.mi import KDE, KSG, LNN, Saxe, layer_information; "
        "layer_information(numpy.eye(4), [0, 1, 0, 1], Saxe()); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
