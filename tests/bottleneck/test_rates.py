"""Codes of known noise: both sides of what they tell, against closed forms; and total correlation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from infoscope.bottleneck.invariance import dependence, gaussian_total_correlation
from infoscope.bottleneck.mixture_marginal import Mixture, drawn
from infoscope.bottleneck.rates import Terms, draw, kl_to_normal, least, rates, total_correlation

SIZES = (600, 3, 4)


def linear_code(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Means and deviations of a linear code of normal inputs, and the covariance of Z."""
    n, inputs, units = SIZES
    draws = torch.Generator().manual_seed(seed)
    x = torch.randn(n, inputs, generator=draws, dtype=torch.float64)
    a = torch.randn(inputs, units, generator=torch.Generator().manual_seed(99), dtype=torch.float64)
    sd = torch.tensor([0.5, 0.7, 1.0, 1.5], dtype=torch.float64)
    return x @ a, sd.expand(n, -1), a.T @ a + sd.square().diag()


def test_both_sides_of_the_information_of_a_linear_gaussian_code():
    found = [rates(*linear_code(seed)[:2], seed) for seed in range(12)]
    _, sd, cov = linear_code(0)
    truth = 0.5 * float(torch.logdet(cov) - 2 * sd[0].log().sum())
    marginal = 0.5 * float((cov.diagonal() - 1).sum()) - float(sd[0].log().sum())
    for terms, low, high in (("all", truth - 0.15, truth), ("others", truth, truth + 0.15)):
        values = np.array([getattr(one, terms).value for one in found])
        error = values.std(ddof=1) / math.sqrt(len(values))
        assert low - 3 * error < values.mean() < high + 3 * error
    paid = np.array([one.marginal.value for one in found])
    assert abs(paid.mean() - marginal) < 3 * paid.std(ddof=1) / math.sqrt(len(paid))
    assert all(one.all.value < one.others.value <= one.marginal.value for one in found)
    assert all(torch.equal(one.above.terms, one.others.terms) for one in found)


def test_no_more_than_log_n_is_said_from_below():
    mean = 1000 * torch.eye(20, dtype=torch.float64)
    found = rates(mean, torch.full_like(mean, 0.01))
    assert found.all.value == pytest.approx(math.log(20))
    assert found.others.value > found.marginal.value > found.all.value
    assert torch.equal(found.above.terms, found.marginal.terms)


