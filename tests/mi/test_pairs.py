"""Sides that fall into pairs of columns, turned or not: found, summed, and not seen where there are none."""

from __future__ import annotations

import math

import numpy as np
import pytest

from infoscope.mi import Pairs, mutual_information
from infoscope.mi.estimators.gaussian import wishart_bias, wishart_variance
from infoscope.mi.numerics.pairing import independent_pairs
from infoscope.mi.sample import Side


def uniforms(n: int, d: int, epsilon: float, seed: int, turned: bool) -> tuple[np.ndarray, np.ndarray, float]:
    """Uniforms and themselves with uniform noise, each side turned: d times the information of a pair."""
    r = np.random.default_rng(seed)
    x = r.uniform(size=(n, d))
    y = x + r.uniform(-epsilon, epsilon, size=x.shape)
    of_x, of_y = (np.linalg.qr(r.normal(size=(d, d)))[0] if turned else np.eye(d) for _ in "xy")
    return x @ of_x, y @ of_y, d * (epsilon - math.log(2 * epsilon) if epsilon <= 0.5 else 1 / (4 * epsilon))


@pytest.mark.parametrize("epsilon", [0.15, 0.75])
@pytest.mark.parametrize("turned", [False, True])
def test_turned_uniforms_are_turned_back(epsilon, turned):
    x, y, truth = uniforms(1500, 3, epsilon, 0, turned)
    found = mutual_information(x, y, strict=False)
    assert "fall into pairs" in found.receipt.notes[0]
    assert abs(found.value - truth) < max(2 * found.stderr, 0.05 * truth)
    assert found.stderr < 0.2 * truth


def test_pairs_found_are_the_columns_in_their_order():
    r = np.random.default_rng(0)
    x = r.normal(size=(1000, 4))
    y = (x + 0.5 * r.normal(size=x.shape))[:, [2, 0, 3, 1]]
    found = independent_pairs(x, y, r)
    assert found is not None
    assert found.how == "columns"
    assert all(np.corrcoef(found.x[:, i], found.y[:, i])[0, 1] > 0.8 for i in range(4))


@pytest.mark.parametrize("kind", ["student", "one for all", "product", "circle"])
def test_what_does_not_fall_into_pairs_is_left_whole(kind):
    r = np.random.default_rng(0)
    z = r.normal(size=(2000, 3))
    angle = r.uniform(0, 2 * np.pi, size=(2000, 1))
    sides = {
        "student": (z[:, :2] / (heavy := np.sqrt(r.chisquare(2, size=(2000, 1)))), r.normal(size=(2000, 2)) / heavy),
        "one for all": (z, np.abs(z).sum(1, keepdims=True) + r.normal(size=(2000, 1))),
        "product": (z[:, :2], z[:, :1] * z[:, 1:2] + 0.5 * z[:, 2:]),
        "circle": (np.hstack([np.cos(angle), np.sin(angle)]), np.hstack([np.cos(2 * angle), np.sin(3 * angle)])),
    }[kind]
    assert independent_pairs(*sides, r) is None


def test_canonical_directions_are_corrected_for_having_been_fitted():
    values = []
    for seed in range(12):
        r = np.random.default_rng(seed)
        z = math.sqrt(0.5) * (r.normal(size=(300, 10)) + r.normal(size=(300, 1)))  # all correlated by ½
        values.append(mutual_information(z[:, :5], z[:, 5:], strict=False).value)
    assert abs(np.mean(values) - 0.5928118328) < 4 * np.std(values, ddof=1) / math.sqrt(12)


def test_the_sum_over_pairs_is_a_sum():
    x, y, _ = uniforms(500, 3, 0.3, 0, turned=False)
    whole = Pairs().estimate(Side(x), Side(y), 0).value
    each = [Pairs().estimate(Side(x[:, [i]]), Side(y[:, [i]]), 0).value for i in range(3)]
    assert whole == pytest.approx(sum(each), abs=1e-12)


def test_wilks_variance_and_bias_are_those_of_samples():
    draws = np.random.default_rng(0)
    found = []
    for _ in range(400):
        q, _ = np.linalg.qr((z := draws.normal(size=(60, 4))) - z.mean(0))
        b, _ = np.linalg.qr((z := draws.normal(size=(60, 3))) - z.mean(0))
        found.append(-0.5 * np.log1p(-(np.linalg.svd(q.T @ b, compute_uv=False) ** 2)).sum())
    assert np.mean(found) == pytest.approx(wishart_bias(60, 4, 3), rel=0.06)
    assert np.var(found) == pytest.approx(wishart_variance(60, 4, 3), rel=0.3)
