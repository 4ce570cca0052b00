from __future__ import annotations

import pickle

import pytest
import torch
from torch import nn

from infoscope.data.tishby import tishby
from infoscope.models import MLP
from infoscope.observation.activations import activations
from infoscope.observation.architecture import Architecture
from infoscope.observation.noise import WithNoise, noise_of, with_noise, without_noise
from infoscope.run import key
from infoscope.training.fit import fit
from infoscope.training.learner import Learner
from infoscope.training.recipe import Adam, Recipe

X = torch.zeros(4000, 3)


def network():
    torch.manual_seed(0)
    return MLP((5, 4), "tanh")((3,), 2)


def test_every_layer_but_the_last_has_noise_of_the_variance_asked_for():
    seen = activations(with_noise(network(), 0.04), X)
    assert seen["act1"].var(0) == pytest.approx(torch.full((5,), 0.04).tolist(), rel=0.15)
    before = activations(with_noise(network(), 0.04), X, own_noise=False)
    assert float(before["act1"].var(0).max()) == 0.0
    assert float(before["act2"].var(0).min()) > 0.0  # the noise of the layer before
    assert torch.equal(before["fc3"], seen["fc3"])


def test_noise_is_there_in_evaluation_in_a_copy_and_after_a_journey_and_repeats_with_the_seed():
    noisy = with_noise(network(), 0.04).eval()
    assert not torch.equal(noisy(X[:3]), noisy(X[:3]))
    first = activations(noisy, X[:9], seed=1)["fc3"]
    assert torch.equal(activations(noisy, X[:9], seed=1)["fc3"], first)
    assert not torch.equal(activations(noisy, X[:9], seed=2)["fc3"], first)
    assert torch.equal(activations(pickle.loads(pickle.dumps(noisy)), X[:9], seed=1)["fc3"], first)
    assert noise_of(Architecture.of(noisy).module) == 0.04


def test_a_network_with_noise_is_another_one_to_the_store():
    plain, noisy, louder = network(), with_noise(network(), 0.04), with_noise(network(), 0.09)
    assert len({key(Architecture.of(net)) for net in (plain, noisy, louder)}) == 3


def test_noise_can_be_taken_off_and_is_never_doubled():
    noisy = with_noise(with_noise(network(), 0.04), 0.01, ["act*"])
    assert noise_of(noisy) == 0.01
    assert noise_of(without_noise(noisy)) is None
    assert torch.equal(noisy(X[:3]), network()(X[:3]))


def test_fit_trains_with_the_noise():
    task = tishby()[::32]
    recipe = Recipe(Adam(0.01), batch=32, epochs=3, patience=None)
    plain, noisy = (fit(Learner(f, recipe), task) for f in (MLP((4,)), WithNoise(MLP((4,)), 0.1)))
    assert plain.initial.keys() == noisy.initial.keys()
    assert plain.losses != noisy.losses
    assert fit(Learner(WithNoise(MLP((4,)), 0.1), recipe), task).losses == noisy.losses


def test_noise_that_cannot_be_is_refused():
    with pytest.raises(ValueError, match="variance is 0"):
        with_noise(network(), 0.0)
    with pytest.raises(ValueError, match="no layer of Sequential matches"):
        with_noise(network(), 0.1, ["conv*"])
    with pytest.raises(ValueError, match="gives a tuple; noise goes on layers"):
        with_noise(nn.Sequential(nn.GRU(3, 2)), 0.1, ["0"])(X[:2])
    net = with_noise(network(), 0.1, ["act1"])
    net.act2.register_forward_hook(next(iter(with_noise(network(), 0.2).act1._forward_hooks.values())))
    with pytest.raises(ValueError, match=r"variances \[0.1, 0.2\]"):
        noise_of(net)
