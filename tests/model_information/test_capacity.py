"""Capacity: lookup networks of known size, the paper's own table, and what a maximum and a plateau must keep."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from torch import nn

from infoscope.data.task import Task
from infoscope.measurement import Bound, Status
from infoscope.model_information.capacity.plateau import cross_fitted_maximum, plateau_begins
from infoscope.model_information.capacity.question import Capacity
from infoscope.model_information.capacity.result import Held, Memory
from infoscope.model_information.held_out_loss import HeldOutLoss
from infoscope.model_information.task_information import TaskInformation
from infoscope.models import MLP
from infoscope.prequential.loss_curve import LossCurve
from infoscope.prequential.replay import Replay
from infoscope.run.question import ask, units
from infoscope.training.learner import Learner
from infoscope.training.recipe import Adam, Recipe

CELLS, CLASSES, ALPHA, EACH = (16, 32, 64, 96, 128), 10, 0.01, 32
TABLE_7 = {
    "Large": (7687.0, 8907.8, 9540.7, 10264.0),
    "Standard": (7140.0, 8496.2, 9322.1, 9410.7),
    "Small": (7358.2, 8343.9, 8086.6, 8170.3),
    "Tiny": (6970.1, 7492.2, 7777.0, 7448.8),
}


def lookup(cells: int, known: int) -> LossCurve:
    """Costs of 128 · 32 labels of which so many cells' ask anything, to a table that was trained on some of these."""
    seen = np.arange(EACH) + EACH * (np.arange(cells) < known)[:, None]
    nats = np.zeros(CELLS[-1] * EACH)
    nats[: cells * EACH] = -np.log((seen + ALPHA) / (seen + CLASSES * ALPHA)).ravel()
    return LossCurve(nats, np.arange(len(nats)), len(nats) * math.log(CLASSES), len(nats), CLASSES)


def table_network(room: int, seeds=(0, 1)) -> Held:
    """What a table with room for so many cells knows of tasks of 16 … 128 cells."""
    coded = Task.from_arrays(torch.zeros(2, 1), [0, 1], alphabet=list(map(str, range(CLASSES))))
    each = [
        TaskInformation(
            coded,
            [_seeded(lookup(cells, 0), seed) for seed in seeds],
            [_seeded(lookup(cells, room), seed) for seed in seeds],
            {seed: np.full((2, CLASSES), 0.1) for seed in seeds},
            frozenset(),
            (),
        )
        for cells in CELLS
    ]
    return Held("table", tuple(map(str, CELLS)), CELLS, room, tuple(each), None, "cells")


def _seeded(curve: LossCurve, seed: int) -> LossCurve:
    return dataclasses.replace(curve, seed=seed)


@pytest.mark.parametrize("room", [32, 64])
def test_a_table_saturates_at_what_its_cells_hold(room):
    """3.742948 bits a cell, from the first task that fills it on."""
    larger = table_network(CELLS[-1])
    held = dataclasses.replace(table_network(room), others=(larger.values,))
    assert held.plateau == CELLS.index(room)
    assert held.capacity().bits == pytest.approx(room * 3.742948, abs=1e-3)
    assert held.capacity().stderr == pytest.approx(0, abs=1e-9)
    assert not held.capacity().status


def test_where_no_other_network_learns_more_it_may_be_the_tasks_that_hold_no_more():
    alone = table_network(64)
    beside = dataclasses.replace(alone, others=(table_network(32).values, alone.values))
    for held in (alone, beside):
        assert (held.levels_off, held.plateau) == (2, None)
        assert held.capacity().bound is Bound.LOWER
        assert "no other network learns more" in held.capacity().receipt.notes[0]


def test_a_table_that_is_never_full_has_a_lower_bound():
    held = table_network(CELLS[-1])
    assert held.plateau is None
    assert held.capacity().bound is Bound.LOWER
    assert held.capacity().status == {Status.STILL_RISING}
    single = table_network(64, seeds=(0,)).capacity()
    assert single.status == {Status.STILL_RISING, Status.TOO_FEW_SAMPLES}
    assert math.isnan(single.stderr)


