from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from infoscope.weight_distance import QMCM


def exponential(n: int, draws: np.random.Generator) -> np.ndarray:
    return draws.exponential(size=n)


def plainly(distances: list[float], threshold: float, samples: int, seed: int) -> float:
    """Algorithm 2 word for word, drawing as the product draws: in lots."""
    draws = np.random.default_rng(seed)
    y, lot = list(draws.permutation(distances)[:samples]), []
    while np.std(y, ddof=1) / np.mean(y) > threshold:
        if not lot:
            lot = list(draws.permutation(distances)[:samples])
        del y[int(np.argmax(np.abs(np.array(y) - np.mean(y))))]
        y.append(lot.pop(0))
    return float(np.mean(y))


@pytest.mark.parametrize("seed", range(5))
def test_it_is_algorithm_2_word_for_word(seed):
    distances = np.random.default_rng(100 + seed).exponential(size=500).tolist()
    found = QMCM(samples=50).estimate(distances, seed=seed)
    assert found.biased
    assert found.printed.value == pytest.approx(plainly(distances, 0.3, 50, seed), rel=1e-12)


def test_rejection_biases_the_mean_of_an_exponential_to_a_fraction():
    found = [QMCM().estimate(exponential, seed=seed) for seed in range(20)]
    printed = [f.printed.value for f in found]
    assert max(printed) < 0.3
    assert 0.08 < np.quantile(printed, 0.6) < 0.19
    assert np.mean([f.unbiased.value for f in found]) == pytest.approx(1.0, abs=4 / math.sqrt(20 * 200))
    assert all(f.biased and f.rejected > 200 for f in found)
    assert all("biased towards where they are dense" in f.printed.receipt.notes[0] for f in found)
    assert all(math.isnan(f.printed.stderr) and 0.03 < f.unbiased.stderr < 0.2 for f in found)


@pytest.mark.parametrize("variation", [0.01316, 0.02282, 0.01718, 0.1335, 0.02158, 0.12163, 0.234])
def test_the_loop_cannot_have_run_in_the_papers_table_2(variation):
    found = QMCM().estimate(lambda n, draws: draws.normal(1, variation, n), seed=0)
    assert not found.biased
    assert found.printed.value == found.unbiased.value
    assert found.printed.receipt.notes == ()
    assert found.variation == pytest.approx(variation, rel=0.2)


def test_all_distances_as_the_sample_give_their_mean():
    distances = torch.tensor([4.0, 5.0, 6.0], dtype=torch.float64)
    assert QMCM(samples=3).estimate(distances).printed.value == 5.0


def test_what_cannot_end_says_so():
    with pytest.raises(ValueError, match=r"after 10 replacements; raise the threshold"):
        QMCM(threshold=0.001, samples=20, most=10).estimate(exponential)
    with pytest.raises(ValueError, match=r"3 distances and 200 samples; give QMCM\(samples=3\)"):
        QMCM().estimate([1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="leave out networks that diverged"):
        QMCM(samples=2).estimate([1.0, math.nan])
    with pytest.raises(ValueError, match="threshold is 0"):
        QMCM(threshold=0.0)
    with pytest.raises(ValueError, match="samples is 1"):
        QMCM(samples=1)
