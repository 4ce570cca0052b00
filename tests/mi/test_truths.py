"""What every estimator of a layer must say where the truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from infoscope.measurement import Bound, Status, UnreliableMeasurement
from infoscope.mi import (
    IDNNS,
    KDE,
    KSG,
    METHODS,
    Adaptive,
    Noisy,
    Quantised,
    Ross,
    Saxe,
    Uniform,
    layer_bracket,
    layer_information,
    mutual_information,
)
from infoscope.mi.method import LayerMethod

OPTIONS = {"layer": Uniform(30, "layer"), "neuron": Uniform(30, "neuron"), "noisy": Noisy(samples=1000)}
LAYER = {
    name: method for name, method in METHODS.items() if isinstance(method, LayerMethod) or name == "ross"
} | OPTIONS
SCALED = [
    method
    for method in (*METHODS.values(), KSG(variant=2))
    if "points-points" in method.takes
    and "scale" in method.claims.invariant
    and method.claims.estimates == "information"
    and not method.claims.seeded
]
"""Estimators between points that claim not to see their units, those that train left out."""


def draws(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("name", LAYER)
@pytest.mark.parametrize("value", [0.0, 0.3, -7e5])
def test_a_constant_layer_holds_nothing(name, value):
    t, y = np.full((200, 5), value, dtype=np.float32), np.arange(200) % 2
    found = layer_information(t, y, LAYER[name])
    if name == "noisy":
        assert found.t_y.value == 0
        assert abs(found.x_t.value) < 1e-9
    else:
        assert (found.x_t.value, found.t_y.value) == (0, 0)


@pytest.mark.parametrize("name", [n for n in LAYER if n not in ("ross", "noisy")])
@pytest.mark.parametrize("kind", ["dead relu", "binary", "softmax ties"])
def test_degenerate_layers_are_finite(name, kind):
    r = draws()
    raw = r.normal(size=(300, 6)).astype(np.float32)
    t = {
        "dead relu": np.maximum(raw - [0, 0, 9, 9, 9, 9], 0).astype(np.float32),
        "binary": np.sign(raw),
        "softmax ties": np.repeat(torch.softmax(torch.tensor(raw[:30] * 50), 1).numpy(), 10, axis=0),
    }[kind]
    found = layer_information(t, r.integers(2, size=300), LAYER[name])
    assert 0 <= found.x_t.value <= math.log(300) * (1 + 1e-15)
    assert 0 <= found.t_y.value <= math.log(2) * (1 + 1e-15)


def test_ross_is_finite_on_degenerate_layers_and_says_ties():
    r = draws()
    t, y = np.sign(r.normal(size=(300, 4))), r.integers(2, size=300)
    found = layer_information(t, y, Ross()).t_y
    assert math.isfinite(found.value)
    assert Status.TIES in found.status


@pytest.mark.parametrize("side", ["upper", "lower"])
def test_kernel_bounds_at_extreme_scales(side):
    t = draws().normal(size=(500, 8)).astype(np.float32)
    y = np.arange(500) % 2
    large = layer_information(t * 1e6, y, KDE(side=side))
    small = layer_information(t * 1e-8, y, KDE(side=side))
    assert large.x_t.value == pytest.approx(math.log(500), abs=1e-9)
    assert Status.SATURATED in large.x_t.status
    assert 0 <= small.x_t.value < 1e-9
    assert abs(small.t_y.value) < 1e-9


@pytest.mark.parametrize("method", SCALED, ids=repr)
def test_points_at_any_scale_give_the_same(method):
    r = draws()
    x = r.normal(size=(500, 1))
    y = x + r.normal(size=(500, 1))
    value = mutual_information(x, y, method, strict=False).value
    for factor in (1e6, 1e-8):
        assert mutual_information(x * factor, y, method, strict=False).value == pytest.approx(value, abs=1e-3)
    assert 0.2 < value < 0.5


def test_ross_at_any_scale_gives_the_same():
    r = draws()
    y = r.integers(2, size=500)
    x = r.normal(size=(500, 3)) + y[:, None]
    value = mutual_information(x, y, Ross(), strict=False).value
    for factor in (1e6, 1e-8):
        assert mutual_information(x * factor, y, Ross(), strict=False).value == pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize(
    "method", [IDNNS(), Saxe(), Uniform(), Uniform(2, "neuron"), Adaptive(2), Quantised()], ids=repr
)
@pytest.mark.parametrize("k", [1, 3, 7, 12])
def test_the_first_k_bits_of_the_input_are_k_bits(method, k):
    x = (np.arange(4096)[:, None] >> np.arange(12)) & 1
    t = 1.8 * x[:, :k] - 0.9
    found = layer_information(t, x[:, 0], method, x=x)
    assert found.x_t.bits == pytest.approx(k, abs=1e-12)
    assert found.t_y.bits == pytest.approx(1, abs=1e-12)
    assert found.x_t.bound is Bound.EXACT
    assert (Status.SATURATED in found.x_t.status) == (k == 12)


@pytest.mark.parametrize("k", [1, 5, 8])
def test_k_bits_through_the_kernel_bounds_and_the_noisy_layer(k):
    x = (np.arange(1024)[:, None] >> np.arange(10)) & 1
    for method in (KDE(), KDE(side="lower"), Noisy(samples=2000)):
        found = layer_information(x[:, :k].astype(float), x[:, 0], method)
        assert found.x_t.bits == pytest.approx(k, abs=1e-12 if k > 99 else 1e-9)


@pytest.mark.parametrize("method", [Ross(), Saxe(0.5), KDE(), KDE(side="lower")], ids=repr)
def test_random_labels_are_flagged_and_true_ones_are_not(method):
    r = draws()
    t = r.normal(size=(400, 2))
    random, true = r.integers(2, size=400), (t[:, 0] > 0).astype(int)
    flagged = [
        Status.INSIGNIFICANT in layer_information(t, r.permutation(random), method, null=20).t_y.status
        for _ in range(10)
    ]
    assert sum(flagged) >= 8  # two deviations: one in forty by chance
    found = layer_information(t, true, method, null=20)
    assert Status.INSIGNIFICANT not in found.t_y.status
    assert "20 shufflings give" in " ".join(found.t_y.receipt.notes)
    assert not any("shufflings" in note for note in found.x_t.receipt.notes)


def test_saturated_near_log_n_and_near_the_label_entropy():
    t, y = draws().normal(size=(100, 3)), np.arange(100) % 2
    found = layer_information(t, y, Saxe(1e-3))
    assert Status.SATURATED in found.x_t.status
    assert Status.SATURATED in found.t_y.status
    with pytest.raises(UnreliableMeasurement, match="SATURATED"):
        layer_information(t, y, Saxe(1e-3), strict=True)


def test_a_continuous_input_of_a_deterministic_layer_is_said_to_be_infinite():
    r = draws()
    x = r.normal(size=(200, 2))
    t, y = np.tanh(x), (x[:, 0] > 0).astype(int)
    assert Status.INFINITE in layer_information(t, y, Ross(), x=x).x_t.status
    assert math.isnan(layer_information(t, y, Ross()).x_t.value)
    assert Status.INFINITE not in layer_information(t, y, Saxe(), x=x).x_t.status


@pytest.mark.parametrize("d", [3, 200])
def test_single_precision_never_reports_more_than_log_n(d):
    t = (draws().normal(size=(700, d)) * 30).astype(np.float32)
    for found in layer_bracket(t, np.arange(700) % 10, 1e-3):
        assert found.x_t.value <= math.log(700) * (1 + 1e-15)
        assert found.t_y.value <= math.log(10) * (1 + 1e-15)
