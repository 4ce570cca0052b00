import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.special import k0e, k1e

from infoscope.weight_information.chains import Path, Stride, langevin_step, restricted
from infoscope.weight_information.convergence import drift, split_r_hat, standard_error
from infoscope.weight_information.free_energy import bridged, thermodynamic_integral
from infoscope.weight_information.gaussian import Curvature, Posterior, QuadraticCurve, isotropic
from infoscope.weight_information.learning_coefficients.reduced_rank import (
    learning_coefficient,
    reduced_rank_loss,
    reduced_rank_truth,
)
from infoscope.weight_information.tempering import along, climb, stay, temper
from infoscope.weight_information.weights.floor import anneal, posterior_floor

DOUBLE = {"dtype": torch.float64}


def zeros(d):
    return torch.zeros(d, **DOUBLE)


def cross(w):
    """½(a₁a₂)²."""
    a, b = w.unbind(1)
    return (a * b).square() / 2, torch.stack([a * b * b, a * a * b], 1)


def cross_truth(b: float) -> tuple[float, float]:
    """(F, λ_E) of ½(a₁a₂)² under N(0, 1): Z = E_a 1/√(1 + ba²) = e^x K₀(x)/√(2πb), x = 1/4b, λ_E = dF/d log b."""
    x = 1 / (4 * b)
    return -math.log(k0e(x)) + 0.5 * math.log(2 * math.pi * b), 0.5 + x * (1 - k1e(x) / k0e(x))


def bowl(seed=0):
    """A quadratic loss as an energy, its curve in closed form, and its prior."""
    d = 5
    a = torch.randn(d, d, generator=torch.Generator().manual_seed(seed), **DOUBLE)
    curvature, centre = Curvature.full(a @ a.T), torch.arange(d, **DOUBLE) / 3

    def loss(w):
        slope = (w - centre) @ (a @ a.T)
        return 2.0 + 0.5 * ((w - centre) * slope).sum(1), slope

    exact = QuadraticCurve(2.0, curvature.h, curvature.basis.to(centre), 1.0, moved=True)
    return loss, exact, curvature, centre


@pytest.mark.parametrize(("b", "digits"), [(100.0, 1.4095213018243), (1e5, 4.1092845990)])
def test_the_truth_by_quadrature_and_by_bessel_functions(b, digits):
    """In u = asinh(√b a), along which nothing is steep."""

    def integrand(u):
        return math.exp(-(math.sinh(u) ** 2) / (2 * b)) * 2 / math.sqrt(2 * math.pi * b)  # cosh u / √(1 + sinh² u) = 1

    z = quad(integrand, 0, math.asinh(40 * math.sqrt(b)), limit=500, epsabs=0, epsrel=1e-12)[0]
    free, by_mean = cross_truth(b)
    assert free == pytest.approx(-math.log(z), abs=1e-11)
    assert free == pytest.approx(digits, abs=1e-10)
    step = 1e-5
    slope = (cross_truth(b * math.exp(step))[0] - cross_truth(b * math.exp(-step))[0]) / (2 * step)
    assert by_mean == pytest.approx(slope, abs=1e-8)
    assert cross_truth(100.0)[1] == pytest.approx(0.33876778, abs=1e-8)


def exact_posterior(curvature, centre):
    """The Gibbs posterior of the bowl at b = 1 under N(0, 1)."""
    s = curvature.h
    return Posterior(curvature.basis.back(curvature.basis.to(centre) * s / (1 + s)), 1 / (1 + s), curvature.basis)


def test_a_step_leaves_its_target_as_it_is_at_any_length():
    """Draws of the target, after three steps that are too long for some axes and short for others, are still such."""
    loss, exact, curvature, centre = bowl()
    path, target = Path(isotropic(zeros(5), 1.0), loss), exact_posterior(curvature, centre)
    n, draws = 60_000, torch.Generator().manual_seed(0)
    scale = torch.tensor([0.2, 0.5, 1.0, 2.0, 3.0], **DOUBLE).expand(n, -1)
    rows = path.at(target.draw(n, draws))
    for _ in range(3):
        rows, probability = langevin_step(
            path, rows, torch.ones(n, **DOUBLE), Stride(torch.full((n,), 0.5), scale), draws
        )
    assert 0.02 < float(probability.mean()) < 0.9
    error = float(rows.work.std()) / n**0.5
    assert float(rows.work.mean()) == pytest.approx(exact.expected_loss(1.0), abs=4 * error)
    assert torch.allclose(rows.w.mean(0), target.mean, atol=0.02)


