from __future__ import annotations

import pickle
import random
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from infoscope.models import MLP, LeNet5, PreActResNet
from infoscope.observation.activations import Activations, activations, in_groups
from infoscope.observation.architecture import Architecture
from infoscope.observation.layers import layer_names, unwrapped
from infoscope.run import key
from infoscope.training.learner import copy_weights

X = torch.randn(7, 3, generator=torch.Generator().manual_seed(0))


class Awkward(nn.Module):
    """Counts its passes in a buffer, draws noise in eval mode, norms, drops out, gives tuples and mappings."""

    def __init__(self):
        super().__init__()
        self.first, self.norm, self.drop = nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout()
        self.recurrent = nn.GRU(4, 5, batch_first=True)
        self.named = Named()
        self.unused = nn.Linear(2, 2)
        self.register_buffer("passes", torch.zeros(()))

    def forward(self, x):
        self.passes += 1
        h = self.drop(self.norm(self.first(x))) + torch.rand(4) + np.random.rand() + random.random()  # noqa: NPY002
        out, _ = self.recurrent(h.unsqueeze(1))
        return self.named(out)["logits"]


class Named(nn.Module):
    def forward(self, x):
        return {"aux": None, "logits": x.squeeze(1)}


class Twice(nn.Module):
    """One activation module for two layers, as in torchvision's blocks."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.relu = nn.Linear(3, 3), nn.Linear(3, 3), nn.ReLU(inplace=True)

    def forward(self, x):
        return self.relu(self.b(self.relu(self.a(x))))


def mlp():
    torch.manual_seed(0)
    return MLP((5, 4), "tanh")((3,), 2)


def test_outputs_are_those_of_the_layers():
    net = mlp()
    seen = activations(net, X, batch=3)
    first = torch.tanh(net.fc1(X))
    second = torch.tanh(net.fc2(first))
    assert list(seen.layers) == ["act1", "act2", "fc3"]
    for layer, expected in zip(seen.layers, (first, second, net.fc3(second)), strict=True):
        torch.testing.assert_close(seen[layer], expected.detach())
    assert len(seen) == 7


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        (MLP((4,))((3,), 2), ["act1", "fc2"]),
        (LeNet5()((1, 28, 28), 10), ["act1", "act2", "act3", "act4", "fc3"]),
        (nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2), nn.GELU(), nn.Dropout(), nn.Linear(2, 2)), ["2", "4"]),
        (nn.Sequential(nn.ReLU(), nn.Linear(2, 2)), ["1"]),
        (nn.Sequential(nn.MultiheadAttention(4, 2)), ["0"]),
        (nn.Sequential(nn.Flatten()), ["0"]),
    ],
)
def test_by_default_every_layer_is_seen_after_its_activation(network, expected):
    assert list(layer_names(network)) == expected


def test_globs_choose_layers_in_the_order_of_the_network():
    net = mlp()
    assert layer_names(net, ["fc2", "fc*", "act1"]) == ("fc1", "act1", "fc2", "fc3")
    assert layer_names(net, "fc[13]") == ("fc1", "fc3")


def test_a_glob_that_matches_nothing_is_an_error_that_names_what_there_is():
    with pytest.raises(ValueError, match=r"no layer of Sequential matches 'conv\*'; it has: flatten, fc1"):
        activations(mlp(), X, ["fc*", "conv*"])


def test_a_layer_that_never_runs_is_an_error():
    with pytest.raises(ValueError, match=r"'unused' of Awkward never ran .*torch.compile"):
        activations(Awkward(), X, ["first", "unused"])


def test_by_default_a_layer_that_never_runs_is_left_out():
    assert "unused" in layer_names(Awkward())
    assert list(activations(Awkward(), X).layers) == ["first", "recurrent"]


def test_tuples_and_mappings_give_their_first_tensor():
    seen = activations(Awkward(), X, ["recurrent", "named"])
    assert {name: t.shape for name, t in seen.layers.items()} == {"recurrent": (7, 5), "named": (7, 5)}


def test_an_output_without_rows_is_an_error():
    class Total(nn.Module):
        def forward(self, x):
            return x.sum()

    with pytest.raises(ValueError, match=r"layer '1' gives shape \(\) for 4 examples"):
        activations(nn.Sequential(nn.Linear(3, 2), Total()), X, ["1"])


def test_a_module_that_is_called_twice_gives_two_layers_that_later_ones_do_not_overwrite():
    net = Twice()
    seen = activations(net, X, ["a", "relu"])
    assert list(seen.layers) == ["a", "relu", "relu#2"]
    torch.testing.assert_close(seen["a"], net.a(X).detach())  # although ReLU works in place on it
    torch.testing.assert_close(seen["relu"], F.relu(net.a(X)).detach())


def test_the_network_and_all_random_states_are_as_before():
    net = Awkward().train()
    net.norm.eval()
    before = copy_weights(net)
    modes = [module.training for module in net.modules()]
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    first = activations(net, X, ["first", "named"])
    second = activations(net, X, ["first", "named"])
    assert [module.training for module in net.modules()] == modes
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())
    assert not any(module._forward_hooks for module in net.modules())
    assert all(p.requires_grad and p.grad is None for p in net.parameters())
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert (np.random.get_state()[1] == states[2]).all()  # noqa: NPY002
    torch.testing.assert_close(first["named"], second["named"])


def test_hooks_are_taken_off_when_the_network_fails():
    net = mlp()
    with pytest.raises(RuntimeError):
        activations(net, torch.zeros(2, 5))
    assert not any(module._forward_hooks for module in net.modules())


class Fabric(nn.Module):
    """The shape of Lightning Fabric's wrapper, whose two parts differ when a strategy wraps one of them."""

    def __init__(self, net):
        super().__init__()
        self._forward_module = nn.DataParallel(net)
        self._original_module = net


