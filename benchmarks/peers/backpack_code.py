"""The ResNet of `CifarResNet` in modules that BackPACK knows.

BackPACK differentiates modules, not functions: its own converter ends in an AttributeError on a network that calls one
function several times, as this one does `F.relu`. The shortcut without parameters is a frozen convolution here.
"""

from __future__ import annotations

import torch
from backpack.custom_module.branching import Parallel
from torch import nn


def in_modules(network: nn.Module) -> nn.Sequential:
    """The same function of the same parameters, in their order."""
    parts = dict(network.named_children())
    blocks = [_block(block) for name in ("layer1", "layer2", "layer3") for block in parts[name].children()]
    ends = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), parts["linear"])
    return nn.Sequential(parts["conv1"], parts["bn1"], nn.ReLU(), *blocks, *ends)


def _block(block: nn.Module) -> nn.Sequential:
    held = dict(block.named_children())
    branch = nn.Sequential(held["conv1"], held["bn1"], nn.ReLU(), held["conv2"], held["bn2"])
    inputs, outputs = held["conv1"].in_channels, held["conv1"].out_channels
    if inputs == outputs:
        return nn.Sequential(Parallel(branch, nn.Identity()), nn.ReLU())
    every_second = nn.Conv2d(inputs, outputs, 1, stride=2, bias=False).requires_grad_(False)
    first = (outputs - inputs) // 2
    with torch.no_grad():
        every_second.weight.zero_()
        every_second.weight[torch.arange(inputs) + first, torch.arange(inputs)] = 1.0
    return nn.Sequential(Parallel(branch, every_second), nn.ReLU())
