"""Where one side is a function of the other, information is infinite, or H of what is discrete; the data tell."""

from __future__ import annotations

import math

import numpy as np
import pytest

from infoscope.measurement import Bound, Status
from infoscope.mi import GKNN, KSG, LNN, Compressed, Gaussian, Residual, Ross, layer_information, mutual_information
from infoscope.mi.numerics.functional import is_function
from infoscope.mi.numerics.regression import left_out_residuals
from infoscope.mi.numerics.ties import is_discrete
from infoscope.mi.sample import Side

W = np.random.default_rng(7).normal(size=(5, 5))

FUNCTIONS = {
    "squares, 5 to 2": lambda x: x[:, :2] ** 2,
    "ReLU, 5 to 3": lambda x: np.maximum(x @ W[:, :3], 0),
    "tanh, 5 to 5": lambda x: np.tanh(x @ W),
    "a norm, many to one": lambda x: np.linalg.norm(x, axis=1, keepdims=True),
    "one column of two": lambda x: np.hstack([np.sin(x[:, :1]), np.random.default_rng(1).normal(size=(len(x), 1))]),
    "a linear map": lambda x: x @ W[:, :2],
}


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_seen(name, kind):
    x = np.random.default_rng(0).normal(size=(2000, 5)).astype(kind)
    y = FUNCTIONS[name](x).astype(kind)
    assert is_function(x, y, np.random.default_rng(0))


@pytest.mark.parametrize("seed", range(4))
def test_noise_is_not_taken_for_a_function(seed):
    r = np.random.default_rng(seed)
    for d in (1, 2, 4):
        x = r.normal(size=(1000, d))
        tails = r.normal(size=(1000, 2 * d)) / np.sqrt(r.chisquare(2, size=(1000, 1)))
        noisy = {
            "independent": (x, r.normal(size=(1000, 2))),
            "a line and a little": (x, x + 1e-5 * r.normal(size=x.shape)),
            "multiplied": (x, x * r.normal(size=x.shape)),
            "heavy tails": (tails[:, :d], tails[:, d:]),
            "sine": (x, np.sin(2 * x) + 0.3 * r.normal(size=x.shape)),
        }
        assert not [name for name, pair in noisy.items() if is_function(*pair, r)]


@pytest.mark.parametrize("name", ["squares, 5 to 2", "ReLU, 5 to 3"])
def test_the_default_says_infinite(name):
    x = np.random.default_rng(0).normal(size=(1000, 5))
    assert Status.INFINITE in mutual_information(x, FUNCTIONS[name](x), strict=False).status


@pytest.mark.parametrize("method", [None, KSG(), Gaussian(copula=True), Gaussian()], ids=repr)
def test_equal_bits_are_no_infinity(method):
    bit = np.random.default_rng(0).integers(2, size=800).astype(float)
    found = mutual_information(bit, bit, method, strict=False)
    assert Status.INFINITE not in found.status
    if not isinstance(method, Gaussian):
        p = bit.mean()
        assert found.value == pytest.approx(-p * math.log(p) - (1 - p) * math.log(1 - p), abs=1e-9)


def test_symbols_given_as_numbers_are_labels():
    r = np.random.default_rng(0)
    y = r.integers(3, size=900)
    t = r.normal(size=(900, 2)) + np.eye(3)[y][:, :2]
    as_labels, as_numbers = (mutual_information(t, side, strict=False) for side in (y, 0.25 * y))
    assert as_labels.value == as_numbers.value
    assert "y repeats few values" in as_numbers.receipt.notes[0]


def test_distinct_patterns_of_bits_are_discrete_and_their_layer_is_not_infinite():
    x = ((np.arange(4096)[:, None] >> np.arange(12)) & 1).astype(float)
    t = np.tanh(x @ np.random.default_rng(0).normal(size=(12, 3)))
    assert is_discrete(Side(x))
    assert not is_discrete(Side(t))
    found = layer_information(t, np.arange(4096) % 2, Compressed(3), x=x).x_t
    assert Status.INFINITE not in found.status
    codes = np.sign(t)
    coded = layer_information(codes, np.arange(4096) % 2, Ross()).x_t
    share = np.unique(codes, axis=0, return_counts=True)[1] / 4096
    assert coded.value == pytest.approx(-(share * np.log(share)).sum(), abs=1e-12)
    assert coded.bound is Bound.EXACT


def test_a_label_that_logits_determine_is_its_entropy_or_a_bound_below_it():
    r = np.random.default_rng(0)
    logits = r.normal(size=(2000, 4))
    found = mutual_information(logits, logits.argmax(1), strict=False)
    assert found.bound is Bound.LOWER or found.status & {Status.SATURATED}
    assert found.value < math.log(4) < found.value + 0.3


@pytest.mark.parametrize("method", [LNN(), GKNN()], ids=repr)
def test_what_no_information_can_be_is_flagged_on_every_method(method):
    r = np.random.default_rng(0)
    z = r.normal(size=(1000, 2))
    angle = 4.7 * (1 + 2 * (0.5 + np.arctan(z[:, 0]) / np.pi))
    roll = np.stack([angle * np.cos(angle), angle * np.sin(angle)], axis=1)  # a curve in two dimensions
    found = mutual_information(roll, 0.75 * z[:, 0] + 0.66 * z[:, 1], method, strict=False)
    assert found.value < -3 * found.stderr
    assert Status.NEGATIVE in found.status


@pytest.mark.parametrize("noise", [1e-4, 1e-2, 1e-1])
def test_what_a_regression_leaves_has_the_noise_s_size(noise):
    # Y = X² + noise: I = h(Y) − h(noise); h of X² for X uniform on (0, 1) is log 2 − 1, to first order in the noise.
    found = []
    for seed in range(4):
        r = np.random.default_rng(seed)
        x = r.uniform(size=1500)
        found.append(mutual_information(x, x**2 + noise * r.uniform(-1, 1, size=1500), Residual(), strict=False))
    truth = math.log(2) - 1 - math.log(2 * noise)
    error = np.std([each.value for each in found], ddof=1) / 2
    assert abs(np.mean([each.value for each in found]) - truth) < 4 * error + 2 * noise + 0.03


def test_residuals_are_those_of_examples_left_out():
    r = np.random.default_rng(0)
    x = r.normal(size=(40, 1))
    y = 2 * x + r.normal(size=(40, 1))
    found = left_out_residuals(x, y, r)
    for i in range(3):
        kept = np.arange(40) != i
        slope, level = np.polyfit(x[kept, 0], y[kept, 0], 1)
        assert found[i, 0] == pytest.approx(y[i, 0] - slope * x[i, 0] - level, abs=1e-9)
