"""Networks whose weights and activations have 2^b levels, trained through the rounding."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Grid:
    """2^bits evenly spaced levels, to the nearest of which a value is rounded.

    `signed` levels are the odd multiples of reach / 2^bits, from −reach to reach; unsigned ones are multiples of
    reach / 2^bits, from 0 up to below the reach. With a reach that is a power of two, every level, and every sum of
    products of levels over up to 2^(24 − 2·bits) inputs, is exact in single precision: equal activations lead to equal
    bits whatever the order in which a processor adds. (The network's own input counts too: bits are exact.)

    >>> Grid(2, 1.0)(torch.tensor([-9.0, -0.4, 0.3, 1.0])), Grid(2, 1.0, signed=False)(torch.tensor([-1.0, 0.3, 0.7]))
    (tensor([-0.7500, -0.2500,  0.2500,  0.7500]), tensor([0.0000, 0.2500, 0.7500]))
    """

    bits: int
    reach: float
    signed: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= 16:
            raise ValueError(f"bits is {self.bits}; give 1 to 16, for 2 to 65536 levels")
        if not self.reach > 0 or not math.log2(self.reach).is_integer():
            raise ValueError(f"the reach is {self.reach}; give a power of two, so that levels are exact")

    def __call__(self, t: Tensor) -> Tensor:
        """The nearest level; the gradient passes unchanged from the lowest level to the reach, and is 0 outside."""
        step = (2 if self.signed else 1) * self.reach / 2**self.bits
        low = step / 2 - self.reach if self.signed else 0.0
        return _Rounding.apply(t, low, step, 2**self.bits - 1)  # pyright: ignore[reportReturnType]


class _Rounding(torch.autograd.Function):
    """The straight-through estimator (Bengio, Léonard & Courville 2013), clipped (Hubara et al. 2016).

    Its own function, so that equal levels have equal bits: t + (level − t) is a level only up to rounding.
    """

    @staticmethod
    def forward(t: Tensor, low: float, step: float, last: int) -> Tensor:
        return low + step * torch.round((t - low) / step).clamp(0, last)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        t, low, step, last = inputs
        ctx.save_for_backward(t)
        # Half a step beyond the outer levels: the range whose nearest levels these are.
        ctx.ends = low - step / 2, low + (last + 0.5) * step

    @staticmethod
    def vmap(  # pyright: ignore[reportIncompatibleMethodOverride]
        info: Any, in_dims: tuple[Any, ...], t: Tensor, low: float, step: float, last: int
    ) -> tuple[Any, Any]:
        # Pointwise: a batch of networks is one tensor more; the generated rule is half as fast.
        return _Rounding.apply(t, low, step, last), in_dims[0]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (t,) = ctx.saved_tensors
        low, high = ctx.ends
        return gradient * ((t >= low) & (t <= high)), None, None, None


class QuantisedLinear(nn.Linear):
    """A linear layer that computes with rounded weights and keeps those that it trains."""

    grid: Grid

    def forward(self, input: Tensor) -> Tensor:
        """The affine map with weights and bias on the grid."""
        return nn.functional.linear(input, self.grid(self.weight), None if self.bias is None else self.grid(self.bias))


class QuantisedConv2d(nn.Conv2d):
    """A convolution that computes with rounded weights and keeps those that it trains."""

    grid: Grid

    def forward(self, input: Tensor) -> Tensor:
        """The convolution with kernel and bias on the grid."""
        bias = None if self.bias is None else self.grid(self.bias)
        return self._conv_forward(input, self.grid(self.weight), bias)


class QuantisedTanh(nn.Tanh):
    """Hyperbolic tangent with levels between −1 and 1."""

    grid: Grid

    def forward(self, input: Tensor) -> Tensor:
        """The nearest level of the tangent."""
        return self.grid(super().forward(input))


class QuantisedReLU(nn.ReLU):
    """Rectifier with levels from 0 to below the reach."""

    grid: Grid

    def forward(self, input: Tensor) -> Tensor:
        """The nearest level of the rectified input."""
        return self.grid(super().forward(input))


_KINDS: dict[type[nn.Module], type[nn.Module]] = {
    nn.Linear: QuantisedLinear,
    nn.Conv2d: QuantisedConv2d,
    nn.Tanh: QuantisedTanh,
    nn.ReLU: QuantisedReLU,
}


@dataclass(frozen=True)
class QuantisationAware:
    """A factory of another's networks with weights and activations of 2^bits levels, trained through the rounding.

    Grabauskas 2019 proposes it ("Extensions", values 1 … 256: 8 bits): a layer has finitely many states, and
    `Quantised` gives its mutual information exactly, with no bin chosen by whoever looks. Names of layers and weights
    stay; the trained weights are real and are rounded wherever they are used. Logits are sums of levels, not rounded
    themselves. Linear and Conv2d layers, Tanh and ReLU modules can be quantised; a network with other parameters is
    refused, as is one without an activation module.

    >>> network = QuantisationAware(lambda shape, classes: nn.Sequential(nn.Linear(12, 3), nn.Tanh()), bits=2)((12,), 2)
    >>> sorted(set(network(torch.randn(99, 12, generator=torch.Generator().manual_seed(0))).flatten().tolist()))
    [-0.75, -0.25, 0.25, 0.75]
    """

    factory: Callable[..., nn.Module]
    bits: int = 8
    weight_reach: float = 2.0
    relu_reach: float = 4.0

    def __post_init__(self) -> None:
        for reach in (self.weight_reach, self.relu_reach):
            Grid(self.bits, reach)  # which refuses what makes no sense

    def __call__(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """The quantised network for examples of this shape."""
        network = self.factory(shape, classes)
        rounded = 0
        for name, module in network.named_modules():
            kind = _KINDS.get(type(module))
            if kind is not None:
                # A subclass without parts of its own: parameters, names and hooks stay where they are.
                module.__class__ = kind
                module.grid = self._grid(module)  # pyright: ignore[reportArgumentType]
                rounded += isinstance(module, QuantisedTanh | QuantisedReLU)
            elif next(module.parameters(recurse=False), None) is not None:
                raise ValueError(
                    f"the {type(module).__name__} {name!r} cannot be quantised; use Linear and Conv2d layers"
                )
        if not rounded:
            raise ValueError("the network has no Tanh or ReLU module to quantise; make its activations modules")
        return network

    def _grid(self, module: nn.Module) -> Grid:
        if isinstance(module, QuantisedTanh):
            return Grid(self.bits, 1.0)
        if isinstance(module, QuantisedReLU):
            return Grid(self.bits, self.relu_reach, signed=False)
        return Grid(self.bits, self.weight_reach)
