"""The default answers on any finite numbers and says where it falls back; its error reaches the truth."""

from __future__ import annotations

import math
import resource
import sys

import numpy as np
import pytest

from infoscope.measurement import Bound, Status
from infoscope.mi import SMILE, CopulaCritic, Projected, mutual_information
from infoscope.mi.estimators import copula_critic
from infoscope.mi.numerics import critic as critics
from infoscope.mi.numerics.critic import Scores
from infoscope.mi.sample import Side
from infoscope.testing.distributions import Normal, Student
from infoscope.training.fit import Diverged


def pairs(n: int, d: int, noise: float, shared: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, float]:
    """The first `shared` of d normal columns, noise added, beside d − shared columns of noise alone."""
    r = np.random.default_rng(seed)
    x, y = r.normal(size=(2, n, d))
    y[:, :shared] = x[:, :shared] + noise * y[:, :shared]
    return x, y, shared * 0.5 * math.log1p(noise**-2)


@pytest.mark.parametrize(
    ("n", "d", "noise", "shared"),
    [
        (1500, 2, 2e-2, 2),
        (1500, 1, 4e-4, 1),
        (1500, 1, 1e-5, 1),
        (600, 450, 0.3, 2),
        (400, 768, 0.3, 1),
        (300, 60, 1, 3),
    ],
)
def test_high_information_and_many_columns_are_answered_within_errors(n, d, noise, shared):
    x, y, truth = pairs(n, d, noise, shared)
    found = mutual_information(x, y, strict=False)
    assert math.isfinite(found.value)
    assert abs(found.value - truth) < 2 * found.stderr + 0.02 * truth
    if 2 * d > n / 5:
        assert Status.TOO_FEW_SAMPLES in found.status


def test_more_columns_than_examples_have_a_lower_bound():
    x, y, truth = pairs(400, 784, 0.1, 6)
    found = mutual_information(x, y, strict=False)
    assert found.bound is Bound.LOWER
    assert Status.TOO_FEW_SAMPLES in found.status
    assert found.value < truth


def test_directions_learned_elsewhere_find_nothing_in_noise():
    found = [Projected().estimate(*map(Side, np.random.default_rng(s).normal(size=(2, 200, 150))), 0) for s in range(8)]
    assert abs(np.mean([each.value for each in found])) < 0.02
    x = np.random.default_rng(0).normal(size=(300, 200))
    assert math.isnan(Projected().estimate(Side(x), Side(x), 0).value)


@pytest.mark.parametrize("n", [8, 20, 45])
def test_a_handful_of_wide_examples_is_answered_or_refused_with_a_number(n):
    x, y, _ = pairs(n, 30, 1, 1)
    if n < 40:
        with pytest.raises(ValueError, match="40 examples"):
            mutual_information(x, y)
    else:
        assert math.isfinite(mutual_information(x, y, strict=False).value)


def test_a_critic_that_diverges_leaves_the_closed_form_and_says_so(monkeypatch):
    def diverging(*_: object) -> Scores:
        raise Diverged("training diverged in epoch 3: the loss is nan; lower the learning rate")

    monkeypatch.setattr(copula_critic, "learn", diverging)
    x, y, truth = pairs(400, 2, 1, 1)
    found = mutual_information(x, y, CopulaCritic(), strict=False)
    assert Status.NOT_CONVERGED in found.status
    assert "the normal copula stands alone" in found.receipt.notes[0]
    assert abs(found.value - truth) < 3 * found.stderr


def test_blocks_of_pairs_bound_the_memory_and_keep_the_number():
    x, y, truth = pairs(1500, 1, 1, 1)
    whole, parts = (mutual_information(x, y, CopulaCritic(memory=m), strict=False) for m in (2.0**30, 2.0**20))
    assert parts.value == pytest.approx(whole.value, abs=whole.stderr / 2)
    assert abs(parts.value - truth) < 3 * parts.stderr
    scores = Scores({name: critics.torch.zeros(15_000, 1) for name in "ghuv"} | {"rho": critics.torch.zeros(1)}, True)
    blocks = scores.blocks(2.0**30)
    assert sum(len(block.factors["g"]) for block in blocks) == 15_000
    assert max(len(block.factors["g"]) for block in blocks) ** 2 * critics.BYTES_A_PAIR <= 2.0**30
    with pytest.raises(ValueError, match="memory is above 0"):
        CopulaCritic(memory=0)


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "darwin", reason="ru_maxrss counts bytes there")
def test_fifty_thousand_examples_take_less_than_a_gibibyte():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    x, y, truth = pairs(50_000, 1, 1, 1)
    found = mutual_information(x, y, strict=False)
    assert abs(found.value - truth) < 3 * found.stderr + 0.01
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**20  # KiB


def test_more_than_log_n_has_an_error_that_reaches_there():
    n = 500
    x, y, _ = pairs(n, 1, 1e-7, 1)
    found = mutual_information(x, y, strict=False)
    assert found.value > math.log(n)
    assert found.value - 2 * found.stderr <= math.log(n) * (1 + 1e-9) or found.status & {Status.SATURATED}


def test_smile_above_the_entropy_of_a_label_is_flagged_and_its_error_reaches_down():
    y = np.random.default_rng(0).integers(2, size=600)
    found = mutual_information(y + 0.01 * np.random.default_rng(1).normal(size=600), y, SMILE(), strict=False)
    assert found.value > math.log(2)
    assert Status.SATURATED in found.status
    assert found.value - 2 * found.stderr < math.log(2) + 0.01


@pytest.mark.parametrize("d", [3, 10])
def test_what_the_distance_from_the_centre_tells_is_found_in_many_columns(d):
    # Student pairs of identity dispersion share their scale alone: I(X;Y) = I(‖X‖;‖Y‖).
    truth = Student(d, d, 2).information
    found = mutual_information(*Student(d, d, 2).sample(1000, np.random.default_rng(0)), strict=False)
    assert "the distances from the centre" in found.receipt.notes[0]
    assert abs(found.value - truth) < 0.2 * truth


@pytest.mark.parametrize("nats", [3.0, 5.5])
def test_high_information_through_bent_margins_is_the_normal_copula_s(nats):
    rho = math.sqrt(1 - math.exp(-2 * nats))
    x, y = Normal(1, 1, across=(rho,)).sample(800, np.random.default_rng(0))
    found = CopulaCritic().estimate(Side(np.sinh(2 * x)), Side(-np.exp(-3 * y)), 0)
    assert abs(found.value - nats) < 0.1 * nats


def test_clusters_in_many_columns_are_found_along_few_directions():
    r = np.random.default_rng(0)
    which = r.integers(3, size=600)
    x, y = (r.normal(size=(600, 10)) + 3 * r.normal(size=(3, 10))[which] for _ in "xy")
    found = mutual_information(x, y, strict=False)
    assert abs(found.value - math.log(3)) < 0.15


@pytest.mark.parametrize("seed", range(3))
def test_summaries_find_nothing_where_nothing_is(seed):
    x, y = np.random.default_rng(seed).normal(size=(2, 500, 8))
    found = mutual_information(x, y, strict=False)
    assert abs(found.value) < 2 * found.stderr + 0.02
