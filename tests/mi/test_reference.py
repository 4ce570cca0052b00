"""Published and recorded digits: the activations of a random tanh network on the 4096 patterns of Tishby's task."""

from __future__ import annotations

import numpy as np
import pytest

from infoscope.measurement import NATS_PER_BIT, Bound
from infoscope.mi import IDNNS, KDE, Noisy, Saxe, Uniform, layer_bracket, layer_information

EXACT = {
    "idnns": (IDNNS(30), {
        2: (11.973468985726793, 0.9877321375782664),
        4: (10.56326389233524, 0.6058992262273897),
        6: (6.683615430247537, 0.11152091594624824),
    }),
    "uniform": (Uniform(30, (-1.0, 1.0)), {
        2: (11.974151781498797, 0.9897907810122337),
        4: (10.630178984097054, 0.619648988809919),
        6: (6.762470900757128, 0.11367461559110836),
    }),
    "uniform, per neuron": (Uniform(30, "neuron"), {
        2: (11.979522875248797, 0.9909516422188176),
        4: (10.518173418919027, 0.6040308975233764),
        6: (7.105813899700511, 0.12805520490919609),
    }),
    "saxe": (Saxe(0.07), {
        2: (11.98595952758683, 0.991160322143687),
        4: (10.473055143123394, 0.5891646512716157),
        6: (6.601201495185916, 0.10608781740657311),
    }),
    "kde-upper": (KDE(1e-3, "upper"), {
        2: (11.954596501759845, 0.9829299674443541),
        4: (10.090633852384148, 0.5229833924049949),
        6: (6.207120353477421, 0.09422033481247294),
    }),
    "kde-lower": (KDE(1e-3, "lower"), {
        2: (11.68209187890173, 0.9038561497792794),
        4: (8.495427893395647, 0.2879435634742563),
        6: (4.665479846760863, 0.05328764400781505),
    }),
}  # fmt: skip

NOISY = {2: (11.8035, 17e-4, 0.9392, 10e-4), 4: (9.0528, 85e-4, 0.3599, 22e-4), 6: (5.1583, 52e-4, 0.0624, 9e-4)}


@pytest.fixture(scope="module")
def tanh(shared_data):
    with np.load(shared_data("tishby") / "activations_random_tanh.npz") as arrays:
        return dict(arrays)


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("layer", [2, 4, 6])
def test_digits(tanh, name, layer):
    method, expected = EXACT[name]
    found = layer_information(tanh[f"T{layer}"], tanh["y"], method)
    assert found.x_t.bits == pytest.approx(expected[layer][0], abs=1e-12)
    assert found.t_y.bits == pytest.approx(expected[layer][1], abs=1e-12)


@pytest.mark.parametrize("layer", [2, 4, 6])
def test_exact_noisy_information(tanh, layer):
    found = layer_information(tanh[f"T{layer}"], tanh["y"], Noisy(1e-3, 16_384))
    x_t, x_error, t_y, y_error = NOISY[layer]
    assert abs(found.x_t.bits - x_t) < 4 * np.hypot(found.x_t.stderr_bits, x_error)
    assert abs(found.t_y.bits - t_y) < 4 * np.hypot(found.t_y.stderr_bits, y_error)
    lower, upper = layer_bracket(tanh[f"T{layer}"], tanh["y"], 1e-3)
    assert lower.x_t.value < found.x_t.value < upper.x_t.value


def test_the_label_entropy_of_the_task_is_the_most_that_a_layer_can_tell(tanh):
    found = layer_information(tanh["T1"], tanh["y"], Saxe(1e-6))
    assert found.t_y.bits == pytest.approx(0.9991571208502710, abs=1e-12)
    assert found.x_t.bits == pytest.approx(12, abs=1e-12)


def test_two_points():
    t, y = np.array([[0.0], [1.0]]), np.array([0, 1])
    lower, upper = layer_bracket(t, y, 0.1)
    assert lower.x_t.bits == pytest.approx(0.6365431636873182, abs=1e-12)
    assert upper.x_t.bits == pytest.approx(0.9903118000369083, abs=1e-12)
    assert (lower.x_t.bound, upper.x_t.bound, upper.t_y.bound) == (Bound.LOWER, Bound.UPPER, Bound.NONE)
    exact = layer_information(t, y, Noisy(0.1, 200_000))
    assert exact.x_t.bound is Bound.EXACT
    for found in (exact.x_t, exact.t_y):
        assert abs(found.value / NATS_PER_BIT - 0.7929114526677669) < 4 * found.stderr_bits < 0.01
