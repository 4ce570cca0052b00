"""One rule for what later layers cannot hold, whichever way the layers come."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from infoscope.dynamics.plane.data_processing import data_processing
from infoscope.dynamics.plane.network import plane_of_network
from infoscope.dynamics.plane.saved_activations import plane_of_activations
from infoscope.dynamics.plane.saved_information import SavedInformation
from infoscope.measurement import Measurement, Status
from infoscope.mi.estimators.binning import Saxe
from infoscope.run.question import ask

NAN = math.nan


def flags(values, chain=True):
    layers = {f"T{i}": Measurement("I(T;Y)", *value) for i, value in enumerate(values)}
    return [Status.DATA_PROCESSING_VIOLATED in m.status for m in data_processing(layers, chain).values()]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([(2.0, 0.1), (1.5, 0.1), (1.7, 0.1), (1.9, 0.1), (1.0, NAN), (1.1, NAN)], [0, 0, 0, 1, 0, 1]),
        ([(1.0, 0.1), (1.28, 0.1)], [0, 0]),  # two standard errors of the difference are 0.283
        ([(1.0, 0.1), (1.29, 0.1)], [0, 1]),
        ([(1.0,), (1.0 + 1e-12,)], [0, 0]),
        ([(1.0,), (1.1,)], [0, 1]),
        ([(NAN,), (1.0,), (1.3,)], [0, 0, 1]),  # a layer that is not known switches nothing off
        ([(1.0,), (NAN,), (1.3,)], [0, 0, 1]),
        ([(1.3,), (NAN,), (1.0,)], [0, 0, 0]),
    ],
)
def test_a_layer_above_the_least_before_it_by_two_standard_errors_is_flagged(values, expected):
    assert flags(values) == [bool(one) for one in expected]


def test_where_layers_may_not_form_a_chain_a_rise_is_noted_and_no_fault():
    layers = {"a": Measurement("I(X;T)", 1.0), "b": Measurement("I(X;T)", 1.0 + math.log(2))}
    assert data_processing(layers, chain=False)["b"].receipt.notes == (
        "I(X;T) is 1.0000 bit above that of a, an earlier layer",
    )
    assert not data_processing(layers, chain=False)["b"].status
    assert data_processing(layers)["a"] == layers["a"]


def test_every_door_says_the_same_of_the_same_layers(tmp_path):
    """A chain of two layers of which the second is the first at another scale, cut into bins of one width."""
    net = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    net[0].weight.data, net[1].weight.data = torch.eye(2), 100 * torch.eye(2)
    x, y = torch.randn(128, 2, generator=torch.Generator().manual_seed(0)), np.arange(128) % 2
    np.savez(tmp_path / "saved.npz", y=y, T10=100 * x, T2=x)
    live = plane_of_network(net, (x, y), method=Saxe(1.0), layers="*")
    saved = plane_of_activations(tmp_path / "saved.npz", method=Saxe(1.0))
    assert [row.coordinates["layer"] for row in saved][::2] == ["T2", "T10"]  # the order of the chain
    asked = ask(SavedInformation(tmp_path / "saved.npz", Saxe(1.0))).record()
    for quantity in ("I(X;T)", "I(T;Y)"):
        for record in (live, saved, asked):
            found = [row.measurement for row in record if row.measurement.quantity == quantity]
            assert [Status.DATA_PROCESSING_VIOLATED in m.status for m in found] == [False, True]
            assert "an earlier layer" in found[1].receipt.notes[-1]
            assert [m.bits for m in found] == [m.bits for m in live.where() if m.quantity == quantity]


def test_arrays_of_unknown_origin_are_no_chain(tmp_path):
    x = np.random.default_rng(0).normal(size=(128, 2))
    np.savez(tmp_path / "saved.npz", y=np.arange(128) % 2, block1=x, block2=100 * x)
    later = plane_of_activations(tmp_path / "saved.npz", method=Saxe(1.0)).where(layer="block2")[0]
    assert "an earlier layer" in later.receipt.notes[-1]
    assert Status.DATA_PROCESSING_VIOLATED not in later.status
