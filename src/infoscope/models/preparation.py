"""What is done to images before a network sees them: as it was done where the network was trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Preparation:
    """Brought to `channels`, scaled to `size` pixels a side, `mean` taken off, divided by `deviation`, channelwise.

    Pixels come from 0 to 1. A grey image is given to all of the `channels`, or to those that `mean` names; of a colour
    image the mean over its channels is what `channels=1` takes.

    >>> Preparation(mean=(0.5,), deviation=(0.25,)).of(torch.ones(1, 1, 2, 2)).unique()
    tensor([2.])
    >>> Preparation(channels=1).of(torch.tensor([0.0, 0.5, 1.0]).view(1, 3, 1, 1)).flatten()
    tensor([0.5000])
    """

    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()
    size: int | None = None
    channels: int | None = None

    def __post_init__(self) -> None:
        for name in ("mean", "deviation"):
            given: Any = getattr(self, name)
            object.__setattr__(self, name, tuple(given) if isinstance(given, list | tuple) else (float(given),))
        if min(self.deviation, default=1.0) <= 0:
            raise ValueError(f"{self}: a deviation is above 0, as it is divided by")
        if self.channels is not None and self.channels < 1:
            raise ValueError(f"{self}: there is one channel or more")

    def of(self, x: Tensor) -> Tensor:
        """Prepared images (n, channels, height, width)."""
        if x.ndim != 4:
            raise ValueError(f"only images are prepared, and an example has shape {tuple(x.shape[1:])}")
        channels = self.channels or (len(self.mean) if x.shape[1] == 1 and len(self.mean) > 1 else x.shape[1])
        if x.shape[1] != channels:
            if 1 not in (x.shape[1], channels):
                raise ValueError(f"images of {x.shape[1]} channels cannot be brought to {channels}; name 1, for grey")
            x = x.mean(1, keepdim=True) if channels == 1 else x.expand(-1, channels, -1, -1)
        if self.size is not None and tuple(x.shape[2:]) != (self.size, self.size):
            x = F.interpolate(x, (self.size, self.size), mode="bilinear", antialias=True)
        for values, change in ((self.mean, torch.sub), (self.deviation, torch.div)):
            if values:
                if len(values) not in (1, x.shape[1]):
                    raise ValueError(f"{self} is for {len(values)} channels, and images have {x.shape[1]}")
                x = change(x, x.new_tensor(values).view(1, -1, 1, 1))
        return x

    def __call__(self, network: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        """As a hook that PyTorch calls before a network's `forward`."""
        return (self.of(inputs[0]), *inputs[1:])


@dataclass(frozen=True)
class Prepared:
    """A factory whose networks prepare their inputs themselves; their weights keep their names."""

    factory: Callable[..., nn.Module]
    preparation: Preparation

    @property
    def loss(self) -> Any:
        """That of the factory, if it brings one."""
        return getattr(self.factory, "loss", None)

    def __call__(self, shape: tuple[int, ...], outputs: int) -> nn.Module:
        """The network for examples of this shape, as they are before."""
        prepared = tuple(self.preparation.of(torch.zeros(1, *shape)).shape[1:])
        network = self.factory(prepared, outputs)
        network.register_forward_pre_hook(self.preparation)
        return network
