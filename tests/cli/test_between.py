"""`infoscope between` as a user runs it."""

from __future__ import annotations

import torch

from infoscope import Task
from infoscope.models import MLP
from infoscope.training.learner import Learner


def test_distances_functions_and_the_barrier(measured, infoscope, tmp_path):
    task = Task.from_dataset("iris")
    for seed in (0, 1):
        torch.save(Learner(MLP((4,))).network(task.shape, 3, seed).state_dict(), tmp_path / f"{'ab'[seed]}.pt")
    words = ("a.pt", "b.pt", "--model", "mlp(widths=(4,))", "--data", "iris", "--examples", 40, "--aligned")
    rows = measured("between", *words)
    assert {"|Δw|", "½ΔwᵀFΔw", "change by noise", "KL(A‖B)", "barrier", "CKA", "lambda_E"} <= set(rows)
    assert "b.pt lies" in infoscope("between", "a.pt", "b.pt").stdout
    assert "name data" in infoscope("between", "a.pt", "b.pt", "--aligned", code=1).stderr
