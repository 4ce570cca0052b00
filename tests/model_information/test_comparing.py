"""What two data sets hold about a task, where the truth is known: tables of cells, and codes that are given."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from infoscope.data.targets import Classes
from infoscope.data.task import Task
from infoscope.measurement import Measurement
from infoscope.model_information.comparing.parts_of_information import Parts
from infoscope.model_information.comparing.question import Compare, CompareAnswer
from infoscope.models import MLP
from infoscope.prequential.loss_curve import LossCurve
from infoscope.run.question import ask
from infoscope.training.learner import Learner
from infoscope.training.recipe import SGD, Recipe

CELLS, CLASSES, ALPHA = 16, 10, 0.01
TRUTH = np.random.default_rng(0).integers(0, CLASSES, CELLS)
A_CELL = 3.742948
"""Bits that 32 labels of one cell cost one who has no table of it, less those of one who has 32 counts."""


class Counts(nn.Module):
    """A table of counts, one row a cell; what it gives are the counts themselves."""

    def __init__(self, shape, outputs):
        super().__init__()
        self.table = nn.Linear(CELLS, outputs, bias=False)
        nn.init.zeros_(self.table.weight)

    def forward(self, x):
        return self.table(x)


def tallied(outputs, y):
    """Gradient descent on this at a rate of 1, with all in one batch, counts the labels of each cell."""
    return -outputs[torch.arange(len(y)), y].sum()


LEARNER = Learner(Counts, Recipe(SGD(1.0, momentum=0.0), batch=10**6, epochs=1, patience=None, loss=tallied))


@dataclass(frozen=True)
class Lookup:
    """The code of one who begins with a network's table of counts: p(y) = (n_y + α) / (n + C α)."""

    needs_network: ClassVar[bool] = True
    takes: ClassVar[tuple[Any, ...]] = (Classes,)

    def experts(self, x, target, seed=0, network=None):
        assert network is not None
        counts = network.table.weight.detach().double().round().clamp(min=0).T.numpy().copy()
        for cell in np.asarray(x.argmax(1)):
            row = counts[cell] + ALPHA
            label = yield np.log(row / row.sum())[None]
            counts[cell, label] += 1


def table(cells, each: int = 64, name: str = "A") -> Task:
    x = np.repeat(np.eye(CELLS)[list(cells)], each, 0)
    x += np.random.default_rng(sum(map(ord, name))).normal(0, 1e-3, x.shape)  # equal inputs would count as seen
    y = np.repeat(TRUTH[list(cells)], each)
    return Task.from_arrays(x, y, alphabet=list(map(str, range(CLASSES))), name=name)


ON = table(range(CELLS), 96, "on")


def compared(a, b, **options) -> CompareAnswer:
    options = {"k": 24 * CELLS, "train": 16 * min(len(a), len(b)), "replicates": 2} | options
    data = [table(a, name="A"), table(b, name="B")]
    return ask(Compare(data, ON, LEARNER, Lookup(), **options))


def bits(answer: CompareAnswer) -> dict[tuple[str, str], float]:
    return {
        (row.measurement.quantity, str(row.coordinates["part"])): row.measurement.printed for row in answer.record()
    }


def curve(known: range) -> list[LossCurve]:
    """32 labels of each of 64 cells, by one who has 32 counts of the cells that are known."""
    p = [
        ((32 if cell in known else 0) + i + ALPHA) / ((32 if cell in known else 0) + i + CLASSES * ALPHA)
        for cell in range(64)
        for i in range(32)
    ]
    rows = [[one] + [(1 - one) / 9] * 9 for one in p]
    return [LossCurve.from_probabilities(rows, [0] * len(rows), seed=seed) for seed in (0, 1)]


def test_each_cell_of_a_table_is_worth_its_bits_to_whom_it_belongs():
    """Halves that overlap in 16 cells of 64: 16 unique to each, 16 shared, at 3.742948 bits a cell."""
    known = [curve(cells) for cells in (range(0), range(32), range(16, 48), range(48))]
    parts = Parts("T", "A", "B", *known)
    assert [one.bits for one in (*parts.unique, parts.shared)] == pytest.approx([16 * A_CELL] * 3, abs=1e-4)
    apart = Parts("T", "A", "B", *(curve(cells) for cells in (range(0), range(32), range(32, 64), range(64))))
    assert [one.bits for one in (*apart.unique, apart.shared)] == pytest.approx([32 * A_CELL, 32 * A_CELL, 0], abs=1e-4)
    same = Parts("T", "A", "A", *(curve(cells) for cells in (range(0), range(32), range(32), range(32))))
    assert [one.bits for one in (*same.unique, same.shared)] == pytest.approx([0, 0, 32 * A_CELL], abs=1e-4)