def test_r_hat_and_drift_see_what_has_not_settled():
    draws = torch.Generator().manual_seed(0)
    still = torch.randn(400, 1, 4, generator=draws, **DOUBLE)
    assert float(split_r_hat(still)[0]) == pytest.approx(1, abs=0.01)
    assert float(split_r_hat(still + 2 * torch.arange(4.0))[0]) > 1.5
    assert abs(float(drift(still)[0])) < 4
    assert float(drift(still + torch.linspace(0, 2, 400)[:, None, None])[0]) > 10
    assert float(standard_error(still)[0]) == pytest.approx(1 / 40, rel=0.3)
    # A chain of correlation ½ has a mean of √3 times the error.
    walk = still.clone()
    for i in range(1, 400):
        walk[i] = 0.5 * walk[i - 1] + 0.75**0.5 * still[i]
    assert float(standard_error(walk)[0]) == pytest.approx(3**0.5 / 40, rel=0.35)


def test_a_quadratic_loss_has_the_closed_forms_curve():
    """F, E L and KL by chains against the exact ones, from the prior to b = 30."""
    loss, exact, *_ = bowl()
    draws = torch.Generator().manual_seed(0)
    path = Path(isotropic(zeros(5), 1.0), loss)
    ladder, rows = climb(path, [1.0, 30.0], draws)
    found = temper(path, ladder, rows, [1.0, 30.0], draws, 1000)
    t, work = found.last.ladder.t, found.last.work
    free, mean = bridged(t, work), work.mean((0, 2))
    for b in (1.0, 30.0):
        i = int((t - b).abs().argmin())
        assert float(t[i]) == b
        assert float(free[i]) == pytest.approx(b * exact.complexity(1 / b), rel=0.01)
        assert float(mean[i]) == pytest.approx(exact.expected_loss(1 / b), abs=4 * float(standard_error(work)[i]))
        assert float(free[i] - b * mean[i]) == pytest.approx(exact.kl(1 / b), rel=0.03)
    variance = work.permute(1, 0, 2).flatten(1).var(1)
    integral = free[1] + thermodynamic_integral(t[1:], mean[1:], variance[1:])
    assert float(integral[-1]) == pytest.approx(float(free[-1]), rel=0.01)
    assert float(split_r_hat(work).max()) < 1.1
    assert found.gradients >= found.scans * 16


def test_the_cross_within_five_per_cent_with_no_knob_turned():
    """½(a₁a₂)²: four arms, a hundredfold narrower than they are long at b = 1e5."""
    draws = torch.Generator().manual_seed(0)
    path = Path(isotropic(zeros(2), 1.0), cross)
    ladder, rows = climb(path, [100.0, 1e5], draws)
    last = temper(path, ladder, rows, [100.0, 1e5], draws).last
    free = bridged(last.ladder.t, last.work)
    for b in (100.0, 1e5):
        i = int((last.ladder.t - b).abs().argmin())
        true_free, true_mean = cross_truth(b)
        assert b * float(last.work[:, i].mean()) == pytest.approx(true_mean, rel=0.05)
        assert float(free[i]) == pytest.approx(true_free, rel=0.01)


TRUTHS = {(5, 5, 3, 1): 8.0, (5, 5, 3, 0): 6.5, (4, 8, 3, 1): 8.5, (3, 4, 8, 1): 6.0, (10, 10, 5, 3): 32.0}


def test_the_published_coefficients_of_reduced_rank_regression():
    assert {at: learning_coefficient(*at)[0] for at in TRUTHS} == TRUTHS
    assert learning_coefficient(5, 5, 3, 0)[1] == 2
    assert learning_coefficient(4, 8, 3, 1)[1] == 1
    # Where all weights count, λ is half their number less what the units' changes of basis leave free.
    assert learning_coefficient(6, 7, 3, 3)[0] == (6 * 3 + 7 * 3 - 9) / 2


def coefficient_of(energy, d, b=1e5):
    """λ_E and its standard error by chains along a ladder."""
    draws = torch.Generator().manual_seed(0)
    path = Path(isotropic(zeros(d), 1.0), energy)
    last = temper(path, *climb(path, [b], draws, 8), [b], draws, 400).last
    return b * float(last.work[:, -1].mean()), b * float(standard_error(last.work)[-1])


def test_a_factor_whose_other_is_held_is_a_linear_regression():
    """y = BAx with A held: λ = rank(A) · outputs/2; the two do not add up to the whole's (8 at this shape)."""
    inputs, outputs, hidden, rank = shape = (5, 5, 3, 1)
    loss, truth, first = reduced_rank_loss(*shape), reduced_rank_truth(*shape), hidden * inputs
    a, b = torch.arange(len(truth)).split([first, outputs * hidden])
    for free, width in ((a, inputs), (b, outputs)):
        value, error = coefficient_of(restricted(loss, truth, free), len(free))
        assert value == pytest.approx(rank * width / 2, abs=4 * error)
        assert error < 0.1
    assert learning_coefficient(*shape)[0] > rank * inputs / 2 + rank * outputs / 2
    # Where A has its full rank, every weight of B counts.
    spread = truth.clone()
    spread[a] = torch.eye(hidden, inputs, **DOUBLE).flatten()
    value, error = coefficient_of(restricted(loss, spread, b), len(b))
    assert value == pytest.approx(hidden * outputs / 2, abs=4 * error)


