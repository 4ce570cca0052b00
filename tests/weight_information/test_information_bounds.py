"""I(w;D) where it is known: Bayesian linear regression, pools small enough to enumerate, nothing learned at all."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.special import logsumexp

from infoscope.measurement import Bound, Status
from infoscope.weight_information.gaussian import Eigenvectors, Posterior
from infoscope.weight_information.weights_and_data.aggregate_prior import SeedAverage, aggregate_information
from infoscope.weight_information.weights_and_data.information_bounds import (
    decoded_information,
    gaussian_information,
    prior_information,
    resampling_entropy,
)

S = torch.tensor([1.0, 3.0, 8.0], dtype=torch.float64)
TRUE = 2.1383330595
DOUBLE = {"dtype": torch.float64}


def regression(sets: int, turned: bool, seeds: int = 1, apart: float = 0.0) -> list[list[Posterior]]:
    """Posteriors of data sets drawn from the prior: means of variance s/(1+s), variances 1/(1+s).

    Seeds shift the means besides, by `apart` standard deviations of the noise.
    """
    draws = torch.Generator().manual_seed(0)
    vectors = torch.linalg.qr(torch.randn(3, 3, generator=draws, **DOUBLE))[0]
    basis = {"basis": Eigenvectors(vectors)} if turned else {}
    rows = []
    for _ in range(sets):
        mean = (S / (1 + S)).sqrt() * torch.randn(3, generator=draws, **DOUBLE)
        own = [mean + apart * (1 + S).rsqrt() * torch.randn(3, generator=draws, **DOUBLE) for _ in range(seeds)]
        rows.append([Posterior(vectors @ m if turned else m, 1 / (1 + S), **basis) for m in own])
    return rows


@pytest.mark.parametrize("turned", [False, True])
def test_bayesian_linear_regression(turned):
    """½ Σ log(1 + s): counted without bias, and bounded from above by what learning the prior costs more."""
    rows = regression(250, turned)
    counted, above = gaussian_information(rows), prior_information(rows)
    assert abs(counted.value - TRUE) < 3 * counted.stderr < 0.3
    assert not counted.status
    assert -3 * above.stderr < above.value - TRUE < 0.05 + 3 * above.stderr
    assert above.bound is Bound.UPPER
    mixture = aggregate_information([SeedAverage(row) for row in rows[:60]], draws=100)
    assert abs(mixture.value - TRUE) < 3 * mixture.stderr


def test_seeds_are_averaged_out():
    """Two networks a data set that differ by noise of its own size: its variance doubles, and is no information."""
    rows = regression(300, True, seeds=2, apart=1.0)
    known = 0.5 * float((S / 2).log1p().sum())
    counted = gaussian_information(rows)
    assert abs(counted.value - known) < 3 * counted.stderr
    one_each = gaussian_information([row[:1] for row in rows])
    assert one_each.value > known + 3 * one_each.stderr
    assert prior_information(rows).value > known


def test_too_few_data_sets_say_so():
    rows = regression(6, True)
    assert gaussian_information(rows).status == {Status.TOO_FEW_SAMPLES}
    with pytest.raises(ValueError, match="of 2 data sets; take 3"):
        gaussian_information(rows[:2])


def test_entropy_of_a_resampled_pool_by_enumeration():
    for n in (1, 3, 4):
        chances: dict[tuple[int, ...], float] = {}
        for drawn in itertools.product(range(n), repeat=n):
            counts = tuple(drawn.count(i) for i in range(n))
            chances[counts] = chances.get(counts, 0.0) + n**-n
        assert resampling_entropy(n) == pytest.approx(-sum(p * math.log(p) for p in chances.values()), abs=1e-12)


def test_bounds_enclose_the_information_of_an_enumerable_pool():
    """w is the mean of three draws from three numbers, and noise; I(w;D) by quadrature over all 27 data sets."""
    pool, noise = np.array([-1.0, 0.2, 2.0]), 0.3
    t = np.linspace(-6, 7, 20_001)
    means = np.array([np.mean(one) for one in itertools.product(pool, repeat=3)])
    logs = -0.5 * ((t - means[:, None]) / noise) ** 2 - math.log(noise * math.sqrt(2 * math.pi))
    mixed = logsumexp(logs, axis=0) - math.log(27)
    exact = float((np.exp(logs) * (logs - mixed)).sum(1).mean() * (t[1] - t[0]))
    draws, sets = np.random.default_rng(0), 30
    drawn = draws.integers(0, 3, (sets, 3))
    counts = torch.from_numpy(np.stack([np.bincount(one, minlength=3) for one in drawn]))
    centres = pool[drawn].mean(1)
    w = torch.from_numpy(centres[:, None] + noise * draws.normal(size=(sets, 4)))
    losses = (w[..., None] - torch.from_numpy(pool)).square()
    below = decoded_information(losses, counts)
    above = prior_information(
        [[Posterior(torch.tensor([m], **DOUBLE), torch.tensor([noise**2], **DOUBLE))] for m in centres]
    )
    assert 0.2 * exact < below.value < exact + 3 * below.stderr
    assert exact - 3 * above.stderr < above.value < 1.5 * exact
    assert exact < resampling_entropy(3)


def test_weights_that_know_nothing_tell_nothing():
    """A lower bound is not above 0 where losses have nothing to do with the data, however the decoder is chosen."""
    draws = torch.Generator().manual_seed(0)
    counts = torch.from_numpy(np.stack([np.bincount(np.random.default_rng(j).integers(0, 30, 30), minlength=30)
                                        for j in range(12)]))  # fmt: skip
    losses = torch.randn(12, 2, 30, generator=draws, **DOUBLE)
    found = decoded_information(losses, counts)
    assert found.value < 3 * found.stderr
    assert found.bound is Bound.LOWER
    with pytest.raises(ValueError, match="3 data sets"):
        decoded_information(losses[:3], counts[:3])
