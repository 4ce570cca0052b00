"""AlexNet."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from torch import nn

from infoscope.models.initial import he_normal
from infoscope.models.shape import image_shape


@dataclass(frozen=True)
class AlexNet:
    """AlexNet (Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional networks", 2012).

    Five convolutions, three max poolings of 3×3 every second pixel, linear layers of 4096, 4096 and `classes` units,
    ReLU between, dropout of a half before the first two linear layers. As usual today it is the form for one device of
    Krizhevsky, "One weird trick for parallelizing convolutional neural networks" (2014): 64, 192, 384, 256 and 256
    maps, no groups, no response normalisation. Weights start with deviation 0.01 in the linear layers, as in the paper
    (the first one with more where it has fewer inputs, so that its units keep their power), and as He et al. (2015) in
    the convolutions, biases at zero; the paper has 0.01 there too, and some biases of 1.

    At 224 pixels and above the maps are averaged to 6×6 before the linear layers; smaller images leave smaller maps
    and a smaller first linear layer (2×2 at 96 pixels). With 1000 classes at 224 pixels it has the 61,100,840
    parameters of the public PyTorch checkpoint; at 96 pixels with 5 classes:

    >>> sum(p.numel() for p in AlexNet()((3, 96, 96), 5).parameters())
    23469893
    """

    def __call__(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """The network for images of this shape."""
        channels, *sides = image_shape(shape, classes, self, smallest=63)
        rows, columns = (min(6, _side_of_maps(side)) for side in sides)
        layers = OrderedDict[str, nn.Module](
            conv1=nn.Conv2d(channels, 64, 11, stride=4, padding=2),
            act1=nn.ReLU(),
            pool1=nn.MaxPool2d(3, 2),
            conv2=nn.Conv2d(64, 192, 5, padding=2),
            act2=nn.ReLU(),
            pool2=nn.MaxPool2d(3, 2),
            conv3=nn.Conv2d(192, 384, 3, padding=1),
            act3=nn.ReLU(),
            conv4=nn.Conv2d(384, 256, 3, padding=1),
            act4=nn.ReLU(),
            conv5=nn.Conv2d(256, 256, 3, padding=1),
            act5=nn.ReLU(),
            pool5=nn.MaxPool2d(3, 2),
            average=nn.AdaptiveAvgPool2d((rows, columns)),
            flatten=nn.Flatten(),
            drop6=nn.Dropout(0.5),
            fc6=nn.Linear(256 * rows * columns, 4096),
            act6=nn.ReLU(),
            drop7=nn.Dropout(0.5),
            fc7=nn.Linear(4096, 4096),
            act7=nn.ReLU(),
            fc8=nn.Linear(4096, classes),
        )
        first = 0.01 * (36 / (rows * columns)) ** 0.5
        return he_normal(nn.Sequential(layers), {"fc6": first, "fc7": 0.01, "fc8": 0.01})


def _side_of_maps(side: int) -> int:
    """Side of the maps that reach the linear layers: one convolution every fourth pixel, three poolings."""
    side = (side - 7) // 4 + 1
    for _ in range(3):
        side = (side - 3) // 2 + 1
    return side
