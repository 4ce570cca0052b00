from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import torch

from infoscope.ensembles.stacked_weights import Networks, blocks
from infoscope.weight_distance import gaussian_codelength, weight_distances


def some(members: int = 7, seed: int = 0) -> Networks:
    draws = torch.Generator().manual_seed(seed)
    shapes = {"fc1.weight": (5, 4), "fc1.bias": (5,), "fc2.weight": (3, 5), "bn.running_mean": (5,)}
    start, end = ({k: torch.randn(members, *shape, generator=draws) for k, shape in shapes.items()} for _ in range(2))
    return Networks(start, end, seeds=tuple(range(10, 10 + members)))


def plainly(networks: Networks, names: tuple[str, ...]) -> np.ndarray:
    a, b = ([np.concatenate([w[k][i].double().numpy().ravel() for k in names])
             for i in range(len(networks.names))] for w in (networks.initial, networks.weights))  # fmt: skip
    return np.array([np.linalg.norm(x - y) for x, y in zip(a, b, strict=True)])


def test_mean_deviation_and_variation_are_those_of_numpy(monkeypatch):
    networks = some()
    known = plainly(networks, ("fc1.weight", "fc1.bias", "fc2.weight"))
    found = weight_distances(networks)
    assert found.values.dtype == torch.float64
    assert found.mean().value == pytest.approx(known.mean(), rel=1e-14)
    assert found.mean().stderr == pytest.approx(known.std(ddof=1) / math.sqrt(7), rel=1e-12)
    assert found.mean().unit == "1"
    assert found.mean().replicates == pytest.approx(dict(zip(range(10, 17), known, strict=True)), rel=1e-14)
    assert found.deviation().value == pytest.approx(known.std(ddof=1), rel=1e-12)
    assert found.variation().value == pytest.approx(known.std(ddof=1) / known.mean(), rel=1e-12)
    monkeypatch.setattr("infoscope.weight_distance.distance.blocks", partial(blocks, size=64))
    assert torch.allclose(weight_distances(networks).values, found.values, rtol=1e-15)


def test_layers_add_up_in_squares():
    found = weight_distances(some())
    assert list(found.layers) == ["fc1", "fc2"]
    assert torch.allclose(sum(v**2 for v in found.layers.values()), found.values**2, rtol=1e-14)
    table = found.table()
    assert [m.quantity for m in table.where(layer=None)] == ["d(w0,w)", "sd d(w0,w)", "c_v d(w0,w)"]
    assert table.where(layer="fc2")[0].value == pytest.approx(plainly(some(), ("fc2.weight",)).mean(), rel=1e-14)


def test_the_jackknife_is_the_plain_one():
    values = weight_distances(some()).values.numpy()
    n = len(values)
    without = [np.delete(values, i) for i in range(n)]
    for measured, statistic in (
        (weight_distances(some()).deviation(), lambda v: v.std(ddof=1)),
        (weight_distances(some()).variation(), lambda v: v.std(ddof=1) / v.mean()),
    ):
        left_out = np.array([statistic(v) for v in without])
        assert measured.stderr == pytest.approx(math.sqrt((n - 1) / n * ((left_out - left_out.mean()) ** 2).sum()))


def test_the_error_of_the_variation_is_its_spread_over_populations():
    draws = torch.Generator().manual_seed(0)
    found = []
    for _ in range(300):
        values = 10 + torch.randn(40, generator=draws, dtype=torch.float64)
        zero = {"w": torch.zeros(40, 1, dtype=torch.float64)}
        found.append(weight_distances(Networks(zero, {"w": values[:, None]})).variation())
    assert np.mean([m.stderr for m in found]) == pytest.approx(np.std([m.value for m in found]), rel=0.1)


def test_two_networks_have_no_error_of_the_deviation_and_one_has_no_deviation():
    assert math.isnan(weight_distances(some(2)).deviation().stderr)
    with pytest.raises(ValueError, match="a standard deviation needs 2 networks"):
        weight_distances(some(1)).deviation()
    assert math.isnan(weight_distances(some(1)).mean().stderr)
    assert len(weight_distances(some(1)).table().where(layer=None)) == 1


