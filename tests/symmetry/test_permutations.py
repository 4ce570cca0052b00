from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from infoscope.models import MLP, CifarResNet, LeNet5, PreActResNet, SmallCNN
from infoscope.symmetry import permutation_groups
from infoscope.symmetry.permutations import same_function, trial
from infoscope.symmetry.torch_rules import PLAIN

SHAPE = (3, 12, 12)


class Odd(nn.Module):
    """A module around any function of its layers."""

    def __init__(self, forward, **layers: nn.Module | nn.Parameter):
        super().__init__()
        for name, layer in layers.items():
            setattr(self, name, layer)
        self.run = forward

    def forward(self, x: Tensor) -> Tensor:
        return self.run(self, x)


def conv(a: int, b: int, **options) -> nn.Conv2d:
    return nn.Conv2d(a, b, 3, padding=1, **options)


def branches(m: Odd, x: Tensor) -> Tensor:
    x = torch.cat([m.a(x), m.b(x).relu()], 1)
    return m.c(x).mean((2, 3))


def sliced(m: Odd, x: Tensor) -> Tensor:
    x = m.a(x)
    return m.c(torch.cat([x[:, :6].relu(), x[:, 6:].tanh()], 1)).mean((2, 3))


def chunked(m: Odd, x: Tensor) -> Tensor:
    gate, value = m.a(x).chunk(2, 1)
    return m.c(gate.sigmoid() * value).mean((2, 3))


def reused(m: Odd, x: Tensor) -> Tensor:
    x = m.a(x)
    x += m.b(x.relu())
    return m.c(x + m.b(F.leaky_relu(x))).mean((2, 3))


def scaled(m: Odd, x: Tensor) -> Tensor:
    return m.c(m.a(x) * m.scale + 1.5).mean((2, 3))


def data_dependent(m: Odd, x: Tensor) -> Tensor:
    x = m.a(x)
    x = x.relu() if x.shape[-1] > 3 else x.tanh()
    return m.c(x).mean((2, 3))


def tokens(m: Odd, x: Tensor) -> Tensor:
    x = m.a(x).flatten(2).transpose(1, 2)
    return m.c(m.norm(x)).mean(1)


class Attention(nn.Module):
    """A layer of a transformer as people write it: three heads of four places, in one of several ways."""

    def __init__(self, way: str, classes: int):
        super().__init__()
        self.way, self.embed, self.at = way, nn.Linear(3, 12), nn.Parameter(torch.randn(1, 8, 12))
        self.first = nn.Parameter(torch.randn(1, 1, 12))  # a token of its own
        self.norm, self.qkv, self.out = nn.LayerNorm(12), nn.Linear(12, 36), nn.Linear(12, 12)
        self.again, self.up, self.down, self.head = (
            nn.LayerNorm(12), nn.Linear(12, 20), nn.Linear(20, 12), nn.Linear(12, classes))  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        h = torch.cat([self.first.expand(len(x), -1, -1), self.embed(x)], 1) + self.at
        h = h + self.out(self.attend(self.norm(h)))
        h = h + self.down(F.gelu(self.up(self.again(h))))
        return self.head(h[:, 0])

    def attend(self, h: Tensor) -> Tensor:
        n, length, width = h.shape
        if self.way == "together":
            q, k, v = self.qkv(h).reshape(n, length, 3, 3, 4).permute(2, 0, 3, 1, 4).unbind(0)
        else:
            q, k, v = (t.view(n, length, 3, 4).transpose(1, 2) for t in self.qkv(h).split(width, dim=-1))
        if self.way == "by hand":
            scores = (q @ k.transpose(-2, -1)) / 2
            scores = scores.masked_fill(torch.ones(length, length).tril() == 0, float("-inf"))
            found = F.dropout(scores.softmax(-1), 0.0) @ v
        else:
            found = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return found.transpose(1, 2).contiguous().view(n, length, width)


def encoder(shape, classes: int) -> nn.Module:
    layer = nn.TransformerEncoderLayer(12, 3, 10, dropout=0.1, batch_first=True)
    return Odd(lambda m, x: m.c(m.b(m.a(x)).mean(1)), a=nn.Linear(3, 12), b=layer, c=nn.Linear(12, classes))


# The residual stream, the heads, the places of queries with keys and of values in each, and the units in between.
HEADS = [12, 3, 4, 4, 4, 4, 4, 4]

