"""A small convolutional network of five layers."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from torch import nn

from infoscope.models.shape import image_shape


@dataclass(frozen=True)
class SmallCNN:
    """Five layers: three 3×3 convolutions with ReLU and 2×2 max pooling, a hidden linear layer, and logits.

    A student for distillation and a baseline that trains in seconds. "Model information as an analysis tool in deep
    learning" calls its student a "simple 5-layer CNN" (section 7), which its appendix A.6 gives as LeNet-5: for that
    experiment take `LeNet5`. This network is ours, and more of today: narrower kernels, more maps. Convolutions keep
    the size, pooling rounds it up, so that images of any size will do.

    >>> [sum(p.numel() for p in SmallCNN()(shape, 10).parameters()) for shape in ((1, 8, 8), (3, 32, 32))]
    [110474, 356810]
    """

    widths: tuple[int, int, int] = (32, 64, 128)
    hidden: int = 128

    def __call__(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """The network for images of this shape."""
        inputs, height, width = image_shape(shape, classes, self)
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for i, outputs in enumerate(self.widths, start=1):
            layers[f"conv{i}"] = nn.Conv2d(inputs, outputs, 3, padding=1)
            layers[f"act{i}"] = nn.ReLU()
            layers[f"pool{i}"] = nn.MaxPool2d(2, ceil_mode=True)
            inputs, height, width = outputs, -(-height // 2), -(-width // 2)
        layers["flatten"] = nn.Flatten()
        layers["fc1"] = nn.Linear(inputs * height * width, self.hidden)
        layers["act4"] = nn.ReLU()
        layers["fc2"] = nn.Linear(self.hidden, classes)
        return nn.Sequential(layers)
