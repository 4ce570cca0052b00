"""LeNet-5."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from torch import nn

from infoscope.models.shape import image_shape


@dataclass(frozen=True)
class LeNet5:
    """LeNet-5 (LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document recognition", 1998).

    Two 5×5 convolutions with 6 and 16 maps, each followed by 2×2 pooling, then linear layers of 120, 84 and `classes`
    units. As usual today: ReLU for the scaled tanh, max pooling for trainable subsampling, every map of the second
    convolution sees all six of the first, and logits for the radial basis functions.

    The paper's input has 32×32 pixels. Images below 32 are padded by 2 in the first convolution, which makes 28×28 the
    same network. Where less than 5×5 would reach the second convolution (images below 10×10, such as 8×8 digits), that
    one is padded by 2 as well: 8×8 → 4×4 → 2×2, so that the first linear layer has 64 inputs. Larger images widen the
    first linear layer.

    >>> [sum(p.numel() for p in LeNet5()(shape, 10).parameters()) for shape in ((1, 28, 28), (1, 32, 32), (1, 8, 8))]
    [61706, 61706, 21386]
    """

    def __call__(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """The network for images of this shape."""
        channels, height, width = image_shape(shape, classes, self, smallest=4)
        first = 2 if min(height, width) < 32 else 0
        second = 2 if min(height, width) < 10 else 0
        sides = [((side + 2 * first - 4) // 2 + 2 * second - 4) // 2 for side in (height, width)]
        layers = OrderedDict[str, nn.Module](
            conv1=nn.Conv2d(channels, 6, 5, padding=first),
            act1=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(6, 16, 5, padding=second),
            act2=nn.ReLU(),
            pool2=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            fc1=nn.Linear(16 * sides[0] * sides[1], 120),
            act3=nn.ReLU(),
            fc2=nn.Linear(120, 84),
            act4=nn.ReLU(),
            fc3=nn.Linear(84, classes),
        )
        return nn.Sequential(layers)
