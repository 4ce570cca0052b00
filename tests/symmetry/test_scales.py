from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from infoscope.models import MLP, CifarResNet, PreActResNet, SmallCNN
from infoscope.symmetry import align, balance, permutation_groups, scale_groups
from infoscope.symmetry.permutations import same_function, trial
from infoscope.symmetry.scales import balance_all

SHAPE = (3, 12, 12)


def conv(a: int, b: int) -> nn.Conv2d:
    return nn.Conv2d(a, b, 3, padding=1)


class Residual(nn.Module):
    """Units that feed themselves: each balances its incoming weights against outgoing ones in the same tensor."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x).relu()
        return self.c(x + self.b(x).relu())


NETWORKS = {
    "mlp": (lambda: MLP((30, 50))((8,), 4), (8,), [30, 50], []),
    "cnn": (lambda: SmallCNN((4, 6, 8), 10)(SHAPE, 4), SHAPE, [4, 6, 8, 10], []),
    "residual": (Residual, (4,), [6], []),
    "batch norm": (
        lambda: nn.Sequential(conv(3, 5), nn.BatchNorm2d(5), nn.LeakyReLU(), nn.Flatten(), nn.Linear(720, 2)),
        SHAPE, [5], [5]),
    "resnet": (lambda: CifarResNet(8)(SHAPE, 4), SHAPE, [16, 16, 32, 16, 64, 32], [16, 16, 16, 32, 32, 64, 64]),
    "preact": (lambda: PreActResNet(11, (4, 6, 8))(SHAPE, 4), SHAPE,
               [16, 4, 4, 16, 6, 6, 24, 8, 8, 32], [16, 16, 4, 4, 24, 6, 6, 32, 8, 8]),
}  # fmt: skip


def drawn(scales, seed: int) -> list[Tensor]:
    draws = torch.Generator().manual_seed(seed)
    groups = (*scales.balanced, *scales.normalised)
    return [0.2 + 3 * torch.rand(g.size, generator=draws, dtype=torch.float64) for g in groups]


def between(a, b, names) -> float:
    return sum(float((a[k] - b[k]).double().square().sum()) for k in names) ** 0.5


def without_epsilon(network: nn.Module) -> nn.Module:
    for module in network.modules():
        if isinstance(module, (nn.BatchNorm2d, nn.BatchNorm1d)):
            module.eps = 0.0
    return network


@pytest.mark.parametrize("name", NETWORKS)
def test_rescaled_copies_become_one_and_keep_their_function(name):
    factory, shape, balanced, normalised = NETWORKS[name]
    network = factory()
    scales = scale_groups(network, shape)
    assert sorted(g.size for g in scales.balanced) == sorted(balanced)
    assert sorted(g.size for g in scales.normalised) == sorted(normalised)
    assert scales.fixed == ()
    tried, x = trial(without_epsilon(network), shape)
    weights = tried.state_dict()
    copy = scales.scaled(weights, drawn(scales, 1))
    assert same_function(tried, x, copy, tolerance=1e-10)
    assert between(weights, copy, scales.parameters) > 0.5
    first, second = balance(weights, scales), balance(copy, scales)
    assert between(first, second, scales.parameters) < 1e-10
    assert same_function(tried, x, first, tolerance=1e-10)


@pytest.mark.parametrize("name", ["mlp", "residual"])
def test_balanced_weights_are_the_shortest_of_their_function(name):
    factory, shape, *_ = NETWORKS[name]
    network = factory().double()
    scales = scale_groups(network, shape)
    best = balance(network.state_dict(), scales)
    length = between(best, {k: 0 * v for k, v in best.items()}, best)
    for seed in range(20):
        factors = [(0.01 * f).exp() for f in drawn(scales, seed)]
        copy = scales.scaled(best, factors)
        assert between(copy, {k: 0 * v for k, v in copy.items()}, copy) > length


def test_a_balanced_unit_has_equal_norms_and_a_normalised_one_has_norm_one():
    factory, shape, *_ = NETWORKS["mlp"]
    network = factory().double()
    found = balance(network.state_dict(), scale_groups(network, shape))
    made = found["fc1.weight"].square().sum(1) + found["fc1.bias"].square()
    assert torch.allclose(made, found["fc2.weight"].square().sum(0), rtol=1e-10)
    factory, shape, *_ = NETWORKS["batch norm"]
    network = factory().double()
    found = balance(network.state_dict(), scale_groups(network, shape))
    assert torch.allclose(
        found["0.weight"].flatten(1).square().sum(1) + found["0.bias"].square(), torch.ones(5).double()
    )


def test_with_its_epsilon_batch_normalisation_changes_by_that_much():
    factory, shape, *_ = NETWORKS["resnet"]
    network = factory()
    scales = scale_groups(network, shape)
    tried, x = trial(network, shape)
    moved = balance(tried.state_dict(), scales)
    assert not same_function(tried, x, moved, tolerance=1e-9)
    assert same_function(tried, x, moved, tolerance=1e-2)


def test_bent_activations_have_no_scale_to_lose():
    network = MLP((5,), "tanh")((3,), 2)
    scales = scale_groups(network, (3,))
    assert not scales.balanced
    weights = network.state_dict()
    assert all(torch.equal(v, weights[k]) for k, v in balance(weights, scales).items())


def test_an_added_constant_and_a_product_end_a_scale():
    class Shifted(nn.Module):
        def __init__(self, bend):
            super().__init__()
            self.a, self.b, self.bend = nn.Linear(3, 5), nn.Linear(5, 2), bend

        def forward(self, x: Tensor) -> Tensor:
            return self.b(self.bend(self.a(x)))

    assert not scale_groups(Shifted(lambda h: h + 1.0), (3,)).balanced
    assert not scale_groups(Shifted(lambda h: h * h), (3,)).balanced
    assert scale_groups(Shifted(lambda h: 2 * h), (3,)).balanced


def test_dead_units_stay_as_they_are():
    weights = {
        "0.weight": torch.tensor([[0.0], [2.0]]),
        "0.bias": torch.zeros(2),
        "2.weight": torch.tensor([[3.0, 8.0]]),
    }
    network = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 1, bias=False))
    found = balance(weights, scale_groups(network, (1,)))
    assert found["2.weight"].tolist()[0] == pytest.approx([3.0, 4.0])
    assert found["0.weight"].flatten().tolist() == pytest.approx([0.0, 4.0])
    assert found["0.weight"].dtype == torch.float32


def test_scales_and_places_are_taken_out_together():
    """A copy with other scales in other places is the same network: at distance 0 once both are undone."""
    factory, shape, *_ = NETWORKS["preact"]
    network = without_epsilon(factory())
    scales, groups = scale_groups(network, shape), permutation_groups(network, shape)
    tried, _ = trial(network, shape)
    weights = tried.state_dict()
    copy = groups.permuted(scales.scaled(weights, drawn(scales, 3)), groups.random(4))
    assert align(weights, copy, groups).after > 1
    assert align(balance(weights, scales), balance(copy, scales), groups).after < 1e-10


def test_stacked_networks_and_bad_ones():
    factory, shape, *_ = NETWORKS["mlp"]
    network = factory().double()
    scales = scale_groups(network, shape)
    weights = network.state_dict()
    copies = [weights, scales.scaled(weights, drawn(scales, 0))]
    stacked = balance_all({k: torch.stack([c[k] for c in copies]) for k in weights}, scales)
    assert all(torch.allclose(v[0], v[1], atol=1e-12) for v in stacked.values())
    with pytest.raises(ValueError, match=r"fc1\.bias has NaN"):
        balance(weights | {"fc1.bias": weights["fc1.bias"] * torch.nan}, scales)
    with pytest.raises(ValueError, match=r"lack fc1\.weight"):
        balance({}, scales)
    with pytest.raises(ValueError, match="allow more with `most`"):
        balance(weights, scales, most=1)
