"""Nuisances that are planted, and what a representation tells of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from infoscope import Task, nuisance_information
from infoscope.bottleneck.nuisances import NUISANCES, Clutter, Pattern, Turn, plant

DIGITS = Task.from_dataset("digits")[:200]


@pytest.mark.parametrize("shift", [0.0, 2.0])
def test_a_nuisance_in_gaussian_noise_is_told_from_below(shift):
    """Z = ±shift/2 and noise: I(Z;N) by quadrature. The bound holds, and reaches most of it."""
    z = torch.linspace(-12, 12, 20001, dtype=torch.float64)
    each = [torch.exp(-0.5 * (z - s * shift / 2) ** 2) / math.sqrt(2 * math.pi) for s in (-1, 1)]
    mixed = (each[0] + each[1]) / 2
    truth = sum(0.5 * float(torch.trapezoid(torch.special.xlogy(p, p / mixed), z)) for p in each)
    found = []
    for seed in range(5):
        draws = np.random.default_rng(seed)
        n = draws.permutation(np.arange(240) % 2)
        points = np.stack([(n - 0.5) * shift + draws.normal(size=240), draws.normal(size=240)], 1)
        found.append(nuisance_information(points, n, strict=False))
    values = np.array([one.value for one in found])
    error = values.std(ddof=1) / math.sqrt(len(values))
    assert truth - 0.08 - 3 * error < values.mean() < truth + 3 * error
    assert np.mean([one.stderr for one in found]) == pytest.approx(values.std(ddof=1), rel=1.0, abs=0.01)


@pytest.mark.parametrize("nuisance", NUISANCES.values(), ids=NUISANCES)
def test_what_is_planted_is_there_and_knows_nothing_of_the_labels(nuisance):
    planted = plant(DIGITS, nuisance, 0)
    assert planted.task.y.equal(DIGITS.y)
    assert planted.n.bincount().tolist() == [200 // nuisance.values] * nuisance.values
    assert plant(DIGITS, nuisance, 0).n.equal(planted.n)
    assert not plant(DIGITS, nuisance, 1).n.equal(planted.n)
    first = DIGITS.array[:1].expand(nuisance.values, -1, -1, -1)
    each = nuisance.place(first, torch.arange(nuisance.values), DIGITS.array)
    assert len({row.numpy().tobytes() for row in each}) == nuisance.values


def test_a_turn_can_be_undone():
    x, n = DIGITS.array[:8], torch.arange(8) % 4
    assert torch.equal(Turn().place(Turn().place(x, n, x), (4 - n) % 4, x), x)


def test_clutter_and_patterns_are_where_they_are_said_to_be():
    x = torch.zeros(8, 1, 8, 8)
    cluttered = Clutter(8, 0.25).place(x, torch.arange(8), DIGITS.array)
    assert ((cluttered != x).sum((1, 2, 3)) == 4).all()
    pattern = Pattern(2, 3.0)
    moved = pattern.place(DIGITS.array, torch.zeros(200, dtype=torch.long), DIGITS.array) - DIGITS.array
    assert torch.allclose(moved, moved[:1].expand_as(moved), atol=1e-5)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: plant(Task.from_dataset("iris"), Turn(), 0), "take the nuisance pattern"),
        (lambda: Turn(3), "quarter turns have 4"),
        (lambda: Clutter(1), "values is at least 2"),
        (lambda: Clutter(side=0.0), "at most 0.5"),
        (lambda: Pattern(strength=0.0), "above 0"),
        (lambda: nuisance_information(torch.zeros(50, 2), torch.zeros(49).long()), "one value an example"),
        (lambda: nuisance_information(torch.zeros(30, 2), torch.zeros(30).long()), "too few"),
    ],
)
def test_bad_input_gets_a_word(call, told):
    with pytest.raises(ValueError, match=told):
        call()
