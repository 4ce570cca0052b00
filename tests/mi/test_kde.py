from __future__ import annotations

import math

import numpy as np
import pytest

from infoscope.mi import KDE, layer_bracket, layer_information, mutual_information
from infoscope.mi.estimators import kde as kde_module
from infoscope.mi.sample import Side


def plain(t: np.ndarray, y: np.ndarray, v: float) -> tuple[float, float]:
    """Both informations of the upper bound, from whole matrices."""
    kernel = np.exp(-np.square(t[:, None] - t).sum(2) / (2 * v))
    whole = -np.log(kernel.mean(1)).mean()
    inside = np.log([kernel[i, y == y[i]].mean() for i in range(len(t))]).mean()
    return float(whole), float(whole + inside)


@pytest.mark.parametrize("tile", [7, 64, 1024])
@pytest.mark.parametrize("classes", [1, 2, 9, 200])
def test_tiles_equal_the_whole_matrix(monkeypatch, tile, classes):
    monkeypatch.setattr(kde_module, "TILE", tile)
    r = np.random.default_rng(0)
    t, y = r.normal(size=(200, 3)), r.integers(classes, size=200)
    lower, upper = layer_bracket(t, y, 0.2)
    assert (upper.x_t.value, upper.t_y.value) == pytest.approx(plain(t, y, 0.2), abs=1e-12)
    assert (lower.x_t.value, lower.t_y.value) == pytest.approx(plain(t, y, 0.8), abs=1e-12)


def test_the_bracket_is_the_two_methods():
    r = np.random.default_rng(0)
    t, y = r.normal(size=(100, 2)), r.integers(3, size=100)
    assert layer_bracket(t, y, 0.1) == tuple(layer_information(t, y, KDE(0.1, s)) for s in ("lower", "upper"))


def test_single_precision_is_close_and_says_so():
    t = np.random.default_rng(0).normal(size=(400, 300)).astype(np.float32)
    y = np.arange(400) % 10
    single, double = layer_information(t, y, KDE(20.0)), layer_information(t.astype(float), y, KDE(20.0))
    assert single.x_t.receipt.notes == ("distances in single precision",)
    assert double.x_t.receipt.notes == ("distances in double precision",)
    assert single.x_t.value == pytest.approx(double.x_t.value, abs=1e-5)
    assert single.t_y.value == pytest.approx(double.t_y.value, abs=1e-5)
    far = layer_information(t + np.float32(3e4) * (np.arange(400) % 2)[:, None], y, KDE(1e-3))
    assert far.x_t.receipt.notes == ("distances in double precision",)


def test_labels_that_all_differ_ask_for_the_layer_s_own_information():
    t = np.random.default_rng(0).normal(size=(50, 2))
    whole = layer_information(t, np.zeros(50, dtype=int), KDE(0.1)).x_t
    assert mutual_information(t, np.arange(50), KDE(0.1), strict=False).value == whole.value


def test_wide_noise_hides_everything_and_none_hides_nothing():
    t, y = np.random.default_rng(0).normal(size=(64, 2)), np.arange(64) % 2
    assert layer_information(t, y, KDE(1e9)).x_t.value == pytest.approx(0, abs=1e-8)
    assert layer_information(t, y, KDE(1e-12)).x_t.value == pytest.approx(math.log(64), abs=1e-12)
    with pytest.raises(ValueError, match="above 0"):
        KDE(0.0)
    with pytest.raises(ValueError, match="'upper' or 'lower'"):
        KDE(side="middle")  # type: ignore[arg-type]


@pytest.mark.parametrize("side", ["upper", "lower"])
@pytest.mark.parametrize("columns", [6, 512])
def test_shufflings_in_one_pass_equal_one_by_one(monkeypatch, side, columns):
    monkeypatch.setattr(kde_module, "TILE", 64)
    monkeypatch.setattr(kde_module, "COLUMNS", columns)
    r = np.random.default_rng(0)
    x, y = Side(r.normal(size=(150, 3))), Side(np.arange(150) % 3, 3)
    shufflings = [y.take(r.permutation(150)) for _ in range(5)]
    one_by_one = [KDE(0.2, side).estimate(x, shuffled, 0).value for shuffled in shufflings]
    assert KDE(0.2, side).shuffled(x, shufflings, 0) == pytest.approx(one_by_one, abs=1e-13)


def test_the_baseline_is_that_of_shuffled_labels():
    r = np.random.default_rng(0)
    t, y = r.normal(size=(100, 2)), np.arange(100) % 2
    draws = np.random.default_rng(3)
    values = [mutual_information(t, y[draws.permutation(100)], KDE(0.1), strict=False).bits for _ in range(4)]
    note = layer_information(t, y, KDE(0.1), null=4, seed=3).t_y.receipt.notes[-1]
    spread = f"standard deviation {np.std(values, ddof=1):.6f}"
    assert note == f"4 shufflings give {np.mean(values):.6f} bit in the mean, {spread}"
