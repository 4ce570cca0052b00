from __future__ import annotations

import math

import numpy as np
import pytest

from infoscope.measurement import Bound, Status
from infoscope.prequential.codelength import (
    codelength,
    memorisation_included,
    model_information,
    online_accuracy,
    sample_complexity,
    surplus,
)
from infoscope.prequential.loss_curve import LossCurve

CELLS, CLASSES, ALPHA = 64, 10, 0.01


def lookup_curve(counts: np.ndarray, cells: np.ndarray, labels: np.ndarray) -> LossCurve:
    """A learner that keeps a table of counts a cell: p(y) = (n_y + α) / (n + Cα)."""
    counts = counts.copy()
    rows = []
    for cell, label in zip(cells, labels, strict=True):
        rows.append((counts[cell] + ALPHA) / (counts[cell].sum() + CLASSES * ALPHA))
        counts[cell, label] += 1
    return LossCurve.from_probabilities(np.stack(rows), labels)


def test_a_lookup_teacher_holds_its_closed_form():
    """64 cells with one of 10 labels each: K(f) = 64 log2 10 = 212.60 bits; eq. (2) of a table = 239.55 bits."""
    teacher = np.random.default_rng(0).integers(0, CLASSES, CELLS)
    cells = np.repeat(np.arange(CELLS), 32)
    trained = np.zeros((CELLS, CLASSES))
    trained[np.arange(CELLS), teacher] = 32
    initial = lookup_curve(np.zeros((CELLS, CLASSES)), cells, teacher[cells])
    known = model_information(initial, lookup_curve(trained, cells, teacher[cells]))
    assert CELLS * math.log2(CLASSES) == pytest.approx(212.60, abs=0.005)
    assert known.bits == pytest.approx(239.55, abs=0.005)
    assert known.bound is Bound.NONE


def test_eq_2_is_paired_and_keeps_both_sides_of_its_sign():
    a = [LossCurve.from_probabilities([[0.5, 0.5]] * 3, [0, 1, 1], seed=s) for s in (0, 1)]
    b = [LossCurve.from_probabilities([[0.1, 0.9]] * 3, [0, 1, 1], seed=s) for s in (0, 1)]
    assert model_information(a, a).value == 0
    assert model_information(a, b).value == -model_information(b, a).value
    assert model_information(a, b).stderr == 0
    with pytest.raises(ValueError, match="paired"):
        model_information(a, b[:1])


def test_a_code_worse_than_uniform_says_so():
    bad = LossCurve.from_probabilities([[0.9, 0.1]] * 4, [1] * 4)
    assert codelength(bad).status == {Status.WORSE_THAN_UNIFORM}
    assert not codelength(LossCurve.from_probabilities([[0.5, 0.5]] * 4, [1] * 4)).status


def test_eq_1_counts_what_was_memorised():
    uniform = LossCurve.from_probabilities(np.full((100, 4), 0.25), np.arange(100) % 4)
    learned_by_heart = np.zeros((1, 100))
    assert memorisation_included(uniform, learned_by_heart).bits == pytest.approx(200)
    assert memorisation_included(uniform, uniform.nats[None]).value == 0


def test_surplus_and_sample_complexity_of_a_curve_that_learns_at_once():
    n = 400
    p = np.full((n, 2), 0.5)
    p[100:] = [1 - 1e-12, 1e-12]
    curve = LossCurve.from_probabilities(p, np.zeros(n, dtype=int))
    assert surplus(curve, 0.0).bits == pytest.approx(100)
    assert surplus(curve, math.log(2)).bits == pytest.approx(0)
    assert 100 <= sample_complexity(curve, 0.05).value <= 127  # the block in which it learns has to end
    assert math.isnan(sample_complexity(LossCurve.from_probabilities([[0.5, 0.5]], [0]), 0.1).value)


def test_the_error_is_over_orders_and_unknown_for_one():
    curves = [LossCurve.from_probabilities([[q, 1 - q]] * 5, [0] * 5, seed=s) for s, q in enumerate((0.5, 0.6, 0.7))]
    several = codelength(curves)
    assert several.receipt.over == "orders and seeds"
    assert several.stderr == pytest.approx(np.std([c.total for c in curves], ddof=1) / math.sqrt(3))
    assert math.isnan(codelength(curves[0]).stderr)
    with pytest.raises(ValueError, match="same seed"):
        codelength([curves[0], curves[0]])


def test_online_accuracy_counts_the_most_probable_class():
    curve = LossCurve.from_probabilities([[0.6, 0.4], [0.6, 0.4]], [0, 1])
    assert online_accuracy(curve).value == 0.5


@pytest.mark.parametrize(
    ("p", "y", "message"),
    [
        ([[0.5, 0.6]], [0], "no probabilities"),
        ([[0.5, 0.5]], [2], "integers from 0 to 1"),
        ([[0.5, 0.5]], [0, 1], "shape"),
        ([[np.nan, 0.5]], [0], "no probabilities"),
    ],
)
def test_what_are_no_probabilities_is_refused(p, y, message):
    with pytest.raises(ValueError, match=message):
        LossCurve.from_probabilities(p, y)


def test_a_curve_survives_its_bytes():
    curve = LossCurve.from_probabilities([[0.6, 0.4], [0.6, 0.4]], [0, 1], seed=3)
    back = LossCurve.from_bytes(curve.to_bytes())
    assert np.array_equal(back.nats, curve.nats)
    assert (back.seed, back.classes, back.receipt, back.payload) == (3, 2, curve.receipt, None)


def test_no_labels_cost_nothing():
    nothing = LossCurve.from_probabilities(np.empty((0, 3)), np.empty(0, dtype=int))
    assert codelength(nothing).value == 0
    assert model_information(nothing, nothing).value == 0
    assert math.isnan(online_accuracy(nothing).value)