NETWORKS = {
    "mlp": (MLP((30, 50)), (8,), [30, 50]),
    "tanh": (MLP((10, 7, 5, 4, 3), "tanh"), (12,), [10, 7, 5, 4, 3]),
    "lenet": (LeNet5(), (1, 28, 28), [6, 16, 120, 84]),
    "cnn": (SmallCNN((4, 6, 8), 10), SHAPE, [4, 6, 8, 10]),
    # The first stage's stream, its inside, the maps that each later stage adds, and their insides.
    "resnet": (CifarResNet(8), SHAPE, [16, 16, 32, 16, 64, 32]),
    "preact": (PreActResNet(11, (4, 6, 8)), SHAPE, [16, 16, 4, 4, 24, 6, 6, 32, 8, 8]),
    "branches": (lambda s, k: Odd(branches, a=conv(3, 5), b=conv(3, 7), c=conv(12, k)), SHAPE, [5, 7]),
    "slices": (lambda s, k: Odd(sliced, a=conv(3, 12), c=conv(12, k)), SHAPE, [6, 6]),
    "gate": (lambda s, k: Odd(chunked, a=conv(3, 12), c=conv(6, k)), SHAPE, [6]),
    "reused": (lambda s, k: Odd(reused, a=conv(3, 5), b=conv(5, 5), c=conv(5, k)), SHAPE, [5]),
    "depthwise": (lambda s, k: nn.Sequential(conv(3, 6), conv(6, 12, groups=6), nn.ReLU(), conv(12, k)), SHAPE, [6]),
    "parameter": (
        lambda s, k: Odd(scaled, a=conv(3, 5), c=conv(5, k), scale=nn.Parameter(torch.randn(5, 1, 1))), SHAPE, [5]),
    "branch on shape": (lambda s, k: Odd(data_dependent, a=conv(3, 5), c=conv(5, k)), SHAPE, [5]),
    "tokens": (lambda s, k: Odd(tokens, a=conv(3, 5), norm=nn.LayerNorm(5), c=nn.Linear(5, k)), SHAPE, [5]),
    "position": (
        lambda s, k: Odd(lambda m, x: m.c((m.a(x) + m.at).relu()), a=nn.Linear(3, 5), c=nn.Linear(5, k),
                         at=nn.Parameter(torch.randn(1, 7, 5))), (7, 3), [5]),
    "encoder": (encoder, (7, 3), [*HEADS, 10]),
    **{f"attention {way}": (lambda s, k, way=way: Attention(way, k), (7, 3), [*HEADS, 20])
       for way in ("by hand", "apart", "together")},
    "prelu": (lambda s, k: nn.Sequential(nn.Linear(8, 5), nn.PReLU(5), nn.Linear(5, k)), (8,), [5]),
    "pooled": (
        lambda s, k: nn.Sequential(conv(3, 5), nn.AvgPool2d(3), nn.Flatten(), nn.BatchNorm1d(80), nn.Linear(80, k)),
        SHAPE, [5]),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_all_groups_are_found_and_keep_the_function(name):
    factory, shape, sizes = NETWORKS[name]
    torch.manual_seed(0)
    network = factory(shape, 4)
    groups = permutation_groups(network, shape)
    assert sorted(group.size for group in groups) == sorted(sizes)
    assert groups.fixed == ()
    tried, x = trial(network, shape)
    moved = groups.permuted(tried.state_dict(), groups.random(seed=1))
    assert same_function(tried, x, moved, tolerance=1e-11)
    assert any(not torch.equal(v, moved[k]) for k, v in tried.state_dict().items())


def test_a_permutation_moves_unit_u_to_where_it_says():
    network = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    (group,) = permutation_groups(network, (2,))
    order = torch.tensor([2, 0, 1])
    moved = group.permuted(network.state_dict(), order)
    assert torch.equal(moved["0.weight"], network[0].weight[order])
    assert torch.equal(moved["2.weight"], network[2].weight[:, order])


def test_a_flattened_unit_moves_as_a_block():
    network = nn.Sequential(conv(1, 2), nn.Flatten(), nn.Linear(2 * 9, 1))
    (group,) = permutation_groups(network, (1, 3, 3))
    moved = group.permuted(network.state_dict(), torch.tensor([1, 0]))
    assert torch.equal(moved["2.weight"][:, :9], network[2].weight[:, 9:])


def test_the_running_statistics_move_too():
    places = {p.name for g in permutation_groups(CifarResNet(8)(SHAPE, 4), SHAPE) for p in g.places}
    assert {"bn1.running_mean", "bn1.running_var", "bn1.bias"} <= places


def test_heads_of_training_alone_are_followed():
    def run(m: Odd, x: Tensor) -> Tensor:
        x = m.a(x).relu()
        out = m.c(x)
        if m.training:
            out.head = m.head(x)  # nobody sees it leave
        return out

    network = Odd(run, a=nn.Linear(3, 5), c=nn.Linear(5, 2), head=nn.Linear(5, 4))
    (group,) = permutation_groups(network, (3,))
    assert {p.name for p in group.places} == {"a.weight", "a.bias", "c.weight", "head.weight"}


def test_what_is_not_followed_keeps_its_place_and_is_named():
    norm = nn.LocalResponseNorm(3)  # neighbours in order: no symmetry
    network = nn.Sequential(conv(3, 6), norm, conv(6, 5), nn.ReLU(), conv(5, 2))
    groups = permutation_groups(network, SHAPE)
    assert [g.size for g in groups] == [5]
    assert groups.fixed == ("local_response_norm is not followed: units that enter it keep their places",)


def test_grouped_convolutions_are_left_alone():
    network = nn.Sequential(conv(3, 6), conv(6, 6, groups=2), conv(6, 5), nn.ReLU(), conv(5, 2))
    assert [g.size for g in permutation_groups(network, SHAPE)] == [5]


def test_tied_weights_move_under_both_names():
    network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.Linear(4, 2))
    network[4] = network[2]
    (group,) = permutation_groups(network, (3,))
    tied = {"2.weight", "2.bias", "4.weight", "4.bias"}
    assert {p.name for p in group.places} == {"0.weight", "0.bias", "5.weight"} | tied


