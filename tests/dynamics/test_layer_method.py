from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from infoscope.dynamics.plane.layer_method import FittedBins, following
from infoscope.dynamics.plane.network import plane_of_network
from infoscope.dynamics.plane.specification import LayerSpecification
from infoscope.measurement import Status
from infoscope.mi import IDNNS, Adaptive, Saxe, Uniform
from infoscope.mi.methods import METHODS

X = torch.linspace(-1, 1, 100)[:, None]
Y = (X[:, 0] > 0).long()


def teller() -> nn.Sequential:
    """A network whose logits, ±20, tell the class; one tanh is called twice."""
    network = nn.Sequential(nn.Linear(1, 2), nn.Tanh(), nn.Linear(2, 2), nn.Sigmoid(), nn.Linear(2, 2))
    with torch.no_grad():
        for linear, scale in ((network[0], 50.0), (network[2], 9.0), (network[4], 40.0)):
            linear.weight.copy_(scale * (torch.eye(2) if linear.in_features == 2 else torch.ones(2, 1)))
            linear.bias.zero_()
        network[4].bias.fill_(-20.0)
    return network


def measured(network: nn.Module, **options):
    record = plane_of_network(network, (X, Y), **options)
    return {(row.coordinates["layer"], row.measurement.quantity): row.measurement for row in record}


def test_every_layer_is_measured_by_bins_that_fit_it():
    found = measured(teller())
    assert {layer: m.receipt.method for (layer, what), m in found.items() if what == "I(T;Y)"} == {
        "1": "Uniform(n=30, range=(-1.0, 1.0))",
        "3": "Uniform(n=30, range=(0.0, 1.0))",
        "4": "Uniform(n=30, range='layer')",
    }
    assert all(m.bits == pytest.approx(1, abs=1e-12) for (_, what), m in found.items() if what == "I(T;Y)")
    assert not any(Status.OUT_OF_RANGE in m.status for m in found.values())


def test_a_papers_bins_are_for_its_layers_alone():
    found = measured(teller(), method=FittedBins(tanh=IDNNS()))
    assert found["1", "I(T;Y)"].receipt.method == "IDNNS(bins=30)"
    assert found["4", "I(T;Y)"].bits == pytest.approx(1, abs=1e-12)
    false = measured(teller(), method=IDNNS())["4", "I(T;Y)"]
    assert (false.value, false.stderr) == (0, 0)
    assert Status.OUT_OF_RANGE in false.status


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.act = nn.Linear(1, 1), nn.Tanh()

    def forward(self, x):
        return self.act(self.fc(self.act(self.fc(x))))


def test_a_module_that_is_called_twice_keeps_its_range():
    found = measured(Twice(), layers=["act"])
    assert {layer for layer, _ in found} == {"act", "act#2"}
    assert {m.receipt.method for m in found.values()} == {"Uniform(n=30, range=(-1.0, 1.0))"}


def test_activations_of_nobody_are_cut_over_what_is_seen():
    assert LayerSpecification().method_for(None) == Uniform(30, "layer")
    assert LayerSpecification(Saxe()).method_for(nn.Tanh()) == Saxe()


@pytest.mark.parametrize(
    ("method", "follows"),
    [
        *((method, False) for method in (IDNNS(), Saxe(), Uniform(), METHODS["kde-upper"], METHODS["quantised"])),
        *((method, True) for method in (Uniform(9, "neuron"), Adaptive(), FittedBins())),
    ],
    ids=repr,
)
def test_which_units_follow_a_layers_scale(method, follows):
    assert bool(following(method)) is follows
    if follows:
        cut = method.of(None) if isinstance(method, FittedBins) else method
        t = np.random.default_rng(0).normal(size=(50, 1))
        assert np.array_equal(cut.cut(t)(t), cut.cut(8 * t)(8 * t))
