"""Fully connected networks."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal

from torch import nn

from infoscope.models.shape import check_outputs

_ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh}


@dataclass(frozen=True)
class MLP:
    """Multilayer perceptron: the flattened example, hidden layers of these widths, and logits.

    Layers are named `fc1`, `act1`, `fc2`, … ; without hidden layers it is multinomial logistic regression. Shwartz-Ziv
    and Tishby's network ("Opening the black box of deep neural networks via information", 2017) is
    `MLP((10, 7, 5, 4, 3), "tanh")`. With 784 inputs, 128 hidden units and 10 classes there are
    785 · 128 + 129 · 10 parameters:

    >>> sum(p.numel() for p in MLP()((1, 28, 28), 10).parameters())
    101770
    """

    widths: tuple[int, ...] = (128,)
    activation: Literal["relu", "tanh"] = "relu"

    def __post_init__(self):
        if self.activation not in _ACTIVATIONS:
            raise ValueError(f"activation is {self.activation!r}; it is one of {', '.join(_ACTIVATIONS)}")
        if any(width < 1 for width in self.widths):
            raise ValueError(f"widths are {self.widths}; each hidden layer needs 1 unit or more")

    def __call__(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """The network for examples of this shape."""
        check_outputs(classes, self)
        layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
        inputs = math.prod(shape)
        for i, width in enumerate(self.widths, start=1):
            layers[f"fc{i}"] = nn.Linear(inputs, width)
            layers[f"act{i}"] = _ACTIVATIONS[self.activation]()
            inputs = width
        layers[f"fc{len(self.widths) + 1}"] = nn.Linear(inputs, classes)
        return nn.Sequential(layers)
