import math

import numpy as np
import pytest
import torch
from scipy.special import logsumexp

from infoscope.measurement import Status
from infoscope.weight_information.gaussian import (
    Curvature,
    KroneckerVectors,
    Posterior,
    QuadraticCurve,
    gaussian_learning_coefficients,
    isotropic,
)
from infoscope.weight_information.phase_transition import GateAndMemoriser
from infoscope.weight_information.weights_and_data.aggregate_prior import aggregate_information
from infoscope.weight_information.weights_and_data.closed_form import (
    minimiser_jacobian,
    shannon_information,
    signal_to_noise,
)

DOUBLE = {"dtype": torch.float64}


def positive(d: int, rank: int, seed: int = 0) -> torch.Tensor:
    a = torch.randn(d, rank, generator=torch.Generator().manual_seed(seed), **DOUBLE)
    return a @ a.T


def curve(seed: int = 0, moved: bool = False) -> tuple[QuadraticCurve, Curvature]:
    curvature = Curvature.full(positive(6, 4, seed))
    w = torch.randn(6, generator=torch.Generator().manual_seed(seed + 1), **DOUBLE)
    return QuadraticCurve(2.0, curvature.h, curvature.basis.to(w), 0.7, moved), curvature


def test_kl_is_torchs():
    h, mean, prior_mean = positive(5, 5), torch.arange(5.0, **DOUBLE), torch.ones(5, **DOUBLE)
    q = Posterior.best(mean, Curvature.full(h), 0.3, 2.0)
    covariance = 0.3 * torch.linalg.inv(h + 0.3 / 2.0 * torch.eye(5, **DOUBLE))
    normal = torch.distributions.MultivariateNormal
    p = normal(prior_mean, 2.0 * torch.eye(5, **DOUBLE))
    assert q.kl(prior_mean, 2.0) == pytest.approx(
        float(torch.distributions.kl_divergence(normal(mean, covariance), p)), rel=1e-12
    )
    w = torch.randn(7, 5, **DOUBLE)
    assert torch.allclose(q.log_density(w), normal(mean, covariance).log_prob(w))
    w.requires_grad_()
    (slope,) = torch.autograd.grad(q.log_density(w).sum(), w)
    assert torch.allclose(q.log_density_gradient(w.detach()), slope)


@pytest.mark.parametrize("moved", [False, True])
@pytest.mark.parametrize("beta", [0.1, 1.0, 30.0])
def test_the_curve_is_what_its_posterior_costs_and_its_slope_is_the_kl(beta, moved):
    line, curvature = curve(moved=moved)
    w, h = curvature.basis.back(line.offset), curvature.basis.back(torch.diag(curvature.h)).T
    matrix = curvature.basis.back(h)
    mean = curvature.basis.back(line.offset * 0.7 * line.h / (0.7 * line.h + beta)) if moved else w
    q = Posterior.best(mean, curvature, beta, 0.7)
    assert line.kl(beta) == pytest.approx(q.kl(torch.zeros(6, **DOUBLE), 0.7), rel=1e-12)
    noise = float((line.h * q.variances).sum()) / 2
    true = 2.0 + 0.5 * float((mean - w) @ matrix @ (mean - w)) + noise
    assert line.expected_loss(beta) == pytest.approx(true, rel=1e-12)
    step = 1e-4 * beta
    slope = (line.complexity(beta + step) - line.complexity(beta - step)) / (2 * step)
    assert slope == pytest.approx(line.kl(beta), rel=1e-7)
    closed = 2.0 + beta / 2 * float((0.7 * line.h / beta).log1p().sum())
    if not moved:
        assert line.complexity(beta) == pytest.approx(closed + beta * float(w.square().sum()) / 1.4, rel=1e-12)


def test_no_gaussian_costs_less_and_twice_the_published_covariance_is_the_best():
    line, curvature = curve()
    zero, w = torch.zeros(6, **DOUBLE), curvature.basis.back(line.offset)
    best = Posterior.best(w, curvature, 1.0, 0.7)

    def cost(variances):
        return 0.5 * float((line.h * variances).sum()) + Posterior(w, variances, curvature.basis).kl(zero, 0.7)

    draws = torch.Generator().manual_seed(3)
    for _ in range(20):
        assert cost(best.variances) < cost(best.variances * torch.exp(0.1 * torch.randn(6, generator=draws, **DOUBLE)))
    assert cost(best.variances) < cost(best.variances / 2)
    assert QuadraticCurve(2.0, line.h, line.offset, 0.7, True).complexity(1.0) <= line.complexity(1.0)


