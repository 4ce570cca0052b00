"""`infoscope quantise` as a user runs it."""

from __future__ import annotations

import pytest
import torch

from infoscope import Task
from infoscope.models import MLP
from infoscope.training.learner import Learner
from infoscope.weight_information import read_quantised

QUICK = ("mine.pt", "--data", "iris", "--model", "mlp(widths=(4,))", "--examples", 40)


@pytest.fixture
def mine(tmp_path):
    task = Task.from_dataset("iris")
    torch.save(Learner(MLP((4,))).network(task.shape, 3, 0).state_dict(), tmp_path / "mine.pt")


def test_bits_of_every_layer_and_a_file_within_the_budget(measured, infoscope, tmp_path, mine):
    rows = measured("quantise", *QUICK, "--bytes", 700, "--save", "small.safetensors")
    assert {"bits", "loss", "loss rise", "loss rise, predicted", "bits, allocated"} <= set(rows)
    assert rows["bits"]["unit"] == "bit"
    assert rows["file bytes"]["value"] == (tmp_path / "small.safetensors").stat().st_size <= 700
    assert set(read_quantised(tmp_path / "small.safetensors")) == set(torch.load(tmp_path / "mine.pt"))
    told = infoscope("quantise", "small.safetensors", *QUICK[1:]).stdout
    assert "a layer alone needs" in told


def test_bad_input_gets_a_word(infoscope, mine):
    assert "no such file" in infoscope("quantise", "none.pt", *QUICK[1:], code=1).stderr
    assert "10 bytes were asked for" in infoscope("quantise", *QUICK, "--bytes", 10, code=1).stderr
