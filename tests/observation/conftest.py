"""Small networks, and the slow plain way to differentiate them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn


@pytest.fixture(name="made")
def _made():
    return made


@pytest.fixture(name="slowly")
def _slowly():
    return slowly


@pytest.fixture(name="plainly")
def _plainly():
    return plainly


def made(make, inputs) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    network = make().double()
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
    for p in network.parameters():
        nn.init.normal_(p, std=0.5)
    x = inputs()
    return network, x.double() if x.is_floating_point() else x


def slowly(network: nn.Module, x: Tensor, names) -> Tensor:
    """One backward pass for each example and output."""
    held = dict(network.eval().named_parameters())
    rows = []
    for i in range(len(x)):
        outputs = network(x[i : i + 1]).flatten()
        grads = [torch.autograd.grad(z, [held[k] for k in names], retain_graph=True, materialize_grads=True)
                 for z in outputs]  # fmt: skip
        rows.append(torch.stack([torch.cat([g.flatten() for g in each]) for each in grads]))
    return torch.stack(rows)


def plainly(network: nn.Module, x: Tensor, y: Tensor | None, loss) -> Tensor:
    """(1/n) Σ_i diag(J_iᵀ H_i J_i), H the Hessian of the loss by autograd."""
    names = [name for name, _ in network.named_parameters()]
    total = torch.zeros(())
    for i, rows in enumerate(slowly(network, x, names)):
        z = network(x[i : i + 1]).detach()
        hessian = torch.autograd.functional.hessian(lambda z, i=i: loss(z, None if y is None else y[i : i + 1]), z)
        total = total + torch.einsum("ap,ab,bp->p", rows, hessian.reshape(len(rows), len(rows)), rows)
    return total / len(x)