def test_flat_directions_cost_nothing():
    at = {"loss": 1.0, "variance": 2.0}
    some = QuadraticCurve(h=torch.tensor([3.0, 5.0]), offset=torch.zeros(2), **at)
    more = QuadraticCurve(h=torch.tensor([3.0, 5.0, 0.0, 0.0]), offset=torch.zeros(4), **at)
    assert some.complexity(0.5) == more.complexity(0.5)


def test_a_kronecker_basis_is_the_full_one_of_the_product():
    g, a = positive(2, 2), positive(3, 3, 5)
    factored, full = Curvature.kronecker(g, a), Curvature.full(torch.kron(g, a))
    assert torch.allclose(factored.h.sort().values, full.h)
    w = torch.randn(4, 6, **DOUBLE)
    assert torch.allclose(factored.basis.back(factored.basis.to(w)), w)
    product = factored.basis.back(factored.h * factored.basis.to(w))
    assert torch.allclose(product, w @ torch.kron(g, a))
    assert isinstance(factored.basis, KroneckerVectors)
    q, r = (Posterior.best(w[0], c, 1.0, 1.0) for c in (factored, full))
    assert torch.allclose(q.log_density(w), r.log_density(w))


def test_draws_have_the_posteriors_moments():
    q = Posterior.best(torch.arange(3.0, **DOUBLE), Curvature.full(positive(3, 3)), 1.0, 1.0)
    w = q.draw(40_000, torch.Generator().manual_seed(0))
    covariance = q.basis.back(q.basis.back(q.variances.diag()).T)
    assert torch.allclose(w.mean(0), q.mean, atol=0.02)
    assert torch.allclose(w.T.cov(), covariance, atol=0.02)


def test_the_best_prior_variance_is():
    q, zero = Posterior(torch.tensor([1.0, 2.0]), torch.tensor([0.1, 0.5])), torch.zeros(2)
    best = q.best_prior_variance(zero)
    assert best == pytest.approx(2.8)
    assert q.kl(zero, best) < min(q.kl(zero, best * 1.01), q.kl(zero, best / 1.01))


def test_learning_coefficients_are_excess_loss_and_the_slope_of_kl():
    line, _ = curve()
    b, step = 3.0, 1e-5
    by_mean, by_variance = gaussian_learning_coefficients(line.h, b, 0.7)
    assert by_mean == pytest.approx(b * (line.expected_loss(1 / b) - 2.0), rel=1e-12)
    slope = (line.kl(1 / (b * (1 + step))) - line.kl(1 / (b * (1 - step)))) / (2 * step)
    assert by_variance == pytest.approx(slope, rel=1e-6)
    assert gaussian_learning_coefficients(line.h, 1e7, 0.7) == pytest.approx((2.0, 2.0), abs=1e-5)


@pytest.mark.parametrize(
    ("wrong", "word"), [({"beta": 0.0, "variance": 1.0}, "β is 0"), ({"beta": 1.0, "variance": 0.0}, "variance λ²")]
)
def test_a_prior_without_variance_is_refused(wrong, word):
    with pytest.raises(ValueError, match=word):
        Posterior.best(torch.zeros(2), Curvature(torch.ones(2)), **wrong)
    with pytest.raises(ValueError, match="below 0, NaN or infinite"):
        Curvature(torch.tensor([1.0, -1.0]))


def test_the_aggregate_is_the_sharpest_prior():
    """E KL(q‖p) = I(w;D) + KL(p̄‖p), I and KL(p̄‖p) by quadrature, E KL in closed form, for two priors."""
    places = ((0.0, 0.3), (1.0, 0.5), (4.0, 1.5))
    posteriors = [Posterior(torch.tensor([m], **DOUBLE), torch.tensor([v], **DOUBLE)) for m, v in places]
    t = np.linspace(-15, 20, 40_001)

    def log_normal(m, v):
        return -0.5 * ((t - m) ** 2 / v + np.log(2 * np.pi * v))

    logs = np.array([log_normal(m, v) for m, v in places])
    mixed = logsumexp(logs, axis=0) - math.log(3)
    width = t[1] - t[0]
    information = float(np.mean([(np.exp(q) * (q - mixed)).sum() * width for q in logs]))
    for m0, variance in ((0.0, 1.0), (2.0, 5.0)):
        expected = np.mean([q.kl(torch.tensor([m0], **DOUBLE), variance) for q in posteriors])
        rest = float((np.exp(mixed) * (mixed - log_normal(m0, variance))).sum() * width)
        assert expected == pytest.approx(information + rest, rel=1e-9)
        assert rest > 0
    sampled = aggregate_information(posteriors, draws=20_000)
    assert sampled.value == pytest.approx(information, abs=0.01)
    apart = aggregate_information([isotropic(torch.full((2,), 50.0 * i), 1.0) for i in range(3)])
    assert apart.status == {Status.SATURATED}


