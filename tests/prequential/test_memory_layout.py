from __future__ import annotations

import pytest
import torch
from torch import nn

from infoscope.models import SmallCNN
from infoscope.prequential.memory_layout import pixelwise


class Flat(nn.Module):
    """Counts on the usual order, which `view` needs."""

    def __init__(self):
        super().__init__()
        self.conv, self.out = nn.Conv2d(1, 4, 3), nn.Linear(4 * 36, 2)

    def forward(self, x):
        h = self.conv(x)
        return self.out(h.view(len(h), -1))


class Strided(Flat):
    """Reads memory as it lies, and so would say something else."""

    def forward(self, x):
        h = self.conv(x)
        return self.out(h.as_strided((len(h), 4 * 36), (4 * 36, 1)))


def test_only_networks_that_say_the_same_are_held_so():
    torch.manual_seed(0)
    x = torch.randn(5, 1, 8, 8)
    assert pixelwise(SmallCNN()((1, 8, 8), 3), x)
    assert not pixelwise(Flat(), x)
    assert not pixelwise(Strided(), x)
    assert not pixelwise(nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), x)
    assert not pixelwise(nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 3)), x)


@pytest.mark.parametrize("n", [1, 2])
def test_it_leaves_a_network_as_it_was(n):
    network = SmallCNN()((1, 8, 8), 3).train()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    assert pixelwise(network, torch.randn(n, 1, 8, 8))
    assert network.training
    assert all(torch.equal(v, before[k]) and v.is_contiguous() for k, v in network.state_dict().items())
    assert all(p.grad is None for p in network.parameters())
