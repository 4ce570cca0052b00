from __future__ import annotations

import pytest
import torch
from torch import nn

from infoscope.training import optimizers

X, Y = torch.arange(12.0).reshape(6, 2), torch.arange(6.0)


def trained(kind, steps, network, state=None, **options):
    optimizer = kind(network.parameters(), lr=0.01, **options)
    if state is not None:
        optimizer.load_state_dict(state)
    for _ in range(steps):
        optimizer.zero_grad()
        (network(X).squeeze(1) - Y).square().mean().backward()
        optimizer.step()
    return optimizer


def line():
    network = nn.Linear(2, 1)
    nn.init.ones_(network.weight)
    nn.init.zeros_(network.bias)
    return network


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("name", ["Adam", "AdamW", "SGD"])
def test_steps_are_those_of_torch_to_the_bit_and_either_reads_the_states_of_the_other(name, fused):
    ours, theirs = getattr(optimizers, name), getattr(torch.optim, name)
    whole, by_both, other = line(), line(), line()
    trained(theirs, 7, whole, fused=fused)
    begun = trained(ours, 3, by_both, fused=fused)
    trained(theirs, 4, by_both, begun.state_dict(), fused=fused)
    begun = trained(theirs, 3, other, fused=fused)
    trained(ours, 4, other, begun.state_dict(), fused=fused)
    for network in (by_both, other):
        assert torch.equal(network.weight, whole.weight)
        assert torch.equal(network.bias, whole.bias)


def test_a_step_leaves_gradients_as_they_are_asked_for():
    with torch.enable_grad():
        trained(optimizers.AdamW, 1, line())
        assert torch.is_grad_enabled()
