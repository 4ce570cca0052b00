"""SqueezeNet 1.0."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from infoscope.models.initial import he_normal
from infoscope.models.shape import image_shape

_FIRES = {
    3: (16, 64),
    4: (16, 64),
    5: (32, 128),
    7: (32, 128),
    8: (48, 192),
    9: (48, 192),
    10: (64, 256),
    12: (64, 256),
}
"""By the place among the layers: maps of a fire module's squeezing layer, and of each of its two expanding ones."""


@dataclass(frozen=True)
class SqueezeNet:
    """SqueezeNet 1.0 (Iandola et al. 2016, table 1), its parameters named as in torchvision.

    Smaller images than the paper's 224 pixels leave smaller maps, whose averages are the logits. With 1000 classes it
    has 1,248,424 parameters.

    >>> sum(p.numel() for p in SqueezeNet()((3, 224, 224), 1000).parameters())
    1248424
    """

    def __call__(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """The network for images of this shape."""
        inputs, _, _ = image_shape(shape, classes, self, smallest=32)
        layers: list[nn.Module] = []
        width = 96
        for place in range(13):
            if place == 0:
                layers.append(nn.Conv2d(inputs, width, 7, stride=2))
            elif place == 1:
                layers.append(nn.ReLU())
            elif place in _FIRES:
                squeezed, expanded = _FIRES[place]
                layers.append(_Fire(width, squeezed, expanded))
                width = 2 * expanded
            else:
                layers.append(nn.MaxPool2d(3, 2, ceil_mode=True))
        classifier = nn.Sequential(nn.Dropout(0.5), nn.Conv2d(width, classes, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
        return he_normal(_SqueezeNet(nn.Sequential(*layers), classifier), {"classifier.1": 0.01})


class _SqueezeNet(nn.Module):
    def __init__(self, features: nn.Module, classifier: nn.Module) -> None:
        super().__init__()
        self.features, self.classifier = features, classifier

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x)).flatten(1)


class _Fire(nn.Module):
    def __init__(self, inputs: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.squeeze(x))
        return torch.relu(torch.cat([self.expand1x1(x), self.expand3x3(x)], 1))
