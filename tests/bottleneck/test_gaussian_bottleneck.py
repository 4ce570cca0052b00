"""The closed form of the Gaussian information bottleneck, as an optimum, and as what a trained code comes to."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from infoscope.bottleneck.gaussian_bottleneck import GaussianBottleneck
from infoscope.bottleneck.noisy_code import NoisyCode, Rate, WithCode
from infoscope.data.targets import Real
from infoscope.data.task import Task
from infoscope.training.fit import fit
from infoscope.training.learner import Learner
from infoscope.training.recipe import Adam, Cosine, Recipe

XX = torch.tensor([[1.0, 0.4, 0.0], [0.4, 1.0, 0.2], [0.0, 0.2, 1.0]], dtype=torch.float64)
A = torch.tensor([[1.0, 0.0], [-0.5, 0.8], [0.3, 0.3]], dtype=torch.float64)
YY = A.T @ XX @ A + torch.tensor([0.3, 1.5], dtype=torch.float64).diag()
EXACT = GaussianBottleneck.of(XX, YY, XX @ A)


def told(code: torch.Tensor, noise: torch.Tensor) -> tuple[float, float]:
    """I(Z;X) and I(Z;Y) of Z = C x + noise, in closed form."""
    zz = code @ XX @ code.T + noise
    zy = code @ XX @ A
    given = zz - zy @ torch.linalg.solve(YY, zy.T)
    rate = 0.5 * float(torch.logdet(zz) - torch.logdet(noise))
    return rate, 0.5 * float(torch.logdet(zz) - torch.logdet(given))


def test_its_ends():
    whole = 0.5 * float(torch.logdet(YY) - torch.logdet(YY - A.T @ XX @ A))
    assert EXACT.limit == pytest.approx(whole) == pytest.approx(EXACT.label(0.0))
    largest = max(EXACT.correlations) ** 2
    assert EXACT.rate(largest) == EXACT.label(1.0) == 0
    assert EXACT.rate(0.999 * largest) > 0
    assert EXACT.rate(0.0) == math.inf


def test_beta_is_the_slope_of_the_curve():
    for beta in (0.02, 0.1, 0.3, 0.6):
        step = 1e-5 * beta
        slope = (EXACT.label(beta + step) - EXACT.label(beta - step)) / (
            EXACT.rate(beta + step) - EXACT.rate(beta - step)
        )
        assert slope == pytest.approx(beta, rel=1e-5)
        assert EXACT.most(EXACT.rate(beta)) == pytest.approx(EXACT.label(beta))


@pytest.mark.parametrize("seed", range(20))
def test_no_linear_code_lies_above_it(seed):
    draws = torch.Generator().manual_seed(seed)
    code = torch.randn(2, 3, generator=draws, dtype=torch.float64) * 10 ** float(torch.randn(1, generator=draws))
    rate, label = told(code, torch.eye(2, dtype=torch.float64))
    assert label <= EXACT.most(rate) + 1e-9


def test_descent_on_the_lagrangian_finds_it():
    beta = 0.2
    code = torch.randn(3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    by = torch.optim.LBFGS([code], max_iter=400, line_search_fn="strong_wolfe", tolerance_grad=1e-10)

    def lagrangian() -> torch.Tensor:
        zz = code @ XX @ code.T + torch.eye(3, dtype=torch.float64)
        zy = code @ XX @ A
        given = zz - zy @ torch.linalg.solve(YY, zy.T)
        return 0.5 * (torch.logdet(given) - torch.logdet(zz)) + beta * 0.5 * torch.logdet(zz)

    def closure() -> torch.Tensor:
        by.zero_grad()
        value = lagrangian()
        value.backward()
        return value

    by.step(closure)
    assert float(lagrangian().detach()) == pytest.approx(beta * EXACT.rate(beta) - EXACT.label(beta), abs=1e-7)


@pytest.mark.parametrize("beta", [0.1, 0.4])
def test_a_trained_code_comes_to_it_and_never_lies_above(beta):
    """One label of unit noise: its likelihood is then the right one, and the variational bound can be met."""
    draws = torch.Generator().manual_seed(1)
    x = torch.randn(4000, 3, generator=draws, dtype=torch.float64) @ torch.linalg.cholesky(XX).T
    weights, variance = A[:, :1], 0.3
    signal = float(weights.T @ XX @ weights)
    truth = GaussianBottleneck((math.sqrt(signal / (signal + variance)),))
    y = x @ weights + math.sqrt(variance) * torch.randn(4000, 1, generator=draws, dtype=torch.float64)
    # The loss is ½ (y/scale)²: its scale is the deviation of y given Z at the optimum, found from the closed form.
    left = math.sqrt((signal + variance) * math.exp(-2 * truth.label(beta)))
    task = Task.from_arrays(x.float(), y.float(), target=Real(1e-3, -40.0, 40.0, centre=0.0, scale=left))
    code = WithCode(lambda shape, outputs: nn.Linear(3, outputs), width=1)
    recipe = Recipe(Adam(0.02), Cosine(), batch=200, epochs=25, penalty=Rate(beta))
    learner = Learner(code, recipe)
    network = learner.starting_from(fit(learner, task).weights).network((3,), 1, 0)
    assert isinstance(network, NoisyCode)
    c = network.encoder.weight[:1].detach().double()
    sd = network.encoded(x.float())[1].detach().double()
    assert float(sd.std() / sd.mean()) < 0.1  # the same noise everywhere, as the optimum has it
    noise = sd.square().mean().reshape(1, 1)
    zz = c @ XX @ c.T + noise
    rate = 0.5 * float(torch.log(zz / noise))
    squared = float((c @ XX @ weights).square() / zz / (signal + variance))
    label = -0.5 * math.log1p(-squared)
    assert label <= truth.most(rate) + 1e-9
    assert label > truth.most(rate) - 0.005
    assert rate == pytest.approx(truth.rate(beta), abs=0.1)


def test_correlations_that_are_none_are_refused():
    with pytest.raises(ValueError, match="a canonical correlation is 1"):
        GaussianBottleneck((0.5, 1.0))
    with pytest.raises(ValueError, match="β is -1"):
        EXACT.rate(-1.0)