@pytest.mark.parametrize(("size", "first"), [("Large", None), ("Standard", 2), ("Small", 1), ("Tiny", 2)])
def test_the_papers_networks_saturate_but_for_the_largest(size, first):
    """Table 7 with an error of 100 bits a replicate: 50 … 200 classes."""
    noise = 100 * np.array([[1.0, -1, 0, 0], [-1, 0, 1, -1], [0, 1, -1, 1]])
    assert plateau_begins(np.array(TABLE_7[size]) + noise, np.array([50.0, 100, 150, 200])) == first


def test_a_line_seldom_looks_like_a_plateau_and_a_plateau_mostly_does():
    draws, x = np.random.default_rng(0), np.arange(1.0, 6.0)
    noise = draws.normal(size=(200, 3, 5))
    line = [plateau_begins(20 * x + 3 * e, x) for e in noise]
    hinge = [plateau_begins(20 * np.minimum(x, 3) + 3 * e, x) for e in noise]
    flat = [plateau_begins(60 + 3 * e, x) for e in noise]
    assert sum(one is not None for one in line) <= 10
    assert sum(one is not None for one in hinge) >= 150
    assert sum(one is not None for one in flat) <= 20


def test_a_maximum_is_biased_up_and_cross_fitting_never_is():
    """Of five tasks of equal expectation; and where one is far ahead there is nothing to correct."""
    noise = np.random.default_rng(1).normal(size=(2000, 4, 5))
    largest = np.array([e.mean(0).max() for e in noise])
    fitted = np.array([cross_fitted_maximum(e).mean() for e in noise])
    assert largest.mean() > 0.5
    assert abs(fitted.mean()) < 4 * fitted.std() / len(noise) ** 0.5
    ahead = noise[0] + np.array([0, 0, 100, 0, 0])
    assert cross_fitted_maximum(ahead).mean() == pytest.approx(ahead.mean(0).max())


class Table(nn.Module):
    """A table of the first cells alone: inputs begin with one-hot cells, and end with noise that tells them apart."""

    room = 4

    def __init__(self, shape, classes):
        super().__init__()
        self.fc = nn.Linear(self.room, classes, bias=False)
        nn.init.zeros_(self.fc.weight)

    def forward(self, x):
        return self.fc(x[:, : self.room])


class Wide(Table):
    room = 24


def cells(count: int) -> Task:
    """A task whose labels follow from which of so many cells an example is in."""
    draws = np.random.default_rng(count)
    label = np.random.default_rng(0).permutation(np.repeat(np.arange(8), 3))
    cell = draws.integers(0, count, 400)
    x = np.concatenate([np.eye(24)[cell], draws.random((400, 1))], 1)
    return Task.from_arrays(x.astype(np.float32), label[cell], alphabet=list(map(str, range(8))), name=f"{count} cells")


def test_trained_tables_hold_what_they_have_room_for():
    """A table of 4 cells knows of 12 no more than its share; one of 24 has not been filled by them."""
    recipe = Recipe(Adam(lr=0.3), epochs=12, patience=None)
    asked = Capacity(
        [cells(n) for n in (2, 4, 12)],
        [Learner(Table, recipe), Learner(Wide, recipe)],
        coder=Replay(replays=0, start=16), k=60, train=200, memorise=0, replicates=2,
    )  # fmt: skip
    small, wide = ask(asked).held
    assert Status.STILL_RISING in wide.capacity().status
    np.testing.assert_allclose(small.values[:, :2], wide.values[:, :2], rtol=0.1)
    assert (small.values[:, 2] < 0.6 * wide.values[:, 2]).all()


