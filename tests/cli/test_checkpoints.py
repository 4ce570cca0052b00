"""`infoscope checkpoints` as a user runs it."""

from __future__ import annotations

import torch

from infoscope import Task
from infoscope.models import MLP
from infoscope.training.learner import Learner


def test_which_of_them_generalises(measured, infoscope, tmp_path):
    task = Task.from_dataset("iris")
    (tmp_path / "run").mkdir()
    for step in (10, 9):
        torch.save(Learner(MLP((4,))).network(task.shape, 3, step).state_dict(), tmp_path / "run" / f"step{step}.pt")
    words = ("checkpoints", "run", "--data", "iris:rows=0..100", "--model", "mlp(widths=(4,))", "--rounds", 2)
    rows = measured(*words, "--draws", 10, "--held-out", "iris:rows=100..150")
    assert {"KL(q|p)", "C", "lambda_E", "certificate", "loss", "tau", "excess loss"} <= set(rows)
    assert "no checkpoints" in infoscope("checkpoints", ".", *words[2:6], code=1).stderr
