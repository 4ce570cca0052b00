from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import dblquad

from infoscope.measurement import Bound, Status, UnreliableMeasurement
from infoscope.method_text import method_of
from infoscope.mi import IDNNS, Adaptive, Quantised, Saxe, Uniform, layer_information, mutual_information
from infoscope.mi.estimators.binning import cells
from infoscope.mi.methods import METHODS
from infoscope.mi.numerics.codes import as_labels, row_codes
from infoscope.mi.sample import Side


def test_row_codes_tell_rows_apart_as_sorting_does():
    rows = np.random.default_rng(0).integers(-3, 3, size=(5000, 6))
    mine, count = as_labels(row_codes(rows))
    found, theirs = np.unique(rows, axis=0, return_inverse=True)
    assert count == len(found)
    assert len(set(zip(mine.tolist(), theirs.ravel().tolist(), strict=True))) == count


def test_idnns_quirk_values_outside_fall_together():
    values = np.array([[-1.5], [7.0], [1.0], [-1.0], [0.999]], dtype=np.float32)
    assert cells(IDNNS(), Side(values)).values.tolist()[0:3] == [cells(IDNNS(), Side(values)).values[0]] * 3
    assert IDNNS().cut(values)(values)[:, 0].tolist() == [29, 29, 29, 0, 28]


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("bins", [2, 30, 1000])
def test_idnns_cells_are_those_of_a_search_bit_for_bit(bins, kind):
    edges = np.linspace(-1, 1, bins).astype(np.float32)
    beside = [np.nextafter(edges, np.float32(far)) for far in (2, -2)]
    inside = np.random.default_rng(0).uniform(-1.3, 1.3, size=5000)
    values = np.concatenate([edges, *beside, inside, [1e38, -1e38]]).astype(kind)[:, None]
    assert np.array_equal(IDNNS(bins).cut(values)(values), (np.digitize(values, edges) - 1) % bins)


def test_saxe_floors_in_the_layer_s_precision():
    values = np.float32([[0.07 * k] for k in range(-30, 30)])
    assert Saxe(0.07).cut(values)(values.copy())[:, 0].tolist() == np.floor(values[:, 0] / np.float32(0.07)).tolist()
    assert np.array_equal(values, np.float32([[0.07 * k] for k in range(-30, 30)]))


def test_binning_leaves_its_input_alone():
    t = np.random.default_rng(0).normal(size=(100, 4))
    before = t.copy()
    for method in (IDNNS(), Saxe(), Uniform(), Uniform(5, "layer"), Uniform(5, "neuron"), Adaptive()):
        layer_information(t, np.arange(100) % 2, method)
    assert np.array_equal(t, before)


@pytest.mark.parametrize("values", ["layer", "neuron", (-4.0, 4.0)])
def test_uniform_has_exactly_n_cells(values):
    t = np.linspace(-4, 4, 4001)[:, None]
    assert cells(Uniform(30, values), Side(t)).classes == 30
    edges = np.linspace(-4, 4, 9)[:, None]
    assert Uniform(8, values).cut(t)(edges)[:, 0].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 7]


def test_adaptive_cells_are_equally_full():
    t = np.random.default_rng(0).exponential(size=(3000, 1))
    assert np.bincount(cells(Adaptive(30), Side(t)).values).tolist() == [100] * 30


def test_an_empty_range_says_so():
    with pytest.raises(ValueError, match=r"range=\(1.0, 1.0\)\): give \(low, high\)"):
        Uniform(3, (1.0, 1.0))


def test_binned_normals_against_quadrature():
    # What it estimates is I(bin X; bin Y), not I(X;Y): four cells a side, by quadrature.
    rho, edges = 0.8, [-np.inf, -1.0, 0.0, 1.0, np.inf]

    def density(y: float, x: float) -> float:
        rest = 1 - rho**2
        return math.exp(-(x * x - 2 * rho * x * y + y * y) / (2 * rest)) / (2 * math.pi * math.sqrt(rest))

    finite = np.clip(edges, -9, 9)
    p = np.array([[dblquad(density, finite[i], finite[i + 1], finite[j], finite[j + 1])[0] for j in range(4)]
                  for i in range(4)])  # fmt: skip
    truth = float((p * np.log(p / p.sum(0) / p.sum(1)[:, None])).sum())
    found = []
    for seed in range(20):
        r = np.random.default_rng(seed)
        x = r.normal(size=4000)
        y = rho * x + 0.6 * r.normal(size=4000)
        found.append(mutual_information(x, y, Uniform(4, (-2.0, 2.0)), strict=False))
    bias = 9 / (2 * 4000)
    mean = np.mean([m.value for m in found]) - bias
    assert abs(mean - truth) < 4 * np.std([m.value for m in found], ddof=1) / math.sqrt(20)
    assert np.mean([m.stderr for m in found]) == pytest.approx(np.std([m.value for m in found], ddof=1), rel=0.5)


def test_quantised_values_are_exact():
    levels = np.arange(1, 257, dtype=np.float32)
    t = np.stack([np.repeat(levels, 16), -np.repeat(levels, 16) * 0], axis=1)
    found = layer_information(t, np.arange(4096) % 2, Quantised())
    assert found.x_t.bits == pytest.approx(8, abs=1e-12)
    assert found.t_y.bits == pytest.approx(0, abs=1e-12)
    doubles = layer_information(t.astype(float) / 3, np.arange(4096) % 2, Quantised())
    assert doubles.x_t.value == found.x_t.value