def test_networks_that_count_hold_what_their_data_hold_and_the_parts_add_up():
    """From the data to the parts: half of the cells are both's. The mixture learns how sure tables are, which takes off
    a part of what a cell is worth."""
    answer = compared(range(8), range(4, 12))
    found = bits(answer)
    for part in (("unique", "A"), ("unique", "B"), ("shared", "both")):
        assert 0.75 * 4 * A_CELL < found[part] < 1.1 * 4 * A_CELL, part
    parts = found["unique", "A"] + found["unique", "B"] + found["shared", "both"]
    assert parts == pytest.approx(found["L(M,D)", "A and B"])
    assert set(answer.found.shared.replicates) == {0, 1}
    for row in answer.record():
        assert "trained on 128 of A, 128 of B, 256 of A and B" in row.measurement.receipt.notes
    assert "alone" in answer.sentence()


def flat(nats: list[float]) -> list[LossCurve]:
    """Curves of one example, one a seed."""
    return [LossCurve.from_probabilities([[math.exp(-n), 1 - math.exp(-n)]], [0], seed=s) for s, n in enumerate(nats)]


def test_what_only_both_together_tell_is_a_synergy():
    """Neither saves anything, both together save 2 nats: nothing shared, and −2 to be told so."""
    parts = Parts("T", "A", "B", flat([3.0, 3.0]), flat([3.0, 3.0]), flat([3.0, 3.0]), flat([1.0, 1.0]))
    assert parts.shared.value == pytest.approx(-2)
    assert [one.value for one in parts.unique] == pytest.approx([2, 2])
    assert parts.sentence() == (
        "Of 2.8854 ± 0 bits about T, 2.8854 ± 0 are told by A alone, 2.8854 ± 0 by B alone, "
        "2.8854 ± 0 only by both together."
    )


def test_errors_are_those_of_pairs():
    """What all four codes have in common by the seed is in none of the differences."""
    one, other = (flat([base + extra for base in (0.5, 1.5, 2.5)]) for extra in (2.0, 1.0))
    parts = Parts("T", "A", "B", one, other, one, other)
    for found in (*parts.unique, parts.shared):
        assert isinstance(found, Measurement)
        assert found.stderr == pytest.approx(0, abs=1e-9)
    assert [found.value for found in parts.unique] == pytest.approx([1, 0])


def test_nothing_that_is_coded_is_trained_on():
    digits = Task.from_dataset("digits")
    coded, taught = Compare(["digits:rows=0..900", "digits:rows=600.."], digits, MLP((4,)), k=200)._taught(digits)
    for one in taught:
        assert not set(coded.ids) & (set(one.train.ids) | set(one.validation.ids))
        assert not set(one.train.ids) & set(one.validation.ids) or one.name.endswith("600..")
    a, b, both = (len(one.train) for one in taught)
    assert a == b
    assert both == len(set(taught[0].train.ids) | set(taught[1].train.ids))


@pytest.mark.parametrize(
    ("data", "on", "told"),
    [
        (["iris"], "iris", "two data sets are compared, and 1 were given"),
        (["iris:rows=0..75", "digits"], "iris", "only images are scaled"),
        (["iris:rows=0..3", "iris"], "iris", "give more, or code fewer by k"),
    ],
)
def test_what_cannot_be_compared_is_told_before_anything_is_trained(data, on, told):
    with pytest.raises(ValueError, match=told):
        next(Compare(data, Task.of(on), MLP((4,))).stages())


def test_more_than_there_is_to_train_on_is_refused():
    with pytest.raises(ValueError, match="were asked for, of each"):
        next(Compare(["iris:rows=0..60", "iris:rows=60.."], Task.of("iris"), MLP((4,)), train=80).stages())


def test_the_whole_program(infoscope_program):
    words = ("compare", "iris:rows=0..75", "iris:rows=75..", "--on", "iris", "--k", 20, "--model", "mlp", "--epochs", 2,
             "--replicates", 2, "--jobs", 1, "--coder", "replay(replays=1, start=8)", "--json")  # fmt: skip
    rows = json.loads(infoscope_program(*words))["measurements"]
    assert [row["part"] for row in rows if row["quantity"] == "unique"] == ["iris:rows=0..75", "iris:rows=75.."]
    assert [row["part"] for row in rows if row["quantity"] == "shared"] == ["both"]


@pytest.fixture
def infoscope_program(tmp_path, monkeypatch, capsys):
    """The command line in this process, in an empty folder."""
    from infoscope.cli import run

    def go(*words: object) -> str:
        monkeypatch.chdir(tmp_path)
        capsys.readouterr()
        run(list(map(str, words)))
        return capsys.readouterr().out

    return go
