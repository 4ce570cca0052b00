from __future__ import annotations

import pickle

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, stack_module_state, vmap

from infoscope.data.tishby import tishby
from infoscope.mi.estimate import layer_information
from infoscope.mi.estimators.quantised import Quantised
from infoscope.models import MLP, LeNet5, PreActResNet
from infoscope.models.quantised import Grid, QuantisationAware
from infoscope.observation.activations import activations
from infoscope.observation.architecture import Architecture
from infoscope.observation.layers import layer_names
from infoscope.run import key
from infoscope.training.fit import fit
from infoscope.training.learner import Learner
from infoscope.training.recipe import Adam, Recipe

TASK = tishby()[::8]


@pytest.mark.parametrize("bits", [1, 3, 8])
@pytest.mark.parametrize("signed", [True, False])
def test_a_grid_has_exactly_so_many_levels_and_the_gradient_of_clipping(bits, signed):
    t = torch.linspace(-5, 5, 200_001, requires_grad=True)
    levels = Grid(bits, 2.0, signed)(t)
    assert len(levels.unique()) == 2**bits
    inside = (t >= (-2 if signed else -1 / 2**bits)) & (t <= (2 if signed else 2 - 1 / 2**bits))
    step = (4 if signed else 2) / 2**bits
    assert float((levels - t).detach()[inside].abs().max()) <= step / 2 + 1e-6
    levels.sum().backward()
    assert t.grad is not None
    assert torch.equal(t.grad, inside.float())
    assert torch.equal(Grid(bits, 2.0, signed)(levels), levels)


def test_a_grid_that_cannot_be_exact_is_refused():
    with pytest.raises(ValueError, match="bits is 0"):
        Grid(0, 1.0)
    with pytest.raises(ValueError, match=r"the reach is 3.0; give a power of two"):
        QuantisationAware(MLP(), relu_reach=3.0)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("bits", [1, 4, 8])
def test_fit_trains_it_and_its_information_is_exact(activation, bits):
    factory = QuantisationAware(MLP((6, 3), activation), bits)
    learner = Learner(factory, Recipe(Adam(0.02), batch=64, epochs=25, patience=None))
    trained = fit(learner, TASK)
    assert trained.losses[-1] < trained.losses[0]
    net = learner.starting_from(trained.weights).network(TASK.shape, 2, 0)
    assert layer_names(net) == ("act1", "act2", "fc3")
    seen = activations(net, TASK.x, ["act*"])
    before = TASK.label_entropy
    for t in seen.layers.values():
        assert len(t.unique()) <= 2**bits
        both = layer_information(t, TASK.y, Quantised())
        states, counts = t.unique(dim=0, return_counts=True)
        p = counts.double() / len(TASK)
        assert both.x_t.value == pytest.approx(float(-(p * p.log()).sum()), abs=1e-12)
        assert len(states) <= 2 ** (bits * t.shape[1])
        assert both.t_y.value <= before + 1e-12  # data processing holds without bins
        before = both.t_y.value


def test_equal_states_lead_to_equal_bits_wherever_they_stand_in_a_batch():
    torch.manual_seed(0)
    net = QuantisationAware(MLP((64, 64, 3), "relu"), 8)((12,), 2)
    x = TASK.x[torch.randint(0, 40, (4096,))]
    rows = activations(net, x, ["act*", "fc4"], batch=1000)
    for t in rows.layers.values():
        assert len(t.unique(dim=0)) <= len(x.unique(dim=0))


def test_one_vmap_over_several_networks_gives_the_gradients_of_each():
    nets = [QuantisationAware(MLP((5, 4), "tanh"), 3)((12,), 2) for _ in range(3)]
    parameters, buffers = stack_module_state(nets)

    def loss(weights, x, y):
        return nn.functional.cross_entropy(functional_call(nets[0], (weights, buffers), (x,)), y)

    x, y = TASK.x[:32], TASK.y[:32]
    together = vmap(grad(loss), (0, None, None))(parameters, x, y)
    for i, net in enumerate(nets):
        nn.functional.cross_entropy(net(x), y).backward()
        for name, p in net.named_parameters():
            torch.testing.assert_close(together[name][i], p.grad, rtol=1e-4, atol=1e-6)


def test_convolutions_names_copies_and_keys():
    plain, net = (f((1, 28, 28), 10) for f in (LeNet5(), QuantisationAware(LeNet5(), 4)))
    assert list(net.state_dict()) == list(plain.state_dict())
    assert layer_names(net) == layer_names(plain)
    seen = activations(net, torch.rand(5, 1, 28, 28), ["act*"])
    assert all(len(t.unique()) <= 16 for t in seen.layers.values())
    twin = pickle.loads(pickle.dumps(Architecture.of(net))).module
    x = torch.rand(2, 1, 28, 28)
    assert torch.equal(twin(x), net(x))
    others = [QuantisationAware(LeNet5(), bits)((1, 28, 28), 10) for bits in (4, 5)]
    assert len({key(Architecture.of(n)) for n in (plain, *others)}) == 3


def test_networks_that_cannot_be_quantised_are_refused():
    with pytest.raises(ValueError, match=r"the BatchNorm2d '.*' cannot be quantised"):
        QuantisationAware(PreActResNet(11))((3, 32, 32), 2)
    with pytest.raises(ValueError, match="no Tanh or ReLU module"):
        QuantisationAware(MLP(()))((12,), 2)
