"""Gaussian noise inside a network, so that what its layers hold about the input is finite and can only fall."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from infoscope.observation.layers import layer_names


@dataclass(frozen=True)
class GaussianNoise:
    """A forward hook that adds noise of this variance to a layer's output, in training and in evaluation alike."""

    variance: float

    def __post_init__(self) -> None:
        if not self.variance > 0:
            raise ValueError(f"the noise's variance is {self.variance}; give one above 0")

    def __call__(self, module: nn.Module, inputs: Any, output: Any) -> Tensor:
        """The output with noise; draws are torch's own, so a seed repeats them."""
        if not isinstance(output, Tensor):
            kind = type(module).__name__
            raise ValueError(f"a {kind} gives a {type(output).__name__}; noise goes on layers that give one tensor")
        return output + math.sqrt(self.variance) * torch.randn_like(output)


@dataclass(frozen=True)
class WithNoise:
    """A factory of another's networks, their layers made noisy: for `Learner`, so that `fit` trains with the noise.

    >>> network = WithNoise(lambda shape, classes: nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 2)))((2,), 2)
    >>> noise_of(network), sorted(network.state_dict())[0]
    (0.001, '0.bias')
    """

    factory: Callable[..., nn.Module]
    variance: float = 1e-3
    layers: tuple[str, ...] | None = None

    def __call__(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """The noisy network for examples of this shape."""
        return with_noise(self.factory(shape, classes), self.variance, self.layers)


def with_noise(network: nn.Module, variance: float = 1e-3, layers: Sequence[str] | None = None) -> nn.Module:
    """The same network, whose layers add noise from now on: T̂_k = f_k(T̂_(k−1)) + Z_k, Z_k ~ N(0, variance · 1).

    Goldfeld et al. 2019. X → T̂_1 → T̂_2 → … is then a Markov chain of random variables, I(X;T̂_k) is finite, and the
    data processing inequality holds for what `Noisy` measures, which it does not where noise is added for measuring
    alone. `layers` are globs; without them it is every layer but the last, whose output is the logits. Weights and
    their names stay as they are; `without_noise` takes the noise off.
    """
    names = layer_names(network, layers)
    modules = dict(network.named_modules())
    without_noise(network)
    for name in names if layers is not None else names[:-1]:
        modules[name].register_forward_hook(GaussianNoise(variance))
    return network


def without_noise(network: nn.Module) -> nn.Module:
    """The same network with no noise."""
    for module in network.modules():
        for number in [n for n, hook in module._forward_hooks.items() if isinstance(hook, GaussianNoise)]:
            del module._forward_hooks[number]
    return network


def noise_of(network: nn.Module) -> float | None:
    """The variance of the noise in a network; None if there is none. A ValueError if layers differ in it."""
    hooks = (hook for module in network.modules() for hook in module._forward_hooks.values())
    found = {hook.variance for hook in hooks if isinstance(hook, GaussianNoise)}
    if len(found) > 1:
        raise ValueError(f"layers have noise of variances {sorted(found)}; give all of them the same")
    return next(iter(found), None)