def test_shannon_information_of_bayesian_linear_regression_is_exact():
    """The log-loss and the prior as one loss, differentiated implicitly, give ½ log det(I + λ² X Xᵀ/σ²)."""
    x = torch.randn(8, 3, generator=torch.Generator().manual_seed(0), **DOUBLE)
    noise, variance = 0.4, 2.5

    def loss(w, y):
        return ((y - x @ w) ** 2).sum() / (2 * noise) + (w**2).sum() / (2 * variance)

    y = torch.randn(8, **DOUBLE)
    w = torch.linalg.solve(x.T @ x / noise + torch.eye(3, **DOUBLE) / variance, x.T @ y / noise)
    jacobian, precision = minimiser_jacobian(loss, w, y)
    covariance = variance * x @ x.T + noise * torch.eye(8, **DOUBLE)
    s = torch.linalg.eigvalsh(variance * x.T @ x / noise)
    true = 0.5 * float(s.log1p().sum())
    assert shannon_information(covariance, jacobian, precision) == pytest.approx(true, rel=1e-10)
    found = signal_to_noise(covariance, jacobian, precision)
    assert torch.allclose(found[-3:], s, rtol=1e-8)
    assert float(found[:-3].abs().max()) < 1e-10  # more data than weights: the slide's log of these is −∞
    with pytest.raises(ValueError, match="no minimiser"):
        minimiser_jacobian(loss, w + 1, y)
    with pytest.raises(ValueError, match="not curved upwards"):
        minimiser_jacobian(lambda w, y: -loss(w, y), w, y)


def test_the_slides_form_is_the_limit_of_many_bits():
    s = torch.tensor([1.0, 3.0, 8.0], **DOUBLE)
    eye = torch.eye(3, **DOUBLE)
    assert shannon_information(s.diag(), eye, eye) == pytest.approx(2.1383330595, abs=1e-10)
    assert 0.5 * float(s.log().sum()) == pytest.approx(1.5890, abs=5e-5)
    gaps = [shannon_information(k * s.diag(), eye, eye) - 0.5 * float((k * s).log().sum()) for k in (1, 1e3, 1e6)]
    assert gaps[0] > gaps[1] > gaps[2] > 0
    assert gaps[2] < 1e-5


def test_the_gate_and_the_memoriser_by_enumeration():
    model = GateAndMemoriser(3, 0.3, 2)
    for beta in (0.4, 1.0, 2.5):
        # The open gate with each of the tables; the one that is right costs nothing, the others cannot be.
        prior = np.array([0.3 / 8] * 8 + [0.7])
        loss = np.array([0.0] + [np.inf] * 7 + [3 * math.log(2)])
        weight = prior * np.exp(-loss / beta)
        q = weight / weight.sum()
        kl = float(np.sum(q[q > 0] * np.log(q[q > 0] / prior[q > 0])))
        assert model.memorised(beta) == pytest.approx(q[0])
        assert model.kl(beta) == pytest.approx(kl)
        assert model.complexity(beta) == pytest.approx(q[8] * loss[8] + beta * kl)
        for p in np.linspace(0.01, 0.98, 60):
            other = np.array([p, *[0.0] * 7, 1 - p])
            price = sum(a * math.log(a / b) for a, b in zip(other, prior, strict=True) if a)
            assert (1 - p) * loss[8] + beta * price >= model.complexity(beta) - 1e-12


def test_the_transition_sharpens_at_one():
    assert GateAndMemoriser(10, 0.5, 2).memorised(0.9) == pytest.approx(0.683556, abs=5e-7)
    assert GateAndMemoriser(10, 0.5, 2).memorised(1.1) == pytest.approx(0.34748, abs=5e-6)
    for labels in (10, 1000, 10**6):
        assert GateAndMemoriser(labels, 0.25, 10).memorised(1.0) == pytest.approx(0.25)
    assert GateAndMemoriser(10**6, 0.5, 10).memorised(0.999) == 1.0
    assert GateAndMemoriser(10**6, 0.5, 10).memorised(1.001) < 1e-300
