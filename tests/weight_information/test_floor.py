"""The floor of a real model: softmax regression on the digits, prior N(0, 1), β = 1."""

from __future__ import annotations

import pytest
import torch
from scipy.optimize import minimize

from infoscope import Task
from infoscope.ensembles.stacked_loss import StackedLoss
from infoscope.models import MLP
from infoscope.weight_information.gaussian import Curvature, Posterior, QuadraticCurve, isotropic
from infoscope.weight_information.tempering import Ladder
from infoscope.weight_information.weights.floor import finer, posterior_floor


def hessian(x: torch.Tensor, p: torch.Tensor) -> torch.Tensor:
    """Of the cross-entropy of logits W x + b, weights (W, b) side by side: Σ (diag p − p pᵀ) ⊗ x xᵀ."""
    wide, classes = torch.cat([x, torch.ones(len(x), 1)], 1), p.shape[1]
    blocks = torch.stack([
        torch.stack([wide.T @ ((p[:, i] * (float(i == j) - p[:, j]))[:, None] * wide) for j in range(classes)])
        for i in range(classes)
    ])  # fmt: skip
    square = blocks.permute(0, 2, 1, 3).reshape(classes * wide.shape[1], -1)
    own = torch.arange(classes)[:, None] * wide.shape[1] + torch.arange(wide.shape[1])
    order = torch.cat([own[:, :-1].flatten(), own[:, -1]])
    return square[order][:, order]


@pytest.mark.long
def test_full_laplace_lies_21_nats_above_the_floor_of_softmax_regression():
    """C = 561 nats with the full covariance; annealing brackets the floor of 540 within 3 nats."""
    task = Task.from_dataset("digits")
    loss = StackedLoss(MLP(())(task.shape, 10), task)
    zero = torch.zeros(loss.dimension, dtype=torch.float64)

    def energy(w):
        value, slope = loss(torch.from_numpy(w)[None])
        return float(value[0]) + 0.5 * float(w @ w), slope[0].numpy() + w

    options = {"maxiter": 500, "ftol": 1e-13, "gtol": 1e-7}
    w = torch.from_numpy(minimize(energy, zero.numpy(), jac=True, method="L-BFGS-B", options=options).x)
    x = task.array.double().flatten(1)
    curvature = Curvature.full(hessian(x, torch.softmax(x @ w[:640].view(10, 64).T + w[640:], 1)))
    q = Posterior.best(w, curvature, 1.0, 1.0)
    own, upper, lower = posterior_floor(q, isotropic(zero, 1.0), loss, chains=8, scans=400)
    assert own.value == pytest.approx(561, abs=2)
    assert lower.value - 3 * lower.stderr < 540 < upper.value + 3 * upper.stderr
    assert upper.value - lower.value < 3
    # The loss is steeper than its quadratic: sampled it costs 20 nats more than the closed form says.
    at_mean = float(loss(w[None])[0][0])
    closed = QuadraticCurve(at_mean, curvature.h, q.basis.to(w), 1.0).complexity(1.0)
    assert 15 < own.value - closed < 25


def test_a_finer_ladder_has_the_same_rungs():
    ladder = Ladder(torch.tensor([0.0, 1.0, 3.0]), torch.tensor([1.0, 2.0, 3.0]), torch.ones(3, 2))
    fine = finer(ladder, 4)
    assert fine.t.tolist() == [0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0]
    assert fine.length.tolist() == [1.0] * 4 + [2.0] * 4 + [3.0]
    assert finer(ladder, 1).t.tolist() == ladder.t.tolist()
