"""What every coder must keep, whatever it does inside. A new coder is one more row of `CODERS`."""

from __future__ import annotations

import dataclasses
import math
import random

import numpy as np
import pytest
import torch
from torch import nn

from infoscope.data.task import Task
from infoscope.prequential.codelength import model_information
from infoscope.prequential.coders import CODERS
from infoscope.prequential.encode import code, send
from infoscope.prequential.loss_curve import drive
from infoscope.prequential.mixture import mixture
from infoscope.training.learner import Learner
from infoscope.training.recipe import Recipe


@pytest.fixture(params=CODERS)
def coder(request):
    found = CODERS[request.param]
    small = {"first": 8, "recipe": Recipe(epochs=3)} if hasattr(found, "recipe") else {}
    return dataclasses.replace(found, **small)


@pytest.fixture(scope="module")
def task() -> Task:
    return Task.from_dataset("digits").shuffled(7)[:60]


def network() -> nn.Module:
    """Everything that a careless coder would leave changed: batch statistics, dropout, modes that differ."""
    net = nn.Sequential(
        nn.Flatten(), nn.Linear(64, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 10)
    )
    net[4].eval()
    return net


def given(coder) -> nn.Module | None:
    torch.manual_seed(3)
    return network() if coder.needs_network else None


def predictions(coder, task, y=None, seed=0):
    return drive(code(task.x, task.classes, coder, seed, given(coder)), task.y.numpy() if y is None else y)


def test_no_label_reaches_its_own_prediction(coder, task):
    poisoned = task.y.numpy().copy()
    poisoned[40:] = (poisoned[40:] + 1 + np.arange(20)) % 10
    assert np.array_equal(predictions(coder, task)[:41], predictions(coder, task, poisoned)[:41])


def test_the_same_seed_gives_the_same_bits(coder, task):
    assert np.array_equal(predictions(coder, task), predictions(coder, task))


def test_predictions_are_probabilities(coder, task):
    p = predictions(coder, task)
    assert p.dtype == np.float64
    assert (p > 0).all()
    assert np.allclose(p.sum(1), 1, atol=1e-12)


def test_nothing_outside_is_changed(coder, task):
    net = given(coder)
    held = None if net is None else {k: v.clone() for k, v in net.state_dict().items()}
    modes = None if net is None else [m.training for m in net.modules()]
    torch.manual_seed(11), random.seed(11), np.random.seed(11)  # noqa: NPY002
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist(), torch.get_num_threads()  # noqa: NPY002
    sender = code(task.x, task.classes, coder, 0, net)
    next(sender)
    for label in task.y[:30].tolist():
        sender.send(label)  # and is then left in the middle
        after = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist(), torch.get_num_threads()  # noqa: NPY002
        assert torch.equal(before[0], after[0])
        assert before[1:] == after[1:]
    if net is not None:
        assert modes == [m.training for m in net.modules()]
        assert all(torch.equal(held[k], v) for k, v in net.state_dict().items())


def test_one_example_and_one_class_cost_what_they_must(coder):
    one = Task.from_arrays(torch.rand(1, 1, 8, 8), [3], alphabet=[str(i) for i in range(10)])
    assert 0 < -math.log(predictions(coder, one)[0, 3]) < 2 * math.log(10)
    if not coder.needs_network:
        same = Task.from_arrays(torch.rand(5, 3), [0] * 5, alphabet=["only"])
        assert predictions(coder, same).tolist() == [[1.0]] * 5


def test_a_class_that_never_comes_is_still_possible(coder, task):
    wide = Task.from_arrays(task.x, task.y, alphabet=[str(i) for i in range(12)])
    if coder.needs_network:
        learner = Learner(lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 12)))
        curve = send(wide, coder, learner, 0)
    else:
        curve = send(wide, coder, None, 0)
    assert curve.classes == 12
    assert np.isfinite(curve.nats).all()


def test_the_information_of_a_network_against_itself_is_exactly_zero(coder, task):
    if not coder.needs_network:
        pytest.skip("a model-free code has no network")
    learner = Learner(network)
    first, again = (send(task, coder, learner, 0) for _ in range(2))
    assert model_information(first, again).value == 0.0


def test_the_mixture_is_never_much_worse_than_uniform(coder, task):
    rng = np.random.default_rng(0)
    experts = coder.experts(task.x, 10, 0, given(coder))
    count = len(next(coder.experts(task.x, 10, 0, given(coder))))
    noise = rng.integers(0, 10, len(task))
    p = drive(mixture(experts), noise)
    bits = -np.log2(p[np.arange(len(noise)), noise]).sum()
    assert bits <= len(noise) * math.log2(10) + math.log2(count + 4) + 1e-9