def test_the_correction_for_samples_takes_most_of_the_bias_off_and_leaves_populations_exact():
    r = np.random.default_rng(0)
    plain, corrected = [], []
    for _ in range(30):
        x, y = r.integers(12, size=(2, 800))
        plain.append(mutual_information(x, y, Quantised(), strict=False).value)
        corrected.append(mutual_information(x, y, Quantised(corrected=True), strict=False))
    assert np.mean(plain) == pytest.approx(121 / 1600, rel=0.1)
    assert abs(np.mean([m.value for m in corrected])) < np.mean(plain) / 10
    assert np.mean([abs(m.value) < 2 * m.stderr for m in corrected]) >= 0.9
    patterns = np.arange(4096)
    assert mutual_information(patterns % 64, patterns % 8).bits == pytest.approx(3, abs=1e-12)
    layer = [layer_information(x[:, None] / 8, y % 2, Quantised(corrected=c)) for c in (False, True)]
    assert (layer[0].x_t.value, layer[0].t_y.value) == (layer[1].x_t.value, layer[1].t_y.value)


def test_cells_at_any_distance_are_told_apart():
    t = np.array([[0.0], [1e6], [-1e6], [1e15], [-1e15]])
    assert cells(Saxe(0.07), Side(t)).classes == 5
    assert cells(Saxe(0.07), Side(np.array([[1e300], [-1e300], [0.0]]))).classes == 3


LOGITS = np.repeat([[-4.0, 4.0], [4.0, -4.0]], 50, axis=0)
CLASSES = np.repeat([0, 1], 50)


@pytest.mark.parametrize(
    ("method", "t"),
    [(IDNNS(), LOGITS), (Uniform(), LOGITS), (Uniform(5, (0.0, 3.0)), LOGITS), (Saxe(), LOGITS * 1e30)],
    ids=repr,
)
def test_values_beyond_the_range_of_the_bins_are_told(method, t):
    found = layer_information(t, CLASSES, method)
    for m in (found.x_t, found.t_y, mutual_information(t, CLASSES, method, strict=False)):
        assert Status.OUT_OF_RANGE in m.status
        assert m.bound is Bound.NONE
        assert "100.0 % of the values lie outside" in m.receipt.notes[-1]


def test_logits_that_tell_the_class_wrap_into_one_cell_and_it_is_said():
    found = layer_information(LOGITS, CLASSES, IDNNS())
    assert (found.t_y.value, found.t_y.stderr) == (0.0, 0.0)
    assert Status.OUT_OF_RANGE in found.t_y.status
    with pytest.raises(UnreliableMeasurement, match=r"take uniform\(range='layer'\)"):
        mutual_information(LOGITS, CLASSES, IDNNS())
    fitting = layer_information(LOGITS, CLASSES, Uniform(30, "layer")).t_y
    assert fitting.bits == pytest.approx(1.0, abs=1e-12)
    assert Status.OUT_OF_RANGE not in fitting.status


@pytest.mark.parametrize("method", [IDNNS(), Uniform(), Saxe(), Uniform(7, "layer"), Uniform(7, "neuron"), Adaptive()])
def test_the_ends_of_a_range_belong_to_it(method):
    t = np.tanh(np.linspace(-30, 30, 200, dtype=np.float32))[:, None]
    assert (t.min(), t.max()) == (-1.0, 1.0)
    found = layer_information(t, np.arange(200) % 2, method)
    assert found.x_t.bound is Bound.EXACT
    assert Status.OUT_OF_RANGE not in found.x_t.status | found.t_y.status


def test_the_fixed_range_by_its_name():
    assert Uniform(range="fixed") == Uniform()
    assert repr(method_of("uniform(n=10, range='fixed')", METHODS)) == "Uniform(n=10, range=(-1.0, 1.0))"
    for bad in ("per_layer", (1.0, 0.0), (0.0, 1.0, 2.0)):
        with pytest.raises(ValueError, match="give \\(low, high\\), 'fixed'"):
            Uniform(range=bad)


@pytest.mark.parametrize("method", [IDNNS(), Uniform(4, "neuron"), Adaptive(3), Quantised(), Quantised(corrected=True)])
def test_shuffled_labels_cost_no_second_cut_and_give_the_same(method):
    draws = np.random.default_rng(0)
    t, y = Side(draws.normal(size=(300, 2)).round(1)), Side(draws.integers(3, size=300), 3)
    shufflings = [y.take(draws.permutation(300)) for _ in range(4)]
    assert method.shuffled(t, shufflings, 0) == [method.estimate(t, other, 0).value for other in shufflings]


def test_fixed_is_short_for_the_range_of_a_tanh_layer():
    t = np.random.default_rng(0).uniform(-1.2, 1.2, size=(300, 2))
    named, numbered = (layer_information(t, np.arange(300) % 2, Uniform(8, r)) for r in ("fixed", (-1.0, 1.0)))
    assert (named.x_t.value, named.t_y.value) == (numbered.x_t.value, numbered.t_y.value)
