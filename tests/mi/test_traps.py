"""Where estimators of mutual information have gone wrong in print or in code: what must come out instead."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from infoscope.measurement import Status
from infoscope.mi import (
    IDNNS,
    KDE,
    KSG,
    METHODS,
    Adaptive,
    Gaussian,
    Noisy,
    Quantised,
    Ross,
    Saxe,
    Uniform,
    layer_bracket,
    layer_information,
    mutual_information,
)

SAMPLED = [
    name
    for name, method in METHODS.items()
    if "points-points" in method.takes and method.claims.estimates == "information" and method.claims.errs == "never"
]
"""Estimators between points that miss nothing, by their claims."""

KINDS = ["dead relu", "binary", "softmax ties"]


def degenerate(kind: str, n: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Activations with constant, repeated or two-valued entries, and labels."""
    r = np.random.default_rng(0)
    raw = r.normal(size=(n, 6)).astype(np.float32)
    t = {
        "dead relu": np.maximum(raw - [0, 0, 9, 9, 9, 9], 0).astype(np.float32),
        "binary": np.sign(raw),
        "softmax ties": np.repeat(torch.softmax(torch.tensor(raw[: n // 10] * 50), 1).numpy(), 10, axis=0),
    }[kind]
    return t, r.integers(2, size=n)


def unbalanced() -> tuple[np.ndarray, np.ndarray]:
    """Nine examples, two thirds of them of class 0, whose activations take the values 0, 1 and 2."""
    return np.array([[0.0], [0.0], [0.0], [1.0], [1.0], [2.0], [1.0], [2.0], [2.0]]), np.array([0] * 6 + [1] * 3)


def entropy(*p: float) -> float:
    return -sum(q * math.log(q) for q in p)


@pytest.mark.parametrize("method", [Saxe(0.5), Uniform(3, "layer"), Quantised()], ids=repr)
def test_class_entropies_are_weighted_by_the_classes_shares(method):
    # Figure 3.4 of the dissertation sums H(T|Y=y) without p(y); its equation 3.5 is right.
    t, y = unbalanced()
    right = entropy(1 / 3, 1 / 3, 1 / 3) - 2 / 3 * entropy(1 / 2, 1 / 3, 1 / 6) - 1 / 3 * entropy(1 / 3, 2 / 3)
    assert layer_information(t, y, method).t_y.value == pytest.approx(right, abs=1e-12)


@pytest.mark.parametrize("side", ["upper", "lower"])
def test_the_kernel_bound_has_its_minus_and_its_two_variances(side):
    # Figure 3.5 lacks the minus before the mean of the log-densities and divides the distances by the variance alone.
    t, y = unbalanced()
    v = 0.3
    d = np.square(t - t.T) / (1 if side == "upper" else 4)

    def information(rows: np.ndarray) -> float:
        return -float(np.log(np.exp(-d[np.ix_(rows, rows)] / (2 * v)).mean(1)).mean())

    found = layer_information(t, y, KDE(v, side))
    inside = sum((y == k).mean() * information(np.flatnonzero(y == k)) for k in (0, 1))
    assert found.x_t.value == pytest.approx(information(np.arange(9)), abs=1e-12)
    assert found.t_y.value == pytest.approx(information(np.arange(9)) - inside, abs=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [n for n, m in METHODS.items() if m.claims.estimates != "cells" and not m.claims.slow])
def test_every_kind_of_estimator_stays_finite_on_degenerate_layers(name, kind):
    t, y = degenerate(kind)
    method = Noisy(samples=1000) if name == "noisy" else METHODS[name]
    other = y if "points-labels" in method.takes else np.random.default_rng(1).normal(size=(len(t), 1))
    found = mutual_information(t, other, method, strict=False)
    assert math.isfinite(found.value)
    if method.claims.ceiling:
        assert found.value <= math.log(len(t))


@pytest.mark.parametrize("factor", [1e6, 1e-8])
@pytest.mark.parametrize("method", [Uniform(30, "layer"), Uniform(30, "neuron"), Adaptive(), Quantised()], ids=repr)
def test_bins_that_follow_the_layer_do_not_see_its_scale(method, factor):
    t = np.random.default_rng(0).normal(size=(400, 3))
    y = (t[:, 0] > 0).astype(int)
    plain, scaled = (layer_information(values, y, method) for values in (t, t * factor))
    assert scaled.x_t.value == pytest.approx(plain.x_t.value, abs=0.01)
    assert scaled.t_y.value == pytest.approx(plain.t_y.value, abs=0.01)


def test_noise_beside_a_huge_and_a_tiny_layer():
    t, y = np.random.default_rng(0).normal(size=(200, 3)), np.arange(200) % 2
    large, small = (layer_information(t * f, y, Noisy(samples=2000)) for f in (1e6, 1e-8))
    assert large.x_t.value == pytest.approx(math.log(200), abs=1e-9)
    assert large.t_y.value == pytest.approx(math.log(2), abs=1e-9)
    assert abs(small.x_t.value) < 1e-4


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("d", [3, 200])
def test_no_layer_holds_more_than_log_n(kind, d):
    t, y = (np.random.default_rng(0).normal(size=(700, d)) * 30).astype(kind), np.arange(700) % 10
    found = [*layer_bracket(t, y, 1e-3), *(layer_information(t, y, m) for m in (IDNNS(), Saxe(), Adaptive()))]
    for each in (*found, layer_information(t, y, Noisy(samples=1000))):
        assert each.x_t.value <= math.log(700) * (1 + 1e-15)
        assert each.t_y.value <= math.log(10) * (1 + 1e-15)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("name", SAMPLED)
def test_a_copy_never_reports_infinity(name, kind):
    x = np.random.default_rng(0).normal(size=(100, 1)).astype(kind)
    found = mutual_information(x, x, METHODS[name], strict=False)
    assert not math.isinf(found.value)
    assert found.status & {Status.SATURATED, Status.INFINITE}


@pytest.mark.parametrize("copies", [2, 5, 50])
def test_ties_never_hide_a_bit(copies):
    # Three nearest neighbours among copies are all at distance 0: implementations that ignore it report 0.23 bit.
    x = np.repeat([0.0, 1.0], copies * 5)[:, None]
    for method, y in ((KSG(3), x), (Ross(3), x[:, 0].astype(int))):
        found = mutual_information(x, y, method, strict=False)
        assert found.bits == pytest.approx(1, abs=1e-12)
        assert Status.TIES in found.status


def test_nan_is_named_by_layer_and_row():
    t = np.zeros((50, 4))
    t[17, 2] = np.nan
    with pytest.raises(ValueError, match="`conv3` has 1 of 50 rows with NaN or infinity, the first is row 17"):
        layer_information(t, np.arange(50) % 2, Saxe(), name="conv3")


def test_the_closed_form_of_a_copy_says_infinite_and_gives_no_number():
    x = np.random.default_rng(0).normal(size=(200, 2))
    found = mutual_information(x, 3 * x[:, :1], Gaussian(), strict=False)
    assert math.isnan(found.value)
    assert Status.INFINITE in found.status
