"""Whether a network's images may lie in memory with a pixel's channels side by side, where convolutions are faster."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from infoscope.data.inputs import Inputs, take
from infoscope.training.forward import device_of, forward
from infoscope.training.learner import copy_network


def laid_pixelwise(network: nn.Module) -> nn.Module:
    """A copy with the kernels of convolutions laid so that what they give has a pixel's channels side by side."""
    copied = copy_network(network)
    for weight in copied.parameters():
        if weight.ndim == 4:
            weight.data = weight.data.clone(memory_format=torch.channels_last)
    return copied


@torch.inference_mode(False)
def pixelwise(network: nn.Module, x: Inputs) -> bool:
    """Whether it may and then says the same of its first inputs, up to rounding; on a processor.

    Not with batch normalisation, which is then less exact (1e-4 of a gradient instead of 1e-7), nor where a network
    counts on the order that it is used to, as `view` does.
    """
    few, kinds = take(x, slice(2)), {type(layer) for layer in network.modules()}
    if device_of(network).type != "cpu" or nn.Conv2d not in kinds or nn.BatchNorm2d in kinds:
        return False
    plain, other = copy_network(network).eval(), laid_pixelwise(network)
    try:
        with torch.no_grad():
            before, after = forward(plain, few), forward(other.eval(), few)
        with torch.enable_grad():
            learned = forward(other.train(), few)
            if any(p.requires_grad for p in other.parameters()):
                learned.sum().backward()
    except RuntimeError:
        return False
    return isinstance(after, Tensor) and torch.allclose(before, after, rtol=1e-3, atol=1e-4)