def test_the_cross_with_one_factor_held_is_a_parabola():
    """½(a₁a₂)²: ½ where the other is 1, and 0 where it is 0."""
    second = torch.tensor([1])
    for held, truth in ((1.0, 0.5), (0.0, 0.0)):
        energy = restricted(cross, torch.tensor([held, 0.0], **DOUBLE), second)
        w = torch.tensor([[0.3], [-2.0]], **DOUBLE)
        assert torch.equal(energy(w)[0], held**2 * w[:, 0].square() / 2)
        draws = torch.Generator().manual_seed(0)
        ladder = stay(Path(isotropic(zeros(1), 1.0), energy), zeros(1), [1e4], draws, 4)
        work = temper(Path(isotropic(zeros(1), 1.0), energy), *ladder, [1e4], draws, 400).last.work
        assert 1e4 * float(work.mean()) == pytest.approx(truth, abs=4e4 * float(standard_error(work)[0]))


def reduced_rank(shape, b=1e5):
    draws = torch.Generator().manual_seed(0)
    m, n, h, _ = shape
    path = Path(isotropic(zeros((m + n) * h), 1.0), reduced_rank_loss(*shape))
    ladder, rows = climb(path, [b], draws)
    last = temper(path, ladder, rows, [b], draws).last
    return b * float(last.work[:, -1].mean()), last


@pytest.mark.long
@pytest.mark.parametrize("shape", TRUTHS)
def test_every_reduced_rank_regression_within_five_per_cent_with_no_knob_turned(shape):
    found, last = reduced_rank(shape)
    assert found == pytest.approx(TRUTHS[shape], rel=0.05)
    assert float(split_r_hat(last.work).max()) < 1.1


def test_a_ladder_that_would_be_too_long_is_not_climbed():
    d = 400

    def steep(w):
        return 50 * w.square().sum(1), 100 * w

    draws = torch.Generator().manual_seed(0)
    path = Path(isotropic(torch.ones(d, **DOUBLE), 1.0), steep)
    assert climb(path, [1e6], draws, 4, 20) is None
    ladder, rows = stay(path, zeros(d), [10.0], draws, 4)
    last = temper(path, ladder, rows, [10.0], draws, 200).last
    # Of a Gaussian all is known: λ_H = ½ Σ (s/(1 + s))² at s = 100 · 10.
    assert 100 * float(last.work.var()) == pytest.approx(d / 2, rel=0.2)
    assert float(last.swaps.numel()) == 0


def test_nothing_undercuts_the_floor_and_annealing_brackets_it():
    loss, exact, curvature, centre = bowl()
    prior = isotropic(zeros(5), 1.0)
    true = exact.complexity(1.0)
    best = exact_posterior(curvature, centre)
    own, upper, lower = posterior_floor(best, prior, loss, scans=100)
    assert own.value == pytest.approx(true, abs=1e-9)
    assert upper.value == pytest.approx(true, abs=1e-6) == lower.value
    worse = Posterior(centre + 0.4, torch.full((5,), 0.3, **DOUBLE))
    own, upper, lower = posterior_floor(worse, prior, loss, scans=200)
    by_hand = float(loss(worse.draw(200_000, torch.Generator().manual_seed(1)))[0].mean()) + worse.kl(zeros(5), 1.0)
    assert own.value == pytest.approx(by_hand, rel=0.03)
    assert lower.value - 3 * lower.stderr < true < upper.value + 3 * upper.stderr
    assert upper.value - lower.value < 0.3 * (own.value - true)
    assert (upper.bound.name, lower.bound.name) == ("UPPER", "LOWER")


def test_no_gaussian_undercuts_the_floor_of_the_cross():
    """C(q) in closed form for independent Gaussians: E (a₁a₂)² = (m₁² + v₁)(m₂² + v₂)."""
    free, _ = cross_truth(100.0)
    draws = np.random.default_rng(0)
    costs = []
    for _ in range(3000):
        m, v = draws.normal(0, [0.5, 0.05]), np.exp(draws.uniform([-1, -6], [1, -1]))
        kl = 0.5 * np.sum(m**2 + v - 1 - np.log(v))
        costs.append(100 * 0.5 * np.prod(m**2 + v) + kl)
    assert free <= min(costs)


def test_annealing_on_a_coarse_ladder_is_loose_but_on_the_right_side():
    loss, exact, *_ = bowl()
    path = Path(isotropic(zeros(5), 1.0), loss)
    draws = torch.Generator().manual_seed(0)
    ladder, rows = along(path, [0.0, 0.05, 0.3, 1.0], draws, 400)
    target = rows.take(torch.arange(1200, 1600))
    found = anneal(path, ladder, target, draws)
    true = exact.complexity(1.0)
    assert float(found.down.mean()) < true < float(found.up.mean())
    assert found.lower - 0.3 < true < found.upper + 0.3
