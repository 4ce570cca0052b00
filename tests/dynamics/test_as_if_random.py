from __future__ import annotations

import math

import pytest
import torch

from infoscope.data.task import Task
from infoscope.data.tishby import tishby
from infoscope.dynamics.plane.as_if_random import LateWeights, activations_of, as_if_random
from infoscope.mi.estimators.binning import Uniform
from infoscope.models import MLP
from infoscope.observation.activations import Activations
from infoscope.training.fit import fit
from infoscope.training.learner import Learner
from infoscope.training.recipe import Adam, Recipe

N, BITS = 64, 6
NUMBERS = torch.arange(N)
TASK = Task.from_arrays(NUMBERS[:, None].float(), (NUMBERS >= N // 2).long())
BINS = Uniform(N, (0.0, float(N)))


def codes(mask):
    """A layer that tells every input apart, by a code that this network alone uses."""
    return Activations({"t": ((NUMBERS ^ mask) + 0.5)[:, None].float()})


@pytest.mark.parametrize("hidden", range(BITS + 1))
def test_networks_that_disagree_on_k_bits_hide_exactly_k_bits(hidden):
    (place,) = as_if_random([codes(mask) for mask in range(2**hidden)], TASK, BINS)
    assert place.x_t.bits == pytest.approx(BITS - hidden, abs=1e-12)
    # The label is the highest bit, which only the last of the disagreements touches.
    assert place.t_y.bits == pytest.approx(float(hidden < BITS), abs=1e-12)


def test_one_look_or_a_network_at_rest_gives_the_entropy_of_the_layer():
    for looks in ([codes(5)], [codes(5)] * 7):
        (place,) = as_if_random(looks, TASK, BINS)
        assert place.x_t.bits == pytest.approx(BITS, abs=1e-12)


def test_noise_on_a_binary_code_gives_the_capacity_of_its_channel():
    """T flips the single bit of X in 1 of 4 networks: I(X;T) = 1 − h(1/4)."""
    task = Task.from_arrays(torch.tensor([[0.0], [1.0]]), [0, 1])
    flips = [Activations({"t": (torch.tensor([[0.0], [1.0]]) - float(i == 0)).abs()}) for i in range(4)]
    (place,) = as_if_random(flips, task, Uniform(2, (0.0, 1.0)))
    h = -(0.25 * math.log2(0.25) + 0.75 * math.log2(0.75))
    assert (place.x_t.bits, place.t_y.bits) == pytest.approx((1 - h, 1 - h), abs=1e-12)


def test_late_epochs_of_a_training_hide_at_most_their_number():
    task, late = tishby()[::32], LateWeights(4, every=2)
    learner = Learner(MLP((4, 3)), Recipe(Adam(0.01), batch=32, epochs=11, patience=None))
    trained = fit(learner, task, observers=[late])
    assert len(late.weights) == 4
    assert all(torch.equal(late.weights[-1][k], trained.weights[k]) for k in trained.weights)
    looks = activations_of(learner.network(task.shape, 2, 0), late.weights, task, ["act*"])
    pooled = as_if_random(looks, task, Uniform(30, "layer"))
    assert [p.layer for p in pooled] == ["act1", "act2"]
    assert all(0 <= p.x_t.bits <= math.log2(len(task)) for p in pooled)


def test_looks_that_do_not_belong_together_are_refused():
    with pytest.raises(ValueError, match="at least one epoch"):
        as_if_random([], TASK, BINS)
    with pytest.raises(ValueError, match="the looks differ"):
        as_if_random([codes(0), Activations({"u": torch.zeros(N, 1)})], TASK, BINS)
    with pytest.raises(ValueError, match="epochs is 0"):
        LateWeights(0)
