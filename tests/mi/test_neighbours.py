"""Estimators from neighbours, against closed forms and against plain versions."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import digamma
from scipy.stats import kstest

from infoscope.measurement import Status
from infoscope.mi import GKNN, KSG, LNN, LocalGaussian, Ross, mutual_information
from infoscope.mi.estimators.lnn import bias
from infoscope.mi.numerics.entropies import smooth_scores
from infoscope.mi.numerics.neighbours import count_within, nearest, nearest_euclidean

SEEDS = range(12)


def normal(rho: float, n: int, d: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    r = np.random.default_rng(seed)
    x = r.normal(size=(n, d))
    return x, rho * x + math.sqrt(1 - rho**2) * r.normal(size=(n, d))


def within(values: list[float], truth: float, errors: float = 4.0) -> None:
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    assert abs(np.mean(values) - truth) < errors * error, (np.mean(values), truth, error)


@pytest.mark.parametrize("method", [KSG(3), KSG(3, variant=2)], ids=repr)
@pytest.mark.parametrize("rho", [0.0, 0.6, 0.9])
def test_ksg_on_the_bivariate_normal(method, rho):
    values = [mutual_information(*normal(rho, 1000, 1, s), method).value for s in SEEDS]
    within(values, -0.5 * math.log(1 - rho**2))


def test_ksg_on_a_noisy_uniform():
    # Y = X + U(−ε, ε), X uniform on [0, 1]: I = ε/4 ... in closed form for ε ≤ ½: ε − log 2ε.
    values = []
    for seed in SEEDS:
        r = np.random.default_rng(seed)
        x = r.uniform(size=2000)
        values.append(mutual_information(x, x + r.uniform(-0.1, 0.1, size=2000), KSG(3)).value)
    assert np.mean(values) == pytest.approx(0.1 - math.log(0.2), abs=0.06)  # sharp edges: a bias of first order in 1/n


@pytest.mark.parametrize("shift", [0.0, 0.25, 0.5, 1.0])
def test_ross_on_overlapping_uniforms(shift):
    values = []
    for seed in SEEDS:
        r = np.random.default_rng(seed)
        y = r.permutation(np.arange(1000) % 2)
        values.append(mutual_information(r.uniform(size=1000) + shift * y, y, Ross(3), strict=False).value)
    if shift == 1:
        assert values == pytest.approx([math.log(2)] * len(SEEDS), abs=0.01)
    else:
        within(values, shift * math.log(2))


def test_ross_on_a_normal_mixture():
    values = []
    for seed in SEEDS:
        r = np.random.default_rng(seed)
        y = r.integers(2, size=1000)
        values.append(mutual_information(r.normal(size=1000) + 2 * y, y, Ross(3)).value)
    grid = np.linspace(-8, 10, 200_001)
    f = [np.exp(-((grid - m) ** 2) / 2) / math.sqrt(2 * math.pi) for m in (0, 2)]
    mixture = (f[0] + f[1]) / 2
    truth = sum(float((g * np.log(g / mixture)).sum()) for g in f) / 2 * (grid[1] - grid[0])
    within(values, truth)


@pytest.mark.parametrize("method", [KSG(), KSG(variant=2), Ross(), LNN(), GKNN(), LocalGaussian()], ids=repr)
def test_the_reported_error_is_the_spread_over_samples(method):
    found = []
    for seed in range(8 if isinstance(method, LocalGaussian) else 30):
        x, y = normal(0.7, 600, 1, seed)
        found.append(
            mutual_information(x, (y[:, 0] > 0).astype(int) if isinstance(method, Ross) else y, method, strict=False)
        )
    assert np.sqrt(np.mean([m.stderr**2 for m in found])) == pytest.approx(np.std([m.value for m in found]), rel=0.5)


@pytest.mark.parametrize("method", [KSG(), KSG(variant=2), Ross()], ids=repr)
def test_ties_are_told_and_give_the_truth(method):
    bit = np.random.default_rng(0).permutation(np.arange(2000) % 2)
    y = bit if isinstance(method, Ross) else bit.astype(float)
    found = mutual_information(bit.astype(float), y, method, strict=False)
    assert found.bits == pytest.approx(1, abs=1e-12)
    assert Status.TIES in found.status


@pytest.mark.parametrize("method", [KSG(), KSG(variant=2)], ids=repr)
@pytest.mark.parametrize("both", [True, False])
def test_half_tied_data_give_the_truth(method, both):
    # Half of the pairs are an atom at (0, 0), half are independent uniforms apart from it, or one uniform beside a
    # second atom: I = log 2 exactly.
    values = []
    for seed in SEEDS:
        r = np.random.default_rng(seed)
        atom = r.permutation(np.arange(1000) % 2)
        x, y = atom * (1 + r.uniform(size=(2, 1000)) * [[1], [both]])
        found = mutual_information(x, y, method, strict=False)
        assert Status.TIES in found.status
        values.append(found.value)
    assert np.mean(values) == pytest.approx(math.log(2), abs=4 * np.std(values, ddof=1) / math.sqrt(12) + 1 / 1000)


@pytest.mark.parametrize("method", [KSG(), KSG(variant=2), LNN(), GKNN(), LocalGaussian()], ids=repr)
def test_rounded_data_stay_finite(method):
    x, y = (np.round(side, 1) for side in normal(0.8, 500, 1, 0))
    found = mutual_information(x, y, method, strict=False)
    assert 0 < found.value < 2
    assert Status.TIES in found.status


def test_ksg_says_when_it_can_show_no_more():
    x = np.random.default_rng(0).normal(size=300)
    found = mutual_information(x, x, KSG(), strict=False)
    assert Status.SATURATED in found.status
    assert found.value == pytest.approx(digamma(300) - digamma(5))


@pytest.mark.parametrize("d", [1, 3, 15])
def test_ksg_equals_a_plain_version(d):
    x, y = normal(0.5, 150, d, 0)
    a, b = ((s - s.mean(0)) / s.std(0) for s in (x, y))
    dx, dy = (np.abs(s[:, None] - s).max(2) for s in (a, b))
    both = np.maximum(dx, dy)
    np.fill_diagonal(both, np.inf)
    radius = np.sort(both, 1)[:, 4]
    n_x, n_y = ((s < radius[:, None]).sum(1) - 1 for s in (dx, dy))
    plain = digamma(5) + digamma(150) - np.mean(digamma(n_x + 1) + digamma(n_y + 1))
    assert mutual_information(x, y, KSG(), strict=False).value == pytest.approx(plain, abs=1e-12)


@pytest.mark.parametrize("d", [1, 2, 20])
@pytest.mark.parametrize("grid", [False, True])
def test_counts_and_neighbours_equal_plain_ones(d, grid):
    points = np.random.default_rng(0).normal(size=(80, d))
    points = np.round(points, 1) if grid else points
    distance = np.abs(points[:, None] - points).max(2)
    np.fill_diagonal(distance, np.inf)
    radius = np.sort(distance, 1)[:, 6]
    assert np.array_equal(count_within(points, radius), (distance < radius[:, None]).sum(1))
    assert np.array_equal(count_within(points, radius, closed=True), (distance <= radius[:, None]).sum(1))
    found, index = nearest(points, 7)
    assert np.array_equal(found[:, -1], radius)
    assert not (index == np.arange(80)[:, None]).any()
    euclidean = np.linalg.norm(points[:, None] - points, axis=2)
    np.fill_diagonal(euclidean, np.inf)
    assert nearest_euclidean(points, 7)[0] == pytest.approx(np.sort(euclidean, 1)[:, :7], abs=1e-7)


@pytest.mark.parametrize(("rho", "d"), [(0.0, 1), (0.6, 1), (0.9, 1), (0.6, 2), (0.6, 3)])
def test_lnn_on_normals(rho, d):
    values = [mutual_information(*normal(rho, 600, d, s), LNN(), strict=False).value for s in SEEDS]
    truth = -0.5 * d * math.log(1 - rho**2)
    assert np.mean(values) == pytest.approx(truth, abs=0.06 * d)


def test_lnn_is_unbiased_where_density_is_constant():
    values = []
    for seed in SEEDS:
        points = np.random.default_rng(seed).uniform(size=(3000, 1))
        values.append(LNN().surprisals(points).mean())
    assert np.mean(values) == pytest.approx(0, abs=0.02)
    assert 0 < bias(5, 1) < 0.1


@pytest.mark.parametrize(("rho", "k"), [(0.0, 200), (0.9, 200)])
def test_lga_on_normals(rho, k):
    values = [mutual_information(*normal(rho, 1000, 1, s), LocalGaussian(k), strict=False).value for s in range(5)]
    assert np.mean(values) == pytest.approx(-0.5 * math.log(1 - rho**2), abs=0.05)


@pytest.mark.parametrize("rho", [0.0, 0.6, 0.9])
def test_gknn_on_normals_within_its_logarithm_s_bias(rho):
    # log κ stands where ψ(κ) would be unbiased: three entropies, of which one is left over, are 1/2k too low.
    values = [mutual_information(*normal(rho, 1000, 1, s), GKNN(), strict=False).value for s in SEEDS]
    within(values, -0.5 * math.log(1 - rho**2) - 1 / 40, errors=5)


def test_near_a_line_the_local_shapes_see_more_than_a_ball():
    r = np.random.default_rng(0)
    x = r.uniform(size=1000)
    y = x + 0.001 * r.uniform(size=1000)
    truth = -math.log(0.001) + 0.0005
    ball, *local = (mutual_information(x, y, m, strict=False).value for m in (KSG(), LNN(), GKNN()))
    assert all(abs(value - truth) < abs(ball - truth) / 3 for value in local)


@pytest.mark.parametrize(("method", "n", "most"), [(LNN(), 600, 0.2), (GKNN(), 600, 0.2), (LocalGaussian(), 200, 0.4)])
def test_heavy_tails_are_tamed(method, n, most):
    # Student pairs of one degree of freedom, two dimensions a side: I = 0.4319456220 nat.
    plain, tamed = [], []
    for seed in range(1 if isinstance(method, LocalGaussian) else 3):
        r = np.random.default_rng(seed)
        z = r.normal(size=(n, 4)) / np.sqrt(r.chisquare(1, size=(n, 1)))
        for scores, values in ((False, plain), (True, tamed)):
            bent = replace(method, scores=scores)
            values.append(abs(mutual_information(z[:, :2], z[:, 2:], bent, strict=False).value - 0.4319456220))
    assert np.mean(tamed) < most
    assert np.mean(tamed) < np.mean(plain) / 2


def test_smooth_scores_are_increasing_about_normal_and_blind_to_scale():
    points = np.random.default_rng(0).standard_cauchy(size=(2000, 1))
    scores = smooth_scores(points)
    assert np.array_equal(np.argsort(scores[:, 0]), np.argsort(points[:, 0]))
    assert kstest(scores[:, 0], "norm").statistic < 0.01
    assert smooth_scores(7 * points + 3) == pytest.approx(scores, abs=1e-12)


def test_too_few_examples_say_so():
    with pytest.raises(ValueError, match="needs more than 5 examples"):
        mutual_information(np.arange(4.0), np.arange(4.0) ** 2, KSG())
    with pytest.raises(ValueError, match="more neighbours than dimensions"):
        mutual_information(*normal(0.5, 100, 10, 0), GKNN(k=15))
    with pytest.raises(ValueError, match="occurs once"):
        mutual_information(np.arange(5.0), np.arange(5), Ross())
