"""The two small networks of TensorFlow's tutorials."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from torch import nn

from infoscope.models.initial import glorot_uniform
from infoscope.models.shape import image_shape


@dataclass(frozen=True)
class TFMnistDemo:
    """The classical network of TensorFlow Quantum's tutorial "MNIST classification".

    Two 3×3 convolutions without padding, 32 and 64 maps, 2×2 max pooling, dropout of a quarter, a linear layer of 128
    units, dropout of a half, and logits; ReLU between. Weights start as Keras starts them: Glorot uniform, no bias.

    "The distance between the weights of the neural network is meaningful" (table 1) cites the tutorial for its network
    on MNIST. There the network tells 3 from 6 with one output and has 1,198,721 parameters; that the paper trained it
    on all ten digits, with ten outputs, is a guess.

    >>> [sum(p.numel() for p in TFMnistDemo()((1, 28, 28), classes).parameters()) for classes in (1, 10)]
    [1198721, 1199882]
    """

    def __call__(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """The network for images of this shape."""
        channels, height, width = image_shape(shape, classes, self, smallest=6)
        layers = OrderedDict[str, nn.Module](
            conv1=nn.Conv2d(channels, 32, 3),
            act1=nn.ReLU(),
            conv2=nn.Conv2d(32, 64, 3),
            act2=nn.ReLU(),
            pool2=nn.MaxPool2d(2),
            drop2=nn.Dropout(0.25),
            flatten=nn.Flatten(),
            fc1=nn.Linear(64 * ((height - 4) // 2) * ((width - 4) // 2), 128),
            act3=nn.ReLU(),
            drop3=nn.Dropout(0.5),
            fc2=nn.Linear(128, classes),
        )
        return glorot_uniform(nn.Sequential(layers))


@dataclass(frozen=True)
class TFCnnDemo:
    """The network of TensorFlow's tutorial "Convolutional neural network (CNN)" for CIFAR-10.

    Three 3×3 convolutions without padding, 32, 64 and 64 maps, 2×2 max pooling after the first two, a linear layer of
    64 units, and logits; ReLU between. Weights start as Keras starts them: Glorot uniform, no bias. The tutorial
    prints its size, 122,570 parameters; it is the network of experiments 1 and 4 of "The distance between the weights
    of the neural network is meaningful".

    >>> sum(p.numel() for p in TFCnnDemo()((3, 32, 32), 10).parameters())
    122570
    """

    def __call__(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """The network for images of this shape."""
        channels, height, width = image_shape(shape, classes, self, smallest=18)
        rows, columns = (((side - 2) // 2 - 2) // 2 - 2 for side in (height, width))
        layers = OrderedDict[str, nn.Module](
            conv1=nn.Conv2d(channels, 32, 3),
            act1=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(32, 64, 3),
            act2=nn.ReLU(),
            pool2=nn.MaxPool2d(2),
            conv3=nn.Conv2d(64, 64, 3),
            act3=nn.ReLU(),
            flatten=nn.Flatten(),
            fc1=nn.Linear(64 * rows * columns, 64),
            act4=nn.ReLU(),
            fc2=nn.Linear(64, classes),
        )
        return glorot_uniform(nn.Sequential(layers))
