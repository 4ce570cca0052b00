"""Neural bounds, probes and compression: what holds for any critic, and what these critics find."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from infoscope.measurement import Bound, Status
from infoscope.mi import (
    MINE,
    NWJ,
    SMILE,
    Compressed,
    CopulaCritic,
    Critic,
    InfoNCE,
    Largest,
    Probe,
    latent_sweep,
    layer_information,
    mutual_information,
)
from infoscope.mi.estimators.copula_critic import canonical
from infoscope.mi.estimators.probe import from_predictions
from infoscope.mi.numerics import bounds
from infoscope.mi.numerics.critic import Contrast, Known
from infoscope.training.recipe import Adam, Recipe

QUICK = Critic(recipe=Recipe(Adam(3e-3, weight_decay=0.3), batch=128, epochs=60, patience=6))


def normal(rho: float, n: int, d: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    r = np.random.default_rng(seed)
    x = r.normal(size=(n, d))
    return x, rho * x + math.sqrt(1 - rho**2) * r.normal(size=(n, d))


def log_ratio(x: np.ndarray, y: np.ndarray, rho: float) -> np.ndarray:
    """The log-ratio of normal pairs, at all pairs: the best critic there is."""
    u, v, rest = x[:, None], y[None], 1 - rho**2
    return (-0.5 * math.log(rest) - (rho**2 * (u**2 + v**2) - 2 * rho * u * v) / (2 * rest)).sum(2)


BOUNDS = {
    "dv": bounds.donsker_varadhan,
    "nwj": bounds.nwj,
    "infonce": bounds.infonce,
    "smile": lambda scores: bounds.smile(scores, 5.0),
}


@pytest.mark.parametrize("name", BOUNDS)
def test_the_best_critic_attains_the_truth(name):
    truth = -math.log(1 - 0.6**2)
    values, errors = [], []
    for seed in range(30):
        x, y = normal(0.6, 500, 2, seed)
        found = BOUNDS[name](log_ratio(x, y, 0.6))
        values.append(found.value)
        errors.append(found.stderr)
    error = np.std(values, ddof=1) / math.sqrt(30)
    assert abs(np.mean(values) - truth) < 4 * error + 0.01  # InfoNCE is log n short of exact by O(1/n)
    assert np.mean(errors) == pytest.approx(np.std(values, ddof=1), rel=0.45)


@pytest.mark.parametrize("name", BOUNDS)
def test_a_constant_critic_finds_nothing(name):
    assert BOUNDS[name](np.full((40, 40), 3.0)).value == pytest.approx(0, abs=1e-12)


def test_the_jackknife_is_that_of_leaving_one_out():
    scores = np.random.default_rng(0).normal(size=(30, 30))
    without = [bounds.donsker_varadhan(np.delete(np.delete(scores, i, 0), i, 1)).value for i in range(30)]
    error = math.sqrt(29 / 30 * np.square(without - np.mean(without)).sum())
    assert bounds.donsker_varadhan(scores).stderr == pytest.approx(error, rel=1e-9)


def test_infonce_is_never_above_log_n():
    found = bounds.infonce(1000 * np.eye(50))
    assert found.value == pytest.approx(math.log(50))
    assert found.ceiling == math.log(50)


def test_the_network_s_cross_entropy_is_the_contrastive_loss():
    x, y = (torch.tensor(side, dtype=torch.float32) for side in normal(0.5, 16, 2, 0))
    network = Contrast(2, 2, QUICK, Known(np.eye(2), np.eye(2), np.array([0.5, 0.5])))
    logits = network(torch.cat([x, y], 1))
    f = network.scores(x, y)
    assert f.detach().numpy() == pytest.approx(log_ratio(x.numpy(), y.numpy(), 0.5), abs=1e-4)
    labels = torch.arange(16)
    cross_entropy = torch.nn.functional.cross_entropy
    loss = (cross_entropy(f, labels) + cross_entropy(f.T, labels)) / 2
    assert cross_entropy(logits, torch.ones(16, dtype=torch.long)).item() == pytest.approx(loss.item(), abs=1e-6)


@pytest.mark.parametrize(
    "method", [MINE(QUICK), NWJ(QUICK), InfoNCE(QUICK), SMILE(critic=QUICK)], ids=lambda m: type(m).__name__
)
def test_neural_bounds_of_a_normal_pair(method):
    truth = -0.5 * math.log(1 - 0.8**2)
    found = mutual_information(*normal(0.8, 2000, 1, 0), method, strict=False)
    assert truth - 0.15 < found.value < truth + 3 * found.stderr
    assert found.bound is (Bound.NONE if isinstance(method, SMILE) else Bound.LOWER)
    independent = mutual_information(*normal(0.0, 2000, 1, 0), method, strict=False)
    assert abs(independent.value) < 3 * independent.stderr + 0.01


def test_neural_bounds_between_points_and_labels():
    r = np.random.default_rng(0)
    y = r.integers(3, size=900)
    found = mutual_information(r.normal(size=(900, 2)) * 0.1 + np.eye(3)[y][:, :2], y, InfoNCE(QUICK), strict=False)
    assert math.log(3) - 0.1 < found.value < math.log(3) + 0.02
    assert Status.SATURATED in found.status


def test_training_that_did_not_settle_is_flagged():
    hurried = replace(QUICK, recipe=replace(QUICK.recipe, epochs=3))
    assert Status.NOT_CONVERGED in mutual_information(*normal(0.9, 400, 1, 0), MINE(hurried), strict=False).status
    with pytest.raises(ValueError, match="60 or more"):
        mutual_information(*normal(0.9, 50, 1, 0), MINE(QUICK))


def test_the_same_seed_gives_the_same_estimate():
    pair = normal(0.9, 200, 1, 0)
    values = [mutual_information(*pair, MINE(QUICK), seed=s, strict=False).value for s in (1, 1, 2)]
    assert values[0] == values[1] != values[2]


def test_the_copula_s_critic_stays_silent_on_normal_data_in_many_dimensions():
    r = np.random.default_rng(0)
    x = r.normal(size=(3000, 20))
    y = r.normal(size=(3000, 20))
    y[:, :2] = 0.8 * x[:, :2] + 0.6 * y[:, :2]
    found = mutual_information(x, y, CopulaCritic(QUICK), strict=False)
    assert abs(found.value + math.log(1 - 0.8**2)) < 3 * found.stderr
    assert "not significant" in " ".join(found.receipt.notes)
    known = canonical(x, y)
    assert known.rho == pytest.approx([0.8, 0.8], abs=0.05)


def test_the_recommended_estimator_where_each_of_its_parts_fails():
    r = np.random.default_rng(0)
    # Student pairs with identity dispersion: uncorrelated, dependent through their scale; I = 0.19314718 for ν = 2.
    z = r.normal(size=(3000, 4)) / np.sqrt(r.chisquare(2, size=(3000, 1)) / 2)
    student = mutual_information(z[:, :2], z[:, 2:], strict=False)
    assert abs(student.value - 0.1931471806) < 0.06
    x = r.uniform(size=3000)
    edges = mutual_information(x, x + r.uniform(-0.1, 0.1, size=3000), strict=False)
    assert abs(edges.value - 1.7094379663) < 0.1
    assert "CopulaCritic gives" in edges.receipt.notes[0]  # and is not the larger
    assert isinstance(Largest().ksg.k, int)


def test_a_probe_bounds_from_below():
    r = np.random.default_rng(0)
    y = r.integers(2, size=2000)
    t = r.normal(size=(2000, 5))
    t[:, 0] += 2 * y
    truth = 0.3367  # ∫ of the two normals two deviations apart, nats; see the mixture in test_neighbours
    found = layer_information(t, y, Probe()).t_y
    assert found.bound is Bound.LOWER
    assert truth - 0.08 < found.value < truth + 3 * found.stderr
    nothing = layer_information(t, r.permutation(y), Probe()).t_y
    assert nothing.value < 2 * nothing.stderr


def test_a_probe_from_predictions_by_hand():
    p = np.array([[0.8, 0.2], [0.3, 0.7], [0.5, 0.5], [0.1, 0.9]])
    found = from_predictions(p, np.array([0, 1, 0, 1]))
    assert found.value == pytest.approx(np.log([1.6, 1.4, 1.0, 1.8]).mean())
    with pytest.raises(ValueError, match="20 or more"):
        layer_information(np.arange(6.0)[:, None], np.arange(6) % 2, Probe())


@pytest.mark.parametrize("by", ["pca", "autoencoder"])
def test_compression_keeps_what_lies_on_few_directions(by):
    r = np.random.default_rng(0)
    code = r.normal(size=(600, 2))
    x = code @ r.normal(size=(2, 40))
    y = code[:, :1] + 0.5 * r.normal(size=(600, 1))
    swept = latent_sweep(x, y, Compressed(by=by), dims=(1, 2))
    assert swept[2].value == pytest.approx(0.5 * math.log(5), abs=0.15)
    assert swept[1].value < swept[2].value
    assert f"compressed by {by}" in swept[1].receipt.notes[0]
