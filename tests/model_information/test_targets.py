"""Text, a table of numbers and a set of labels each go through `codelength` and `information` by one line."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_diabetes
from torch import nn

import infoscope
from infoscope.data.targets import Labels, Real, Tokens
from infoscope.data.task import Task
from infoscope.model_information.codelength import Codelength
from infoscope.model_information.information import Information
from infoscope.model_information.performance import explained, micro_accuracy
from infoscope.models import MLP
from infoscope.prequential.replay import Replay
from infoscope.run.question import ask
from infoscope.training.learner import Learner
from infoscope.training.recipe import Adam, Recipe

LEARNED = Recipe(Adam(lr=0.01), epochs=40, patience=None)


class Looking(nn.Module):
    """A causal network of one step: what comes next follows from this token alone."""

    def __init__(self, shape, vocabulary):
        super().__init__()
        self.table = nn.Embedding(vocabulary, vocabulary)

    def forward(self, x):
        return self.table(x)


def table() -> Task:
    x, y = load_diabetes(return_X_y=True)
    x = (x - x.mean(0)) / x.std(0)
    return Task.from_arrays(x[:150], y[:150, None], target=Real(1.0, 0.0, 400.0), name="table")


def marks() -> Task:
    x = np.random.default_rng(0).standard_normal((150, 4))
    return Task.from_arrays(x, (x[:, :2] + x[:, 2:] > 0).astype(int), target=Labels(("a", "b")), name="marks")


def text() -> Task:
    """Each token is one or two above the one before: a bit each to one who knows it, four to one who doesn't."""
    steps = np.random.default_rng(0).integers(1, 3, (60, 16))
    y = torch.from_numpy(steps.cumsum(1) % 16)
    return Task.from_arrays(nn.functional.pad(y[:, :-1], (1, 0)), y, target=Tokens(16), name="text")


CASES = {
    "table": (table(), Learner(MLP((16,)), LEARNED), "R²"),
    "marks": (marks(), Learner(MLP((16,)), LEARNED), "micro-accuracy"),
    "text": (text(), Learner(Looking, LEARNED), "loss a token"),
}


@pytest.mark.parametrize("case", CASES)
def test_one_line_each(case):
    task, learner, measure = CASES[case]
    length = infoscope.codelength(task, replicates=2)
    assert 0 < length.value < 0.98 * task.target.uniform(task.y).sum()
    coder = Replay(start=32, replays=2)
    assert infoscope.information(task, learner, coder, replicates=1, strict=False).bits > 5
    answer = ask(Information(task, learner, coder, k=40, replicates=1))
    rows = {row.measurement.quantity: row.measurement for row in answer.record()}
    assert measure in rows
    assert f"about {task.name} into the network" in answer.sentence()
    assert set(rows) == {"L(M,D)", "L_init(y|x)", "L_trained(y|x)", measure}


@pytest.mark.parametrize("case", CASES)
def test_the_record_of_a_codelength_has_no_label_entropy(case):
    answer = ask(Codelength(CASES[case][0], replicates=1))
    assert [row.measurement.quantity for row in answer.record()] == ["L(y|x)", "n log C"]
    assert "can be sent in" in answer.sentence()


def test_measures_of_what_is_predicted():
    y = torch.tensor([[0, 1], [1, -1]])
    assert micro_accuracy(np.array([[0.2, 0.7], [0.4, 0.9]]), y) == pytest.approx(2 / 3)
    numbers = torch.tensor([[1.0], [2.0], [3.0]])
    assert explained(numbers.numpy(), numbers) == 1
    assert explained(np.full((3, 1), 2.0), numbers) == 0
    assert np.isnan(explained(np.ones((3, 1)), torch.ones(3, 1)))
