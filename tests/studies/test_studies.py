from __future__ import annotations

import doctest
import importlib
import sys
from pathlib import Path

import pytest
import torch

from infoscope.learn.fit import fit
from infoscope.learn.learner import Adam, Learner, Recipe
from infoscope.learn.task import coding_order
from infoscope.learn.tishby import tishby
from infoscope.models import MLP

STUDIES = Path(__file__).resolve().parents[2] / "studies"


@pytest.fixture
def study(monkeypatch):
    monkeypatch.syspath_prepend(str(STUDIES))
    yield importlib.import_module
    for name in {path.stem for path in STUDIES.glob("*.py")} & set(sys.modules):
        del sys.modules[name]


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_networks_trained_side_by_side_are_those_of_fit(study, activation):
    trajectories = study("trajectories")
    stack = trajectories.train(trajectories.Training(activation, epochs=3), (3, 5))
    learner = Learner(MLP((10, 7, 5, 4, 3), activation), Recipe(Adam(4e-4), batch=512, epochs=3, patience=None))
    for i, seed in enumerate((3, 5)):
        trained = fit(learner, tishby()[coding_order(4096, seed)[:3277]], seed=seed)
        for epoch, weights in ((0, trained.initial), (3, trained.weights)):
            flat = torch.cat([w.reshape(-1) for w in weights.values()])
            torch.testing.assert_close(stack.weights[i, epoch], flat, rtol=0, atol=1e-6)
        torch.testing.assert_close(stack.losses[i].tolist(), list(trained.losses), rtol=1e-5, atol=0)


def test_a_trajectory_answers_as_the_network_does(study):
    trajectories = study("trajectories")
    training = trajectories.Training("tanh", epochs=1)
    stack = trajectories.train(training, (0,))
    kept = trajectories.Trajectory(training, stack.weights[0], stack.losses[0])
    network = Learner(MLP((10, 7, 5, 4, 3), "tanh")).network((12,), 2, 0)
    with torch.no_grad():
        torch.testing.assert_close(kept.layers(0, tishby().x)[-1], network(tishby().x), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["trajectories", "layer_compression", "delta_skip"])
def test_examples(study, name):
    outcome = doctest.testmod(study(name))
    assert outcome.attempted > 0
    assert outcome.failed == 0