def test_units_that_the_input_enters_again_can_not_move():
    layer = nn.Linear(3, 3)
    assert len(permutation_groups(nn.Sequential(layer, nn.ReLU(), layer, nn.ReLU(), nn.Linear(3, 2)), (3,))) == 0


def test_a_rule_that_is_wrong_is_found_out(monkeypatch):
    def backwards(m: Odd, x: Tensor) -> Tensor:
        return m.c(m.a(x).flip(1) + m.b(x))

    network = Odd(backwards, a=nn.Linear(3, 5), b=nn.Linear(3, 5), c=nn.Linear(5, 2))
    assert permutation_groups(network, (3,)).fixed == (
        "flip is not followed: units that enter it keep their places",
        "add is not followed: units that enter it keep their places",
    )
    monkeypatch.setitem(PLAIN, "flip", PLAIN["relu"])
    assert permutation_groups(network, (3,)).fixed == (
        "1 groups changed the output when they were tried and keep their places",
    )


def test_weights_that_nothing_reads_are_named():
    network = Odd(lambda m, x: m.c(m.a(x)), a=nn.Linear(3, 5), c=nn.Linear(5, 2), idle=nn.Linear(7, 7))
    groups = permutation_groups(network, (3,))
    assert [g.size for g in groups] == [5]
    assert groups.fixed == ("what reads idle.weight, idle.bias is not followed: units that enter it keep their places",)


def test_reading_where_nobody_looks_is_found_out():
    def hidden(m: Odd, x: Tensor) -> Tensor:
        x = m.a(x)
        with torch._C.DisableTorchFunction():
            around = m.b(x)
        return m.c(x) + around

    network = Odd(hidden, a=nn.Linear(3, 5), b=nn.Linear(5, 2), c=nn.Linear(5, 2))
    groups = permutation_groups(network, (3,))
    assert len(groups) == 0
    assert groups.fixed[-1].startswith("1 groups changed the output")


def test_recurrent_units_keep_their_places():
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm, self.fc1, self.fc2 = nn.LSTM(3, 5, batch_first=True), nn.Linear(5, 4), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc2(self.fc1(self.lstm(x)[0][:, -1]).relu())

    groups = permutation_groups(Recurrent(), (7, 3))
    assert [g.size for g in groups] == [4]
    assert groups.fixed[0].startswith("lstm is not followed")


def test_a_rotation_of_queries_pins_heads_to_their_places():
    """What tells the places of queries apart is not followed: heads stay, and the rest moves."""

    class Rotated(Attention):
        def attend(self, h: Tensor) -> Tensor:
            n, length, width = h.shape
            q, k, v = (t.view(n, length, 3, 4).transpose(1, 2) for t in self.qkv(h).chunk(3, -1))
            turn = torch.linspace(0, 1, 4)
            found = F.scaled_dot_product_attention(q * turn.cos(), k * turn.sin(), v)
            return found.transpose(1, 2).reshape(n, length, width)

    groups = permutation_groups(Rotated("", 2), (7, 3))
    assert sorted(group.size for group in groups) == [12, 20]
    assert any("mul is not followed" in reason for reason in groups.fixed)


def test_the_network_itself_is_not_touched():
    network = CifarResNet(8)(SHAPE, 4).train()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    permutation_groups(network, torch.randn(2, *SHAPE))
    assert network.training
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
    assert all(p.requires_grad and p.dtype == torch.float32 for p in network.parameters())
