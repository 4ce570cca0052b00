"""Exact information of networks with noise inside: against closed forms, and along the layers."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import nn

from infoscope.data.tishby import tishby
from infoscope.dynamics.plane.network import plane_of_network
from infoscope.measurement import Bound, Status
from infoscope.mi.estimate import layer_information
from infoscope.mi.estimators.noisy import Noisy
from infoscope.models import MLP
from infoscope.observation.noise import WithNoise, with_noise
from infoscope.training.fit import fit
from infoscope.training.learner import Learner
from infoscope.training.recipe import Adam, Recipe


def gain(*factors):
    """A chain of layers on a line, each a multiplication."""
    net = nn.Sequential(*[nn.Linear(1, 1, bias=False) for _ in factors])
    for module, factor in zip(net, factors, strict=True):
        nn.init.constant_(module.weight, factor)
    return net


def test_a_layer_that_amplifies_holds_no_more_than_the_noisy_one_before_it():
    """T̂_2 = 5(X + Z_1) + Z_2 has the noise of X + N(0, v + v/25), whatever the gain."""
    v, points = 0.1, torch.tensor([[0.0], [1.0]])
    net = with_noise(gain(1.0, 5.0), v)
    method = Noisy(v, 10_000)
    found = plane_of_network(net, (points, [0, 1]), layers="*", method=method, passes=1000)
    first, second = (found.where(layer=layer)[0] for layer in "01")
    truth = [layer_information(points, [0, 1], Noisy(w, 400_000)).x_t for w in (v, v + v / 25)]
    assert (first.bound, second.bound) == (Bound.EXACT, Bound.UPPER)
    for m, true in zip((first, second), truth, strict=True):
        assert abs(m.value - true.value) < 4 * math.hypot(m.stderr, true.stderr)
    # The same layers, with noise for measuring only: all of the bit comes back.
    alone = plane_of_network(gain(1.0, 5.0), (points, [0, 1]), layers="*", method=method).where(layer="1")[0]
    assert alone.bits > 0.99
    assert Status.DATA_PROCESSING_VIOLATED in alone.status


def test_few_passes_give_an_upper_bound_that_falls_to_the_truth():
    points = torch.tensor([[0.0], [1.0]])
    net = with_noise(gain(1.0, 5.0), 0.1)
    truth = layer_information(points, [0, 1], Noisy(0.1 + 0.1 / 25, 400_000)).x_t.value
    found = [
        plane_of_network(net, (points, [0, 1]), layers="1", method=Noisy(0.1), passes=n).where()[0]
        for n in (2, 8, 64, 256)
    ]
    values = [m.value for m in found]
    assert values == sorted(values, reverse=True)
    assert all(m.bound is Bound.UPPER and m.value > truth - 3 * m.stderr for m in found)


def test_information_falls_along_the_layers_of_a_network_that_was_trained_with_noise():
    task, v = tishby()[::8], 0.01
    learner = Learner(WithNoise(MLP((8, 6, 4), "tanh"), v), Recipe(Adam(0.01), batch=64, epochs=100, patience=None))
    trained = fit(learner, task)
    assert trained.losses[-1] < 0.5 * task.label_entropy
    net = learner.starting_from(trained.weights).network(task.shape, 2, 0)
    record = plane_of_network(net, task, method=Noisy(v, 4096), passes=16)
    for quantity in (0, 1):
        along = [record.where(layer=layer)[quantity] for layer in ("act1", "act2", "act3", "fc4")]
        assert all(Status.DATA_PROCESSING_VIOLATED not in m.status for m in along)
        for a, b in itertools.pairwise(along):
            assert b.value <= a.value + 2 * math.hypot(a.stderr, b.stderr)
        assert along[-1].value + 2 * along[-1].stderr < along[0].value
    assert along[0].bits > 0.5  # so that there is something to lose


def test_measuring_with_another_variance_than_the_network_has_is_refused():
    with pytest.raises(ValueError, match=r"noise has variance 0.1 and Noisy's is 0.2; data processing"):
        plane_of_network(with_noise(gain(1.0, 1.0), 0.1), (torch.zeros(4, 1), [0, 1, 0, 1]), method=Noisy(0.2))
    with pytest.raises(ValueError, match="passes is 1"):
        plane_of_network(gain(1.0), (torch.zeros(4, 1), [0, 1, 0, 1]), passes=1)
