"""`infoscope weights` as a user runs it."""

from __future__ import annotations

import pytest
import torch

from infoscope import Task
from infoscope.models import MLP
from infoscope.training.learner import Learner

QUICK = ("iris", "--model", "mlp(widths=(4,))", "--weights", "mine.pt", "--rounds", 2, "--draws", 4)


@pytest.fixture
def mine(tmp_path):
    task = Task.from_dataset("iris")
    torch.save(Learner(MLP((4,))).network(task.shape, 3, 0).state_dict(), tmp_path / "mine.pt")


def test_bits_of_every_layer(measured, infoscope, mine):
    rows = measured("weights", *QUICK, "--scale", 1)
    assert {"KL(q|p)", "E_q L", "C", "E_q L quadratic"} <= set(rows)
    assert rows["C"]["unit"] == "bit"
    assert "hold" in infoscope("weights", *QUICK).stdout


def test_bad_input_gets_a_word(infoscope, mine):
    assert "prior without variance" in infoscope("weights", *QUICK, "--scale", 0, code=1).stderr
    assert "no such file" in infoscope("weights", "iris", "--weights", "none.pt", code=1).stderr
