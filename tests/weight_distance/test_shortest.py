from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from scipy.stats import norm

from infoscope.measurement import Bound
from infoscope.weight_distance import Shortest, shortest_distances, sphere_simulation, support_information

LINE = torch.tensor([0.0, 1.0, *range(1000, 1010)])[:, None]


def test_shortest_distances_are_those_of_all_pairs(monkeypatch):
    points = torch.randn(300, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    chosen = torch.randperm(300)[:40]
    known = cdist(points, points[chosen]).min(1)
    assert shortest_distances(points, chosen).values.numpy() == pytest.approx(known, abs=1e-7)
    monkeypatch.setattr("infoscope.weight_distance.shortest._ROWS", 11)
    assert shortest_distances(points, chosen).values.numpy() == pytest.approx(known, abs=1e-7)


def test_theorem_3_holds_for_nested_subsets():
    points = torch.randn(200, 5, generator=torch.Generator().manual_seed(1))
    order = torch.randperm(200, generator=torch.Generator().manual_seed(2))
    found = [shortest_distances(points, order[:k]) for k in (1, 2, 5, 20, 100, 199)]
    assert [f.ratio for f in found] == [200, 100, 40, 10, 2, 200 / 199]
    means = [f.mean for f in found]
    assert means == sorted(means, reverse=True)
    assert len(set(means)) == len(means)


def test_theorem_3_fails_for_subsets_that_are_not_nested():
    two, one = shortest_distances(LINE, [0, 1]), shortest_distances(LINE, [7])
    assert (two.ratio, two.mean) == (6.0, 836.25)
    assert (one.ratio, one.mean) == (12.0, 169.5)


def test_the_mean_on_the_support_is_larger_than_over_all_not_smaller():
    found = shortest_distances(LINE, [0, 1])
    share = 1 / found.ratio
    assert found.mean_on_support == pytest.approx(found.mean / (1 - share))
    assert found.mean_on_support == 1003.5
    assert found.mean * (1 - share) != pytest.approx(found.mean_on_support, rel=0.1)  # as it is printed


def test_information_grows_as_the_support_shrinks():
    assert support_information(12, 2).value == pytest.approx(math.log(6))
    assert support_information(12, 1).value > support_information(12, 2).value > 0
    assert support_information(12, 2).bound is Bound.EXACT
    with pytest.raises(ValueError, match="must be above 0"):
        support_information(12, 0)


def test_the_divergence_is_that_of_histograms():
    values = np.random.default_rng(0).gamma(3.0, size=5000)
    found = Shortest(torch.from_numpy(values), 1).divergence_from_normal(bins=20)
    counts, edges = np.histogram(values, 20)
    p = counts / counts.sum()
    edges[0], edges[-1] = -np.inf, np.inf
    q = np.diff(norm.cdf(edges, values.mean(), values.std(ddof=1)))
    assert found == pytest.approx(float((p[p > 0] * np.log(p[p > 0] / q[p > 0])).sum()), rel=1e-10)


def test_normal_distances_diverge_by_what_their_number_makes():
    draws = np.random.default_rng(0)
    found = [
        Shortest(torch.from_numpy(draws.normal(100, 1, 2000)), 1).divergence_from_normal(bins=50) for _ in range(40)
    ]
    assert np.mean(found) == pytest.approx(49 / 4000, rel=0.15)


def test_the_simulation_of_figures_4_and_5():
    found = {percent: sphere_simulation(percent, seed=1) for percent in (10, 95)}
    assert [len(f.support) for f in found.values()] == [9000, 500]
    assert found[10].mean_on_support == pytest.approx(found[10].mean / 0.9)
    assert found[10].mean_on_support == pytest.approx(1.168, abs=0.003)
    # Few points are left beside a large subset: most of its greater divergence is the noise of a histogram of them.
    few = Shortest(found[10].support[:500], 1)
    assert found[10].divergence_from_normal() < 0.06
    assert few.divergence_from_normal() > 1.5 * found[10].divergence_from_normal()


def test_a_proper_subset():
    with pytest.raises(ValueError, match="the subset is empty"):
        shortest_distances(LINE, [])
    with pytest.raises(ValueError, match="percent is 100"):
        sphere_simulation(100)