def clusters(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes of four kinds of inputs, each told by far more than log n nats from others of its kind."""
    draws = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 8, generator=draws, dtype=torch.float64)
    return x + 8 * torch.eye(8, dtype=torch.float64)[torch.arange(n) % 4], torch.full_like(x, 0.05)


def test_a_learned_mixture_bounds_from_above_what_other_codes_are_too_few_for():
    """I(Z;X) = 4 log 401 + log 4, nearly: of 8 units with noise 0.05, and of the kind."""
    truth = 4 * math.log(401) + math.log(4)
    mixture = Mixture.fitted(drawn(*clusters(2000, 1), 0, 0), drawn(*clusters(400, 2), 0, 1))
    found = [rates(*clusters(200, seed), seed, mixture) for seed in range(3, 9)]
    values = np.array([one.mixture.value for one in found])
    error = values.std(ddof=1) / math.sqrt(len(values))
    assert truth - 3 * error < values.mean() < truth + 0.5
    assert all(one.others.value > truth + 5 and one.marginal.value > truth + 10 for one in found)
    assert all(torch.equal(one.above.terms, one.mixture.terms) for one in found)


def test_a_mixture_learned_from_codes_that_tell_nothing_finds_nothing():
    """Though it could have learned the noise, were that the same."""
    nothing = torch.zeros(150, 3), torch.ones(150, 3)
    found = [rates(*nothing, s, Mixture.fitted(drawn(*nothing, s, 0), drawn(*nothing, s, 1))) for s in range(12)]
    values = np.array([one.mixture.value for one in found])
    assert -3 * values.std(ddof=1) / math.sqrt(len(values)) < values.mean() < 0.05


def test_a_mixture_of_one_component_is_a_gaussian():
    draws = torch.Generator().manual_seed(0)
    x = torch.randn(3000, 2, generator=draws, dtype=torch.float64) @ torch.tensor([[3.0, 1.0], [0.0, 0.5]]).double()
    found = Mixture.fitted(x[:2000], x[2000:])
    assert len(found.weights) == 1
    exact = torch.distributions.MultivariateNormal(found.means[0], precision_matrix=found.roots[0] @ found.roots[0].T)
    assert torch.allclose(found.log_density(x[:5]), exact.log_prob(x[:5]))
    assert torch.allclose(exact.covariance_matrix, x[:2000].T.cov(), rtol=2e-3)


def test_the_least_of_several_bounds_is_not_too_low_by_chance():
    """Eight bounds of mean 0, on 40 examples each: the least mean is low by chance, choosing by others is not."""
    draws = torch.Generator().manual_seed(0)
    found, plain = [], []
    for _ in range(200):
        bounds = [Terms(torch.randn(40, generator=draws)) for _ in range(8)]
        found.append(least(bounds).value)
        plain.append(min(bound.value for bound in bounds))
    error = np.std(found, ddof=1) / math.sqrt(len(found))
    assert abs(np.mean(found)) < 3 * error
    assert np.mean(plain) < -0.15


def test_total_correlation_of_independent_units_is_not_told_to_be_above_itself():
    """Units whose marginal is N(0, 1), so that two of the upper bounds are equal in the mean; TC(Z) = 0."""
    low, high = [], []
    for seed in range(60):
        x = torch.randn(40, 8, generator=torch.Generator().manual_seed(1000 + seed), dtype=torch.float64)
        sides = total_correlation(math.sqrt(0.5) * x, torch.full_like(x, math.sqrt(0.5)), seed)
        low.append(sides[0].value)
        high.append(sides[1].value)
    errors = [np.std(side, ddof=1) / math.sqrt(len(side)) for side in (low, high)]
    assert np.mean(low) < 3 * errors[0]
    assert np.mean(high) > -3 * errors[1]
    assert np.mean(high) > np.mean(low)


def test_a_code_that_ignores_its_input_tells_nothing():
    mean, sd = torch.zeros(50, 3), torch.ones(50, 3)
    found = rates(mean, sd)
    assert [found.marginal.value, found.others.value, found.all.value] == pytest.approx([0, 0, 0], abs=1e-6)


def test_the_closed_form_of_the_rate_is_that_of_a_slow_integral():
    m, s = 0.75, 0.5
    z = torch.linspace(m - 12 * s, m + 12 * s, 20001, dtype=torch.float64)
    q = torch.exp(-0.5 * ((z - m) / s) ** 2) / (s * math.sqrt(2 * math.pi))
    log_ratio = -0.5 * ((z - m) / s) ** 2 - math.log(s) + 0.5 * z.square()
    slow = float(torch.trapezoid(q * log_ratio, z))
    closed = kl_to_normal(torch.tensor([m]).double(), torch.tensor([s]).double())
    assert float(closed) == pytest.approx(slow, abs=1e-9)


def test_total_correlation_of_gaussians_lies_between_its_bounds():
    covariance = linear_code(0)[2]
    truth = gaussian_total_correlation(covariance)
    sides = [[side.value for side in total_correlation(*linear_code(seed)[:2], seed)] for seed in range(12)]
    low, high = np.array(sides).T
    errors = [side.std(ddof=1) / math.sqrt(len(side)) for side in (low, high)]
    assert truth - 0.15 < low.mean() < truth + 3 * errors[0]
    assert truth - 3 * errors[1] < high.mean() < truth + 0.15
    copula = np.array([dependence(draw(*linear_code(seed)[:2], seed)) for seed in range(12)])
    assert abs(copula.mean() - truth) < 3 * copula.std(ddof=1) / math.sqrt(len(copula)) + 0.02


def test_gaussian_total_correlation_is_the_sum_of_entropies_less_the_joint_one():
    c = linear_code(0)[2]
    slow = 0.5 * float(c.diagonal().log().sum() - torch.logdet(c))
    assert gaussian_total_correlation(c) == pytest.approx(slow, abs=1e-12)
    assert gaussian_total_correlation(torch.eye(5)) == 0
    scale = torch.tensor([1.0, 20.0, 0.03, 5.0]).double()
    assert gaussian_total_correlation(scale[:, None] * c * scale) == pytest.approx(slow, abs=1e-12)


def test_dependence_is_below_the_total_correlation_of_what_is_no_gaussian_and_knows_no_scale():
    draws = torch.Generator().manual_seed(3)
    x = torch.randn(4000, 1, generator=draws)
    independent = torch.randn(4000, 3, generator=draws)
    assert abs(dependence(independent)) < 0.003
    ring = torch.cat([torch.cos(3 * x), torch.sin(3 * x)], 1) + 0.1 * torch.randn(4000, 2, generator=draws)
    assert dependence(ring) < 0.05  # TC of a ring is large, and correlations don't see it
    tied = torch.cat([x, x + 0.5 * torch.randn(4000, 1, generator=draws)], 1)
    assert dependence(tied) == pytest.approx(dependence(tied.exp()), abs=1e-12)
    assert math.isnan(dependence(torch.cat([x, x.exp()], 1)))


@pytest.mark.parametrize(
    ("mean", "sd", "told"),
    [
        (torch.zeros(1, 2), torch.ones(1, 2), "two or more"),
        (torch.zeros(3, 2), torch.zeros(3, 2), "not above 0"),
        (torch.full((3, 2), math.nan), torch.ones(3, 2), "NaN"),
    ],
)
def test_codes_that_are_none_are_refused(mean, sd, told):
    with pytest.raises(ValueError, match=told):
        rates(mean, sd)
