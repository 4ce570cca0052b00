from __future__ import annotations

import pytest
import torch

from infoscope import Learner, Recipe, Task
from infoscope.ensembles.planning import EnsembleSpec
from infoscope.ensembles.population import Member
from infoscope.ensembles.train import Train
from infoscope.models import MLP
from infoscope.run.context import RunContext


@pytest.mark.parametrize("spec", [EnsembleSpec(), EnsembleSpec(snapshots=(0, 1)), EnsembleSpec(until=2.0)])
def test_what_stands_for_networks_in_a_dry_run_has_the_form_of_networks(spec: EnsembleSpec) -> None:
    task = Task.from_dataset("iris")
    learner = Learner(MLP((3,)), Recipe(epochs=1, patience=None))
    request = Train(tuple(Member(learner, task, seed, task) for seed in range(2)), spec)
    stand_in, trained = (vars(of) for of in (request.stand_in(), request.take(RunContext())))
    told = {"ways", "moved"}  # of how they were trained
    assert {k: _form(v) for k, v in stand_in.items() if k not in told} == {
        k: _form(v) for k, v in trained.items() if k not in told
    }


def _form(of):
    """Shapes in place of tensors, whatever holds them, and of all else the type."""
    if isinstance(of, torch.Tensor):
        return of.dtype, tuple(of.shape)
    if isinstance(of, dict):
        return {key: _form(value) for key, value in of.items()}
    return [_form(value) for value in of] if isinstance(of, tuple) else type(of)
