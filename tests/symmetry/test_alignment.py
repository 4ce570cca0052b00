from __future__ import annotations

import pytest
import torch
from torch import nn

from infoscope.ensembles.stacked_weights import Networks, stack
from infoscope.models import MLP, CifarResNet, PreActResNet, SmallCNN
from infoscope.symmetry import align, align_all, align_jointly, aligned_ends, mean_distance, permutation_groups
from infoscope.symmetry.alignment import _Matching
from infoscope.weight_distance import weight_distances

NETWORKS = {
    "mlp30": (MLP((30, 30, 30)), (8,), 100),
    "mlp50": (MLP((50, 50, 50)), (8,), 100),
    "cnn": (SmallCNN((8, 16, 16), 32), (1, 8, 8), 20),
    "resnet": (CifarResNet(8), (3, 8, 8), 5),
    "preact": (PreActResNet(11, (4, 8, 8)), (3, 8, 8), 10),
}


def unlike(network: nn.Module) -> dict[str, torch.Tensor]:
    """Its weights; normalisations too differ from unit to unit, as they do after training."""
    weights = network.state_dict()
    return {k: v + 0.1 * torch.randn_like(v) if v.is_floating_point() else v for k, v in weights.items()}


def recovered(name: str, noise: float) -> tuple[int, int]:
    """Copies whose every unit came back to its place, and how many were tried."""
    factory, shape, seeds = NETWORKS[name]
    groups = permutation_groups(factory(shape, 4), shape)
    good = 0
    for seed in range(seeds):
        torch.manual_seed(seed)
        weights = unlike(factory(shape, 4))
        hidden = groups.random(1000 + seed)
        copy = groups.permuted(weights, hidden)
        copy = {k: v + noise * v.std() * torch.randn_like(v) if v.is_floating_point() else v for k, v in copy.items()}
        found = align(weights, copy, groups)
        good += all(torch.equal(p[q], torch.arange(len(p))) for p, q in zip(hidden, found.permutations, strict=True))
        assert noise or found.after == 0
    return good, seeds


@pytest.mark.parametrize("name", NETWORKS)
def test_a_permuted_copy_is_recovered_every_time(name):
    good, seeds = recovered(name, noise=0.0)
    assert good == seeds


@pytest.mark.parametrize("name", NETWORKS)
def test_a_noisy_permuted_copy_too(name):
    good, seeds = recovered(name, noise=0.3)
    assert good == seeds


def test_plain_coordinate_descent_does_not_always_get_there():
    """What the sorted start is for: ten narrow units a layer, weights N(0, 1)."""
    linear = [nn.Linear(a, b, bias=False) for a, b in ((2, 10), (10, 10), (10, 10), (10, 10), (10, 10))]
    network = nn.Sequential(*(m for layer in linear for m in (layer, nn.ReLU())), nn.Linear(10, 10, bias=False))
    groups = permutation_groups(network, (2,))
    plain = good = 0
    for seed in range(40):
        draws = torch.Generator().manual_seed(seed)
        weights = {k: torch.randn(v.shape, generator=draws) for k, v in network.state_dict().items()}
        copy = groups.permuted(weights, groups.random(seed))
        matching = _Matching(groups, weights, frozenset(weights))
        identity = tuple(torch.arange(10) for _ in groups)
        plain += matching.distance(groups.permuted(copy, matching.descend(copy, identity, 0))) == 0
        good += align(weights, copy, groups).after == 0
    assert good == 40
    assert plain < 40


@pytest.mark.parametrize("name", ["mlp30", "cnn", "preact"])
def test_alignment_keeps_the_function_and_only_comes_nearer(name):
    factory, shape, _ = NETWORKS[name]
    networks = [factory(shape, 4).double().eval() for _ in range(2)]
    groups = permutation_groups(networks[0], shape)
    a, b = (network.state_dict() for network in networks)
    found = align(a, b, groups)
    assert found.after < found.before
    x = torch.randn(3, *shape, dtype=torch.float64)
    with torch.no_grad():
        before = networks[1](x)
        networks[1].load_state_dict(found.weights)
        assert torch.allclose(networks[1](x), before, rtol=1e-12, atol=1e-12)
    back = align(a, found.weights, groups)
    assert back.after <= found.after


def test_the_distance_told_is_the_distance():
    factory, shape, _ = NETWORKS["preact"]
    network, other = factory(shape, 4), factory(shape, 4)
    groups = permutation_groups(network, shape)
    found = align(network.state_dict(), other.state_dict(), groups)
    networks = Networks(stack([network.state_dict()] * 2), stack([other.state_dict(), found.weights]))
    known = weight_distances(networks, parameters=network).values.tolist()
    assert [found.before, found.after] == pytest.approx(known, rel=1e-12)