def test_what_is_memorised_is_what_the_labels_frequencies_do_not_tell():
    """Nothing by the frequencies alone, n H(Y) by one who is sure: then the labels limit, and it is said."""
    task = Task.from_arrays(torch.zeros(8, 1), [0, 0, 0, 0, 0, 0, 1, 1])
    nothing = Memory(task, 1, {0: HeldOutLoss(task.label_entropy, 8)}).measurement()
    everything = Memory(task, 1, {0: HeldOutLoss(0.0, 8)}).measurement()
    assert nothing.value == pytest.approx(0)
    assert everything.bits == pytest.approx(8 * task.label_entropy / math.log(2))
    assert (everything.bound, everything.status) == (Bound.LOWER, {Status.SATURATED})


def test_a_larger_network_memorises_more():
    noise = Task.from_arrays(np.random.default_rng(0).normal(size=(240, 8)), np.arange(240) % 4)
    asked = Capacity(noise, [MLP((2,)), MLP((64,))], coder=Replay(replays=0, start=1), k=30, train=120, replicates=2,
                     memorise=200, epochs=1)  # fmt: skip
    small, large = (one.memorised() for one in ask(asked).held)
    assert large.bits > 2 * small.bits
    assert large.bits < 240


def test_alphabets_cut_growing_tasks_of_one_size_from_all_data():
    """Digits twice over make 20 classes that are kept apart; images take the first's shape."""
    digits = Task.from_dataset("digits")
    wide = Task.from_arrays(digits.array.repeat(1, 3, 2, 2)[:600], digits.labels[:600], name="wide")
    asked = Capacity([digits[:600], wide], [MLP((4,))], (5, 20), k=40, train=100)
    five, twenty = asked._parts(asked._tasks())
    assert (five.coded.classes, twenty.coded.classes) == (5, 20)
    assert (len(five.train), len(twenty.train), len(five.coded), len(twenty.coded)) == (100, 100, 40, 40)
    assert twenty.coded.shape == digits.shape
    assert int(five.train.labels.max()) < 5
    assert units(asked) == {"trainings": 3 * 2 + 3, "codes": 12, "predictions": 6, "losses": 3}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"alphabets": (10, 5)}, "growing numbers of classes"),
        ({"alphabets": (2, 5)}, "has 3 classes, and alphabets asks for 5"),
        ({"models": ()}, "one network or more"),
        ({"models": [MLP((4,)), MLP((4,))]}, "called the same"),
        ({"train": 500}, "'iris' has .* examples to train on"),
        ({"data": Task.from_arrays(np.eye(12), np.arange(12.0) / 7), "k": 3}, "set memorise to 0"),
    ],
)
def test_bad_options_get_a_word_before_anything_is_trained(options, told):
    with pytest.raises(ValueError, match=told):
        next(Capacity(**{"data": "iris", "models": [MLP((4,))], **options}).stages())


def test_command_line(tmp_path, capsys):
    from infoscope.cli import run

    run(["capacity", "iris", "--models", "mlp(widths=(2,))", "mlp(widths=(4,))", "--alphabets", "2", "3", "--k", "12",
         "--train", "40", "--replicates", "2", "--memorise", "3", "--epochs", "3", "--coder",
         "replay(replays=0,start=1)", "--jobs", "1", "--json", "--out", str(tmp_path / "run")])  # fmt: skip
    rows = json.loads(capsys.readouterr().out)["measurements"]
    found = {(r["model"], r["quantity"]) for r in rows if r["task"] == "all"}
    for model in ("mlp(widths=(2,))", "mlp(widths=(4,))"):
        assert {(model, q) for q in ("C(M)", "max L(M,D)", "memorised", "parameters")} <= found


def test_one_network_needs_no_list():
    asked = {"data": "iris", "k": 12, "replicates": 1, "memorise": 0}
    alone, listed = (units(Capacity(**asked, models=given)) for given in ("mlp", ["mlp"]))
    assert alone == listed
