"""The floor of a certificate, against a prior whose risk is known, and beside a certificate."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from infoscope import Learner, RiskCertificate, Status, Task, ask
from infoscope.models import MLP
from infoscope.weight_information.certificate.certificate import certificate_floor
from infoscope.weight_information.certificate.noisy_weights import layers_of
from infoscope.weight_information.certificate.prior_risk import PriorRisk, sample_prior_risk, steepest


def one_layer() -> nn.Module:
    return nn.Linear(1, 2, bias=False)


def test_the_free_energy_of_a_prior_that_guesses():
    """x = 1 always, so that the sign of w₀ − w₁ decides: 3 errors or 7. F(t) = −log ½(e^−3t + e^−7t)."""
    task = Task.from_arrays(torch.ones(10, 1), torch.tensor([0] * 7 + [1] * 3))
    learner = Learner(one_layer)
    layers = layers_of(one_layer())
    found = sample_prior_risk(learner, task, layers, {layers[0].name: 1.0}, True, 1.0, 0, "cpu")
    exact = -((-3 * found.t).exp() / 2 + (-7 * found.t).exp() / 2).log()
    error = found.free_energy.std(1) / found.free_energy.shape[1] ** 0.5
    assert bool(((found.free_energy.mean(1) - exact).abs() <= 5 * error + 1e-9).all())
    assert float(found.t[-1]) == pytest.approx(1.0)
    assert float(found.r_hat[-1]) < 1.05
    floor, truth = found.floor(10, 0.05), certificate_floor(found.t / 10, exact, 10, 0.05)
    assert floor.value == pytest.approx(truth, abs=max(1e-3, 4 * floor.stderr))


def test_chains_that_stay_apart_are_flagged_and_left_out():
    t = torch.tensor([0.0, 0.1, 0.2])
    curve = torch.tensor([[0.0, 5.0, 900.0]]).T.expand(3, 2)
    low, high = (PriorRisk(t, curve, torch.tensor([1.0, r, 1.7]), 3.0).floor(50, 0.05) for r in (1.7, 1.0))
    assert low.status == {Status.NOT_MIXED}
    assert low.value < high.value == pytest.approx(certificate_floor(t[:2] / 50, curve[:2, 0], 50, 0.05))
    assert not high.status


def test_steepest_is_the_slope_of_the_relative_entropy():
    r, p = torch.tensor(0.05, dtype=torch.float64, requires_grad=True), 0.25
    (r * (r / p).log() + (1 - r) * ((1 - r) / (1 - p)).log()).backward()
    assert r.grad is not None
    assert steepest(0.05, p) == pytest.approx(-float(r.grad))


def test_the_floor_stands_beside_the_certificate_and_below_it():
    task = Task.from_dataset("iris").shuffled(0)[:30]
    answer = ask(RiskCertificate(task, MLP(()), floor=True, steps=60, draws=50))
    rows = [row for row in answer.record() if row.coordinates["kind"] in ("kl", "floor")]
    certificate, floor = (row.measurement for row in rows)
    assert (certificate.quantity, floor.quantity) == ("certificate", "certificate floor")
    assert 0 < floor.value < certificate.value
    assert math.isfinite(floor.stderr)
