from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from infoscope.data.task import Task
from infoscope.models import MLP, SmallCNN
from infoscope.training.operations import operations

IMAGES = Task.from_arrays(np.zeros((5, 1, 12, 12)), [0, 1, 2, 3, 4])


class Attentive(nn.Module):
    def __init__(self):
        super().__init__()
        self.into, self.out = nn.Linear(12, 24), nn.Linear(8, 5)

    def forward(self, x):
        heads = self.into(x).unflatten(3, (3, 8)).unbind(3)
        return self.out(nn.functional.scaled_dot_product_attention(*heads)[:, 0].mean(1))


@pytest.mark.parametrize(
    "factory", [MLP((7,)), SmallCNN(), lambda shape, outputs: Attentive()], ids=["mlp", "cnn", "a"]
)
def test_operations_are_those_that_torch_counts(factory):
    network = factory((1, 12, 12), 5).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(IMAGES.array[:3])
    assert operations(network, IMAGES, examples=3) == counter.get_total_flops() / 3 > 0


def test_a_network_is_left_in_its_mode():
    network = nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(144, 5)).train()
    assert operations(network, IMAGES) == 2 * 144 * 5
    assert all(module.training for module in network.modules())


def test_no_products_are_no_operations():
    assert operations(nn.Flatten(), IMAGES) == 0
