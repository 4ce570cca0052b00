from __future__ import annotations

import pytest
import torch
from torch import nn

from infoscope.training.muon import Muon, orthogonal, orthogonal_operations
from infoscope.training.operations import counted


@pytest.mark.parametrize("shape", [(20, 7), (7, 20), (12, 12)])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_orthogonal_keeps_directions_and_levels_sizes(shape, scale):
    torch.manual_seed(0)
    u, s, v = torch.linalg.svd(torch.randn(shape, dtype=torch.float64), full_matrices=False)
    s = s.clamp_min(0.05 * s.norm()) * scale
    result = u.T @ orthogonal(u @ s.diag() @ v) @ v.T
    off = result - result.diagonal().diag()
    assert off.abs().max() < 1e-9
    assert result.diagonal().min() > 0.65
    assert result.diagonal().max() < 1.25


def test_a_step_has_the_same_spectral_size_whatever_the_gradients_scale():
    torch.manual_seed(0)
    for scale in (1e-2, 1e4):
        weight = nn.Parameter(torch.zeros(8, 2))
        weight.grad = torch.randn(8, 2) * scale
        Muon([weight], lr=0.1).step()
        assert 0.65 < torch.linalg.matrix_norm(weight.detach(), 2) / (0.1 * 2) < 1.25


def test_it_learns_and_leaves_alone_what_has_no_gradient():
    torch.manual_seed(0)
    network, idle = nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 1)), nn.Parameter(torch.ones(2, 2))
    x = torch.randn(64, 3)
    y = x[:, 1:2].sign()
    optimizer = Muon([*network.parameters(), idle], lr=0.05)
    losses = []
    for _ in range(100):
        loss = nn.functional.mse_loss(network(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.1 * losses[0]
    assert (idle == 1).all()


@pytest.mark.parametrize("shape", [(4, 9), (9, 4), (6, 7), (3, 6)])
def test_operations_are_those_of_the_products(shape):
    for iterations in (1, 3):
        taken = counted(lambda: orthogonal(torch.ones(shape), iterations))  # noqa: B023 - called at once
        assert orthogonal_operations(*shape, iterations) == taken
