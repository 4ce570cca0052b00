"""The sequence of predictions is Gaussian-process regression, to rounding."""

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from infoscope.prequential.gaussian_process import exact, projected, substitute

N, WIDTH, NOISE = 60, 3, 0.05


@pytest.fixture
def problem():
    rng = np.random.default_rng(0)
    phi = rng.standard_normal((N, 7)) / 3
    return phi, rng.standard_normal((N, WIDTH))


def run(blocks, targets, size):
    """Mean (n, width) and variance (n,) of every prediction."""
    means, variances, block = [], [], next(blocks)
    for start in range(0, len(targets), size):
        own = targets[start : start + size]
        rule = substitute(block[0][None], block[1][None])
        mean = next(rule)
        for i, target in enumerate(own):
            means.append(mean[0])
            if i + 1 < len(own):
                mean = rule.send(target)
        variances.append(np.diag(block[0]) ** 2)
        if start + size < len(targets):
            block = blocks.send(own)
    return np.stack(means), np.concatenate(variances)


@pytest.mark.parametrize("size", [1, 7, 16, 60, 100])
def test_equals_the_closed_form(problem, size):
    phi, y = problem
    k = phi @ phi.T
    factor = np.linalg.cholesky(k + NOISE * np.eye(N))
    m, v = run(exact(torch.from_numpy(k), NOISE, WIDTH, size), y, size)
    np.testing.assert_allclose(m, y - np.diag(factor)[:, None] * np.linalg.solve(factor, y), atol=1e-8)
    np.testing.assert_allclose(v, np.diag(factor) ** 2, atol=1e-8)


@pytest.mark.parametrize("size", [1, 7, 16, 60, 100])
def test_features_predict_as_the_kernel_of_their_inner_products(problem, size):
    phi, y = problem
    whole = run(exact(torch.from_numpy(phi @ phi.T), NOISE, WIDTH, 9), y, 9)
    by_features = run(projected(torch.from_numpy(phi), NOISE, WIDTH, size), y, size)
    np.testing.assert_allclose(by_features[0], whole[0], atol=1e-8)
    np.testing.assert_allclose(by_features[1], whole[1], atol=1e-8)


def test_chain_rule(problem):
    """The predictive log densities add up to the log marginal likelihood."""
    phi, y = problem
    k = phi @ phi.T
    m, v = run(exact(torch.from_numpy(k.copy()), NOISE, WIDTH, 16), y, 16)
    chain = -0.5 * ((y - m) ** 2 / v[:, None] + np.log(2 * np.pi * v[:, None])).sum()
    marginal = multivariate_normal(np.zeros(N), k + NOISE * np.eye(N)).logpdf(y.T).sum()
    assert chain == pytest.approx(marginal, abs=1e-8)
