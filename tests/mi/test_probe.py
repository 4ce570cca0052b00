"""A probe in as many columns as examples: what a penalty finds, and that it finds nothing in noise."""

from __future__ import annotations

import numpy as np
import pytest

from infoscope.mi import Probe, mutual_information
from infoscope.mi.numerics.logistic import cross_entropy, path

TRUTH = 0.3368
"""Of a label that moves one unit normal by 2, nats: see the mixture in test_neighbours."""


def moved(n: int, d: int, turned: bool, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    r = np.random.default_rng(seed)
    y = r.integers(2, size=n)
    t = r.normal(size=(n, d))
    t[:, 0] += 2 * y
    return (t @ np.linalg.qr(r.normal(size=(d, d)))[0] if turned else t), y


@pytest.mark.parametrize("method", [Probe(), None], ids=repr)
def test_one_column_of_many_is_found(method):
    found = mutual_information(*moved(800, 200, turned=False), method, strict=False)
    assert TRUTH - 0.1 < found.value < TRUTH + 3 * found.stderr


def test_one_direction_of_many_is_found_in_part_and_noise_not_at_all():
    t, y = moved(800, 200, turned=True)
    found = mutual_information(t, y, Probe(), strict=False)
    assert 0.12 < found.value < TRUTH + 3 * found.stderr
    nothing = mutual_information(t, np.random.default_rng(1).permutation(y), Probe(), strict=False)
    assert abs(nothing.value) < 3 * nothing.stderr + 0.01


@pytest.mark.parametrize("penalty", ["squares", "absolute"])
def test_the_path_ends_where_the_gradient_does(penalty):
    t, y = moved(150, 20, turned=False)
    strength = 0.05
    *_, (w, b) = path(t, y, 2, penalty, [0.5, strength])
    p = np.exp(t @ w + b)
    gradient = t.T @ (p / p.sum(1, keepdims=True) - np.eye(2)[y]) / len(t)
    if penalty == "squares":
        assert gradient + strength * w == pytest.approx(np.zeros_like(w), abs=2e-3)
    else:
        assert np.abs(gradient).max() < strength * 1.02
        assert gradient[w != 0] == pytest.approx(-strength * np.sign(w[w != 0]), abs=2e-3)
    assert cross_entropy(t, y, w, b) < np.log(2)