def test_one_layer_is_matched_optimally():
    """A single group is one assignment problem: no permutation comes nearer."""
    from itertools import permutations

    network, other = (nn.Sequential(nn.Linear(2, 5), nn.ReLU(), nn.Linear(5, 1)) for _ in range(2))
    groups = permutation_groups(network, (2,))
    a, b = network.state_dict(), other.state_dict()
    everything = [
        sum(float((a[k] - v).double().square().sum()) for k, v in groups.permuted(b, [torch.tensor(p)]).items()) ** 0.5
        for p in permutations(range(5))
    ]
    assert align(a, b, groups).after == pytest.approx(min(everything), rel=1e-6)


def test_random_restarts_only_help():
    torch.manual_seed(0)
    factory, shape, _ = NETWORKS["mlp30"]
    a, b = (factory(shape, 4).state_dict() for _ in range(2))
    groups = permutation_groups(factory(shape, 4), shape)
    assert align(a, b, groups, restarts=5).after <= align(a, b, groups).after


def test_populations_are_aligned_member_by_member():
    factory, shape, _ = NETWORKS["mlp30"]
    start = [factory(shape, 4).state_dict() for _ in range(3)]
    groups = permutation_groups(factory(shape, 4), shape)
    end = [groups.permuted(w, groups.random(i)) for i, w in enumerate(start)]
    moved = Networks(stack(start), stack(end), ("a", "b", "c"))
    assert weight_distances(moved).mean().value > 1
    aligned = aligned_ends(moved, groups)
    assert weight_distances(aligned).values.tolist() == [0.0, 0.0, 0.0]
    assert aligned.names == ("a", "b", "c")
    copies = stack([groups.permuted(start[0], groups.random(i)) for i in range(3)])
    together = align_all(copies, groups)
    assert all(torch.equal(v[0], v[2]) for v in together.values())


def test_what_can_not_be_aligned():
    network = MLP((3,))((2,), 2)
    groups, weights = permutation_groups(network, (2,)), network.state_dict()
    with pytest.raises(ValueError, match=r"differ in fc1\.weight"):
        align(weights, {k: v[:1] for k, v in weights.items()}, groups)
    bad = {k: v * torch.nan if k == "fc2.bias" else v for k, v in weights.items()}
    with pytest.raises(ValueError, match=r"the network has NaN or infinity in fc2\.bias"):
        align(weights, bad, groups)


def test_networks_of_one_start_keep_their_order_among_each_other():
    """Distances inside of a bundle stay, and the mean of all never grows."""
    groups, stacked, bundles = two_bundles(noise=0.05)
    found = align_jointly(stacked, groups, bundles=bundles)
    assert found.after < found.before
    for a, b in ((0, 2), (1, 3)):
        before, after = (mean_distance({k: v[[a, b]] for k, v in w.items()}) for w in (stacked, found.weights))
        assert after == pytest.approx(before, rel=1e-6)


def test_permuted_copies_meet_whatever_their_bundles():
    groups, stacked, bundles = two_bundles(noise=0.0)
    for one in (bundles, None):
        assert align_jointly(stacked, groups, bundles=one).after == pytest.approx(0, abs=1e-6)


def test_networks_that_lie_well_already_stay():
    groups, stacked, _ = two_bundles(noise=0.0)
    same = {k: v[[0, 2]] for k, v in stacked.items()}
    found = align_jointly(same, groups)
    assert (found.before, found.after) == (0, 0)
    assert all(torch.equal(found.weights[k], v) for k, v in same.items())


def two_bundles(noise):
    """A network, a permuted copy, and each with noise; every second one belongs to the copy."""
    torch.manual_seed(0)
    network = MLP((20, 20))((6,), 3)
    groups = permutation_groups(network, (6,))
    own = {k: v.detach() for k, v in network.state_dict().items()}
    copy = groups.permuted(own, groups.random(3))
    parts = [{k: v + noise * torch.randn_like(v) for k, v in one.items()} for one in (own, copy, own, copy)]
    return groups, stack(parts), [0, 1, 0, 1]


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_heads_and_what_moves_inside_of_them_come_home(noise):
    """Heads first, then the places inside of each, and the residual stream: in every one of ten networks."""
    for seed in range(10):
        torch.manual_seed(seed)
        layers = [nn.TransformerEncoderLayer(16, 4, 24, dropout=0.0, batch_first=True) for _ in range(2)]
        network = nn.Sequential(nn.Linear(3, 16), *layers, nn.Linear(16, 2))
        groups, weights = permutation_groups(network, (5, 3)), unlike(network)
        assert sorted({group.size for group in groups}) == [4, 16, 24]
        copy = groups.permuted(weights, groups.random(100 + seed))
        perturbed = {k: v + noise * v.std() * torch.randn_like(v) for k, v in copy.items()}
        found = align(weights, perturbed, groups)
        left = sum(float((perturbed[k] - v).double().square().sum()) for k, v in copy.items()) ** 0.5
        assert found.after == pytest.approx(left, rel=1e-6)
