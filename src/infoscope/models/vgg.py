"""VGG networks."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from torch import nn

from infoscope.models.initial import he_normal
from infoscope.models.shape import image_shape

_WIDTHS = (64, 128, 256, 512, 512)
_CONVOLUTIONS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}


@dataclass(frozen=True)
class VGG:
    """VGG of depth 11, 13, 16 or 19 (Simonyan and Zisserman, "Very deep convolutional networks", 2014, table 1).

    Five stages of 3×3 convolutions with 64, 128, 256, 512 and 512 maps, each ended by 2×2 max pooling; linear layers
    of 4096, 4096 and `classes` units, ReLU between, dropout of a half after the first two linear layers. Weights
    start with deviation 0.01 in the linear layers (the first one with more where it has fewer inputs, so that its units
    keep their power) and as He et al. (2015) in the convolutions, biases at zero; the paper has a variance of 0.01
    everywhere, and started deep networks from trained shallow ones.

    At 224 pixels and above the maps are averaged to 7×7 before the linear layers; smaller images leave smaller maps
    and a smaller first linear layer (3×3 at 96 pixels). With 1000 classes at 224 pixels VGG-11 has 132,863,336
    parameters (the paper: 133 million); at 96 pixels with 5 classes:

    >>> sum(p.numel() for p in VGG(11)((3, 96, 96), 5).parameters())
    44900741
    """

    depth: int = 11

    def __post_init__(self):
        if self.depth not in _CONVOLUTIONS:
            raise ValueError(f"depth is {self.depth}; a VGG has depth {', '.join(map(str, _CONVOLUTIONS))}")

    def __call__(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """The network for images of this shape."""
        inputs, height, width = image_shape(shape, classes, self, smallest=32)
        rows, columns = min(7, height // 32), min(7, width // 32)
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for stage, (outputs, count) in enumerate(zip(_WIDTHS, _CONVOLUTIONS[self.depth], strict=True), start=1):
            for i in range(1, count + 1):
                layers[f"conv{stage}_{i}"] = nn.Conv2d(inputs, outputs, 3, padding=1)
                layers[f"act{stage}_{i}"] = nn.ReLU()
                inputs = outputs
            layers[f"pool{stage}"] = nn.MaxPool2d(2)
        layers["average"] = nn.AdaptiveAvgPool2d((rows, columns))
        layers["flatten"] = nn.Flatten()
        for i, units in enumerate((_WIDTHS[-1] * rows * columns, 4096), start=6):
            layers[f"fc{i}"] = nn.Linear(units, 4096)
            layers[f"act{i}"] = nn.ReLU()
            layers[f"drop{i}"] = nn.Dropout(0.5)
        layers["fc8"] = nn.Linear(4096, classes)
        first = 0.01 * (49 / (rows * columns)) ** 0.5
        return he_normal(nn.Sequential(layers), {"fc6": first, "fc7": 0.01, "fc8": 0.01})