@pytest.mark.parametrize(
    "wrap",
    [nn.DataParallel, Fabric, lambda net: torch.compile(net, backend="eager"),
     lambda net: torch.compile(nn.DataParallel(net), backend="eager")],
    ids=["DataParallel", "Fabric", "compiled", "compiled DataParallel"],
)  # fmt: skip
def test_wrappers_are_taken_off(wrap):
    net = mlp()
    wrapped = wrap(net)
    assert unwrapped(wrapped) is net
    torch.testing.assert_close(activations(wrapped, X)["act1"], activations(net, X)["act1"])


def test_a_network_that_was_compiled_in_place_and_has_run_still_answers():
    net = mlp()
    expected = activations(net, X)["act2"]
    net.compile(backend="eager")
    net(X)
    torch.testing.assert_close(activations(net, X)["act2"], expected)


def test_a_part_that_was_compiled_and_has_run_still_answers():
    net = mlp()
    net.act1 = torch.compile(net.act1, backend="eager")
    with torch.no_grad():
        net(X)
    torch.testing.assert_close(activations(net, X, "act1.*")["act1._orig_mod"], torch.tanh(net.fc1(X)).detach())


def test_a_part_called_module_is_no_wrapper_when_there_are_others():
    net = nn.Sequential(OrderedDict(module=nn.Linear(3, 2), head=nn.Linear(2, 2)))
    assert unwrapped(net) is net


def test_half_precision_comes_out_in_single():
    assert activations(mlp().bfloat16(), X.bfloat16())["fc3"].dtype == torch.float32


@pytest.mark.parametrize(("room", "groups"), [(0, 3), (7 * 4 * 9, 2), (2**20, 1)])
def test_groups_of_layers_fit_into_the_room_and_are_the_same_layers(room, groups):
    net = mlp()
    whole = activations(net, X)
    parts = list(in_groups(net, X, room=room))
    assert len(parts) == groups
    joined = {name: t for part in parts for name, t in part.layers.items()}
    assert list(joined) == list(whole.layers)
    assert all(torch.equal(joined[name], whole[name]) for name in joined)


def test_activations_travel_as_bytes_and_as_a_file(tmp_path):
    seen = activations(mlp(), X)
    back = Activations.from_bytes(seen.to_bytes())
    assert list(back.layers) == list(seen.layers)
    assert all(torch.equal(back[name], seen[name]) for name in seen.layers)
    seen.save(tmp_path / "a.npz", y=np.arange(7))
    with np.load(tmp_path / "a.npz") as file:
        assert file.files == ["act1", "act2", "fc3", "y"]


def test_an_architecture_copies_a_network_and_takes_weights():
    net = Awkward()
    architecture = Architecture.of(nn.DataParallel(net))
    other = Awkward()
    twin = architecture.with_weights(copy_weights(other))
    assert twin is not net
    expected = activations(other, X, ["first", "named"])
    found = activations(twin, X, ["first", "named"])
    assert all(torch.equal(found[name], expected[name]) for name in expected.layers)


def test_an_architecture_is_known_by_what_it_is_not_by_its_weights():
    nets = [MLP((5, 4), "tanh")((3,), 2) for _ in range(2)]
    assert key(Architecture.of(nets[0])) == key(Architecture.of(nets[1]))
    others = [MLP((4, 5), "tanh")((3,), 2), MLP((5, 4), "relu")((3,), 2), PreActResNet(11)((3, 32, 32), 2)]
    assert len({key(Architecture.of(net)) for net in (nets[0], *others)}) == 4
    kept = Architecture.of(nets[0])
    assert key(pickle.loads(pickle.dumps(kept))) == key(kept)


def test_a_network_that_cannot_be_named_says_so():
    net = nn.Sequential(nn.Linear(3, 2))
    net.scale = lambda x: x
    with pytest.raises(TypeError, match="no stable key"):
        key(Architecture.of(net))