def test_shared_seeds_fall_back_to_places():
    networks = some(3)
    twice = Networks(networks.initial, networks.weights, ("a", "b", "c"), (4, 4, 4))
    assert list(weight_distances(twice).mean().replicates) == [0, 1, 2]


def test_small_moves_of_large_weights_are_not_lost():
    start = {"w": torch.full((2, 1000), 1e4, dtype=torch.float64)}
    end = {"w": start["w"] + 1e-6}
    assert weight_distances(Networks(start, end)).mean().value == pytest.approx(1e-6 * math.sqrt(1000), rel=1e-5)


def test_the_unit_fisher_is_the_euclidean_metric_and_a_fisher_is_a_weighting():
    networks = some()
    names = ("fc1.weight", "fc1.bias", "fc2.weight")
    ones = {k: torch.ones_like(networks.weights[k][0]) for k in names}
    euclidean = weight_distances(networks)
    assert torch.allclose(weight_distances(networks, fisher=ones).values, euclidean.values, rtol=1e-14)
    only = {k: v * (4.0 if k == "fc2.weight" else 0.0) for k, v in ones.items()}
    assert torch.allclose(weight_distances(networks, fisher=only).values, 2 * euclidean.layers["fc2"], rtol=1e-14)
    own = {k: torch.rand_like(networks.weights[k]) for k in names}
    known = sum((own[k] * (networks.weights[k] - networks.initial[k]) ** 2).flatten(1).double().sum(1) for k in names)
    assert torch.allclose(weight_distances(networks, fisher=own).values ** 2, known, rtol=1e-5)


def test_half_the_squared_fisher_distance_is_the_divergence_of_predictions():
    """Logistic regression: F = E[x xᵀ p(1 − p)], diagonal if inputs are one-hot; KL by the definition."""
    theta, move = torch.tensor([0.3, -1.2, 0.7], dtype=torch.float64), 1e-3
    moved = theta + move
    p, q = theta.sigmoid(), moved.sigmoid()
    fisher = {"w": p * (1 - p) / 3}
    found = weight_distances(Networks({"w": theta[None]}, {"w": moved[None]}), fisher=fisher)
    divergence = (p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()).mean()
    assert found.mean().value ** 2 / 2 == pytest.approx(float(divergence), rel=1e-3)


def test_a_fisher_must_fit():
    networks = some()
    with pytest.raises(ValueError, match="lacks fc1"):
        weight_distances(networks, fisher={})
    ones = {k: torch.ones_like(networks.weights[k][0]) for k in networks.weights}
    with pytest.raises(ValueError, match=r"fc1.bias has entries below 0"):
        weight_distances(networks, fisher=ones | {"fc1.bias": -ones["fc1.bias"]})
    with pytest.raises(ValueError, match=r"fc1.bias has shape \(2,\)"):
        weight_distances(networks, fisher=ones | {"fc1.bias": torch.ones(2)})


def test_the_codelength_is_the_mean_term_of_the_divergence_of_gaussians():
    networks, width = some(1), 0.7
    names = ("fc1.weight", "fc1.bias", "fc2.weight")
    start, end = (torch.cat([w[k][0].flatten().double() for k in names]) for w in (networks.initial, networks.weights))
    posterior, prior = torch.distributions.Normal(end, width), torch.distributions.Normal(start, width)
    known = float(torch.distributions.kl_divergence(posterior, prior).sum())
    found = gaussian_codelength(weight_distances(networks), scale=width)
    assert found.unit == "nat"
    assert found.value == pytest.approx(known, rel=1e-12)
    with pytest.raises(ValueError, match="scale is 0"):
        gaussian_codelength(weight_distances(networks), scale=0.0)
    fisher = {k: torch.ones_like(networks.weights[k][0]) for k in names}
    with pytest.raises(ValueError, match="takes Euclidean"):
        gaussian_codelength(weight_distances(networks, fisher=fisher), scale=1.0)
