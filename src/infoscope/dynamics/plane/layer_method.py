"""Which estimator measures a layer: the caller's, or bins that fit it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import nn

from infoscope.method_text import text_of
from infoscope.mi.estimators.binning import Uniform
from infoscope.mi.method import Method
from infoscope.mi.methods import METHODS
from infoscope.options import at_least

RANGES: dict[type[nn.Module], tuple[float, float]] = {
    nn.Tanh: (-1.0, 1.0),
    nn.Softsign: (-1.0, 1.0),
    nn.Sigmoid: (0.0, 1.0),
    nn.Hardsigmoid: (0.0, 1.0),
    nn.Softmax: (0.0, 1.0),
}
"""Activation functions that keep a layer between two numbers; `Hardtanh` says its own."""


@dataclass(frozen=True)
class FittedBins:
    """Bins that fit each layer: `n` equal ones over the range of its activation function, or over what is seen of it.

    The range of a bounded function is the same at every epoch, so that the bins are. A layer without one (ReLU, logits,
    saved activations) is cut between its least and its largest activation at that epoch. Where the range is [−1, 1],
    `tanh` may be another method, a paper's own.

    >>> FittedBins().of(nn.Sigmoid()), FittedBins().of(nn.Linear(2, 2))
    (Uniform(n=30, range=(0.0, 1.0)), Uniform(n=30, range='layer'))
    """

    n: int = 30
    tanh: Method | None = None

    def __post_init__(self) -> None:
        at_least(self, "n", 1)

    def of(self, module: nn.Module | None) -> Method:
        """The method for what this module gives; for activations whose module nobody knows, None."""
        found = None if module is None else range_of(module)
        if self.tanh is not None and found == RANGES[nn.Tanh]:
            return self.tanh
        return Uniform(self.n, found or "layer")


def range_of(module: nn.Module) -> tuple[float, float] | None:
    """The numbers between which a module's output surely lies, if it is a bounded activation function.

    >>> range_of(nn.Tanh()), range_of(nn.ReLU6()), range_of(nn.ReLU())
    ((-1.0, 1.0), (0.0, 6.0), None)
    """
    if type(module) in (nn.Hardtanh, nn.ReLU6):
        return float(module.min_val), float(module.max_val)  # pyright: ignore[reportArgumentType]
    return RANGES.get(type(module))


def following(method: Method | FittedBins) -> frozenset[str]:
    """Which methods measure a layer in a unit that follows its scale: if it grows it then seems to lose information.

    >>> following(METHODS["idnns"]), following(FittedBins())
    (frozenset(), frozenset({"Uniform(n=30, range='layer')"}))
    """
    one = method.of(None) if isinstance(method, FittedBins) else method
    # Bins without a range of their own take the layer's.
    return frozenset({repr(one)} if getattr(one, "reach", None) == (-math.inf, math.inf) else ())


def check_layer_method(method: Method) -> None:
    """ValueError unless the method takes points and labels.

    >>> check_layer_method(METHODS["ksg"])
    Traceback (most recent call last):
    ValueError: ksg is for two sides of continuous values, and labels are not; for layers take ross, ...
    """
    if "points-labels" in method.takes:
        return
    able = ", ".join(name for name, other in METHODS.items() if "points-labels" in other.takes)
    raise ValueError(
        f"{text_of(method, METHODS).partition('(')[0]} is for two sides of continuous values, and labels are not; for "
        f"layers take ross, the nearest-neighbour estimator for labels, or one of {able}"
    )
