"""What a component is reset to: four answers to four questions."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from infoscope.model_information.components import Component, with_component
from infoscope.training.learner import Weights


@dataclass(frozen=True)
class Beginnings:
    """What a network's weights can be reset to: those that its training began from, and those of another draw."""

    start: Weights
    other: Weights


class Reset(Protocol):
    """What the weights of a component are replaced by."""

    needs_start: ClassVar[bool]
    needs_draw: ClassVar[bool]

    def __call__(self, weights: Weights, component: Component, begun: Beginnings, seed: int) -> dict[str, Tensor]:
        """The weights with this component reset."""
        ...


@dataclass(frozen=True)
class OwnStart:
    """What training put into the component: it goes back to where its training began, as in eq. (7).

    The rest of the network was aligned to that start, so a component that hardly moved shows little.
    """

    needs_start: ClassVar[bool] = True
    needs_draw: ClassVar[bool] = False

    def __call__(self, weights: Weights, component: Component, begun: Beginnings, seed: int) -> dict[str, Tensor]:
        """The component as training found it."""
        return with_component(weights, begun.start, component)


@dataclass(frozen=True)
class NewDraw:
    """What the component knows, the start that the rest was aligned to included: it is drawn anew."""

    needs_start: ClassVar[bool] = False
    needs_draw: ClassVar[bool] = True

    def __call__(self, weights: Weights, component: Component, begun: Beginnings, seed: int) -> dict[str, Tensor]:
        """The component of a network of another draw."""
        return with_component(weights, begun.other, component)


@dataclass(frozen=True)
class Mean:
    """What lies in the differences between the component's weights: each tensor becomes its mean."""

    needs_start: ClassVar[bool] = False
    needs_draw: ClassVar[bool] = False

    def __call__(self, weights: Weights, component: Component, begun: Beginnings, seed: int) -> dict[str, Tensor]:
        """The component flat."""
        made = dict(weights)
        for one in component.slices:
            old = made[one.name]
            if old.is_floating_point() and old.numel():  # counters stay
                made[one.name] = one.put(old, torch.full_like(old, one.take(old).mean().item()))
        return made


@dataclass(frozen=True)
class Resampled:
    """What lies in where each weight stands: in each tensor the component's own values change places.

    Their distribution, and so the scale of what the component puts out, stays.
    """

    needs_start: ClassVar[bool] = False
    needs_draw: ClassVar[bool] = False

    def __call__(self, weights: Weights, component: Component, begun: Beginnings, seed: int) -> dict[str, Tensor]:
        """The component with its values in other places, drawn by the seed; tied weights move alike."""
        made = dict(weights)
        drawn: dict[int, Tensor] = {}
        for one in component.slices:
            old = made[one.name]
            if old.is_floating_point():
                values = one.take(old).flatten()
                order = drawn.setdefault(
                    weights[one.name].data_ptr(),
                    torch.randperm(
                        len(values), generator=torch.Generator().manual_seed(seed + zlib.crc32(one.name.encode()))
                    ),
                )
                made[one.name] = _placed(old, one, values[order])
        return made
