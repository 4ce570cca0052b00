"""`infoscope merge` as a user runs it."""

from __future__ import annotations

import pytest
import torch

from infoscope import Task
from infoscope.models import MLP
from infoscope.training.learner import Learner
from infoscope.training.weights_file import tensors_from


@pytest.fixture
def both(tmp_path):
    task = Task.from_dataset("iris")
    for seed in (0, 1):
        torch.save(Learner(MLP((4,))).network(task.shape, 3, seed).state_dict(), tmp_path / f"{'ab'[seed]}.pt")


def test_the_price_of_three_ways_and_the_file(measured, infoscope, tmp_path, both):
    words = ("merge", "a.pt", "b.pt", "--model", "mlp(widths=(4,))", "--examples", 40)
    rows = measured(*words, "--data", "iris:rows=0..75", "--data", "iris:rows=75..", "--save", "c.safetensors")
    assert set(rows) == {"loss rise", "loss rise, predicted"}
    assert rows["loss rise"]["unit"] == "bit"
    assert set(tensors_from(tmp_path / "c.safetensors")) == set(torch.load(tmp_path / "a.pt"))
    assert "The plain mean of 2 checkpoints" in infoscope("merge", "a.pt", "b.pt").stdout


def test_bad_input_gets_a_word(infoscope, tmp_path, both):
    torch.save({"other": torch.ones(2)}, tmp_path / "other.pt")
    assert "two architectures" in infoscope("merge", "a.pt", "other.pt", code=1).stderr
