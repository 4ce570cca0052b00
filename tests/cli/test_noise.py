"""`infoscope noise` as a user runs it."""

from __future__ import annotations

import torch

from infoscope import Task
from infoscope.models import MLP
from infoscope.training.learner import Learner


def test_loss_against_noise_of_every_layer(measured, tmp_path):
    task = Task.from_dataset("iris")
    torch.save(Learner(MLP((4,))).network(task.shape, 3, 0).state_dict(), tmp_path / "mine.pt")
    rows = measured("noise", "mine.pt", "iris", "--model", "mlp(widths=(4,))", "--scales", 0.1, 1, "--replicates", 2)
    assert {"loss", "loss rise", "loss rise, predicted", "noise tolerated"} <= set(rows)
    assert rows["loss rise"]["receipt"]["seeds"] == [0, 1]
