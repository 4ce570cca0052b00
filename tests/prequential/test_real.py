"""Numbers cost what a distribution over their bins says, digit by digit, and the reference is a Student's t."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm, t
from sklearn.datasets import load_diabetes
from torch import nn

from infoscope.data.targets import Real
from infoscope.data.task import Task
from infoscope.prequential import real
from infoscope.prequential.blocks import Blocks
from infoscope.prequential.encode import code, encode
from infoscope.prequential.entk import NTK
from infoscope.prequential.gaussian_process import projected
from infoscope.prequential.gram import with_constant
from infoscope.prequential.kernel import Kernel
from infoscope.prequential.loss_curve import predictions
from infoscope.prequential.replay import Replay
from infoscope.training.learner import Learner
from infoscope.training.recipe import Recipe

FOUR = torch.tensor([[0.5], [-1.2], [0.3], [2.0]], dtype=torch.float64)


@pytest.fixture(scope="module")
def diabetes() -> Task:
    x, y = load_diabetes(return_X_y=True)
    x = (x - x.mean(0)) / x.std(0)
    return Task.from_arrays(x, y[:, None], target=Real(1.0, 0.0, 400.0))


@pytest.mark.parametrize(("resolution", "bits"), [(1.0, 10.196205), (0.1, 23.550969), (0.01, 36.839432)])
def test_four_numbers_of_unit_variance_and_an_unknown_mean(resolution, bits):
    """σ = 1, mean ~ N(0, 1), bins of every width around the numbers themselves."""
    total = 0.0
    for i, y in enumerate(FOUR[:, 0].tolist()):
        n, past = i + 1, FOUR[:i, 0].sum().item()
        student = np.array([[past / n, math.sqrt(1 + 1 / n), math.inf]])
        edges = np.array([y - resolution / 2, y + resolution / 2])
        total -= real.log_masses(student, edges)[0, 0] / math.log(2)
    assert total == pytest.approx(bits, abs=1e-6)


def test_the_reference_of_four_numbers():
    target = Real(0.1, -20.0, 20.0, centre=0.0, scale=1.0)
    assert real.reference(target, FOUR).sum() / math.log(2) == pytest.approx(24.335232, abs=1e-6)


def test_the_reference_is_student_s_t_from_a_normal_inverse_gamma():
    rule, numbers = real.Reference(), FOUR[:, 0].numpy()
    for i, number in enumerate(numbers):
        past = numbers[:i]
        n, mean = 1 + i, past.sum() / (1 + i)
        rate = 1 + 0.5 * ((past**2).sum() - n * mean**2)
        (found,) = rule.student()
        np.testing.assert_allclose(found, [mean, math.sqrt(rate / (1 + i / 2) * (n + 1) / n), 2 + i])
        rule.learn(number)


@given(st.floats(-30, 30), st.floats(0.01, 100), st.sampled_from([1.5, 4.0, 200.0, math.inf]))
@settings(max_examples=100, deadline=None)
def test_masses_of_neighbouring_parts_are_those_of_scipy(mean, scale, freedom):
    edges = np.array([-np.inf, -40.0, -3.0, 0.0, 0.1, 5.0, 60.0, np.inf])
    logs = real.log_masses(np.array([[mean, scale, freedom]]), edges)[0]
    z = (edges - mean) / scale
    cdf, sf = (norm.cdf(z), norm.sf(z)) if math.isinf(freedom) else (t.cdf(z, freedom), t.sf(z, freedom))
    wanted = np.where(z[1:] + z[:-1] > 0, sf[:-1] - sf[1:], cdf[1:] - cdf[:-1])
    np.testing.assert_allclose(np.exp(logs), wanted, rtol=1e-6, atol=1e-15)
    assert np.logaddexp.reduce(logs) == pytest.approx(0, abs=1e-9)


def test_nothing_is_lost_far_out_in_a_gaussian_s_tail():
    (mass,) = real.log_masses(np.array([[0.0, 1.0, np.inf]]), np.array([35.0, 35.5]))[0:1, 0]
    assert mass == pytest.approx(norm.logsf(35), abs=1e-6)


def all_costs(target, n_before, y):
    """−log p of every bin as the next number, by the sum over its digits; predictions are fixed by what came before."""
    found = []
    for bin_ in range(target.bins):
        whole = torch.cat([y[:n_before], torch.from_numpy(target.value(np.array([[bin_]])))])
        x = torch.zeros(len(whole), 1)
        symbols, _ = target.cut(whole)
        sender = code(x, target, target.mask(whole), Kernel(), 0, None)
        costs = [-math.log(p[s]) for p, s in zip(predictions(sender, symbols), symbols, strict=True)]
        found.append(sum(costs[n_before * target.digits :]))
    return np.array(found)


def test_the_probabilities_of_all_bins_sum_to_one_over_two_digits():
    target = Real(0.05, -2.0, 2.0)
    assert target.digits == 2
    costs = all_costs(target, 3, FOUR)
    assert np.exp(-costs).sum() == pytest.approx(1, abs=1e-9)
    assert (costs > 0).all()


def test_bayesian_linear_regression_on_diabetes(diabetes):
    """Prior precision 1 for the constant, 10 for slopes, on inputs of unit variance; R; and the mixture beside."""
    phi = with_constant(diabetes.x.double() / math.sqrt(10))
    z, total = diabetes.target.standard(diabetes.y).numpy(), 0.0
    rule, scales = projected(phi, 1.0, 1, 1), real.Scales(1)
    factor, mean = next(rule)
    for i in range(len(z)):
        first = scales.students(np.array([[mean[0, 0], factor[0, 0]]]))[:1]
        total -= real.log_mass_of(first, int(diabetes.target.bin(diabetes.y)[i, 0]), diabetes.target)[0]
        scales.learn(float(z[i, 0]))
        if i + 1 < len(z):
            factor, mean = rule.send(z[i : i + 1])
    assert total / math.log(2) == pytest.approx(3481.87, abs=5e-3)
    assert real.reference(diabetes.target, diabetes.y).sum() / math.log(2) == pytest.approx(3683.70, abs=5e-3)
    curve = encode(diabetes, Kernel(), None, 0)
    assert curve.uniform / math.log(2) == pytest.approx(3822.18, abs=5e-3)
    assert curve.total / math.log(2) < 3481.87 + 6


@pytest.mark.parametrize(
    "coder", [Replay(start=64, replays=2), NTK(), Blocks(recipe=Recipe(epochs=20))], ids=lambda c: type(c).__name__
)
def test_a_network_s_own_code_saves_what_inputs_tell(diabetes, coder):
    def network():
        return nn.Sequential(nn.Linear(10, 16), nn.Tanh(), nn.Linear(16, 1))

    some = diabetes.shuffled(1)[:200]
    curve = encode(some, coder, Learner(network), 0)
    assert curve.total < real.reference(some.target, some.y).sum() - 20 * math.log(2)


def test_numbers_that_nothing_tells_cost_about_what_the_reference_pays():
    draws = np.random.default_rng(0)
    target = Real(0.1, -4.0, 4.0, dim=2)
    y = np.clip(draws.standard_normal((150, 2)).round(1), -4, 4)
    task = Task.from_arrays(draws.standard_normal((150, 3)), y, target=target)
    bits = encode(task, Kernel(), None, 0).total / math.log(2)
    wanted = real.reference(target, task.y).sum() / math.log(2)
    assert wanted - 12 < bits < wanted + 12


def test_saved_bits_are_nearly_free_of_the_resolution():
    """d = 8, signal to noise 3: an oracle saves 1 bit an example; Bayes' regret takes about 34 bits of 400."""
    draws = np.random.default_rng(1)
    x, weights = draws.standard_normal((400, 8)), draws.standard_normal(8)
    signal = x @ (weights / np.linalg.norm(weights)) * math.sqrt(3)
    y = signal + draws.standard_normal(400)
    saved = []
    for resolution in (0.5, 0.05):
        target = Real(resolution, -12.0, 12.0, centre=0.0, scale=1.0)
        task = Task.from_arrays(x, y[:, None], target=target)
        saved.append((real.reference(target, task.y).sum() - encode(task, Kernel(), None, 0).total) / math.log(2))
    assert saved[0] == pytest.approx(saved[1], abs=8)
    assert 400 - 34 - 35 < saved[1] < 400 + 15
