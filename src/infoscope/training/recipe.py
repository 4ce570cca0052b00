"""How to train a network: optimizer, decay of its rate, batch, epochs, early stopping, augmentation, loss, penalty."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from infoscope.data.inputs import Batch
from infoscope.data.targets import Target
from infoscope.training import optimizers


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma & Ba 2015), with decoupled weight decay (Loshchilov & Hutter 2019) if any."""

    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0

    def __call__(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """The optimizer over these parameters."""
        return optimizers.AdamW(parameters, lr=self.lr, betas=self.betas, weight_decay=self.weight_decay)


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent with momentum."""

    lr: float = 0.1
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 0.0

    def __call__(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """The optimizer over these parameters."""
        return optimizers.SGD(
            parameters, self.lr, self.momentum, nesterov=self.nesterov, weight_decay=self.weight_decay
        )


Optimizer = Adam | SGD | Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]
"""What makes an optimizer over parameters."""

OPTIMIZERS: dict[str, Adam | SGD] = {"adam": Adam(), "sgd": SGD()}
"""Optimizers by name."""


class Decay(Protocol):
    """How the learning rate goes down: a factor for the fraction of training that is done."""

    def __call__(self, done: float) -> float:
        """The factor at `done`, which runs from 0 to 1."""
        ...


@dataclass(frozen=True)
class Constant:
    """No decay."""

    def __call__(self, done: float) -> float:
        """Always 1."""
        return 1.0


@dataclass(frozen=True)
class Cosine:
    """Half a cosine from 1 to 0 (Loshchilov & Hutter 2017)."""

    def __call__(self, done: float) -> float:
        """½(1 + cos π·done)."""
        return 0.5 * (1 + math.cos(math.pi * done))


@dataclass(frozen=True)
class Steps:
    """Multiply by `factor` at each milestone (a fraction of training)."""

    milestones: tuple[float, ...] = (0.5, 0.75)
    factor: float = 0.1

    def __call__(self, done: float) -> float:
        """`factor` to the number of milestones passed."""
        return self.factor ** sum(done >= m for m in self.milestones)


@dataclass(frozen=True)
class Restarted:
    """Another decay, begun anew after the fraction `at` of training, over what is left of it.

    >>> [round(Restarted(Cosine(), at=0.5)(done), 2) for done in (0.0, 0.25, 0.5, 0.75)]
    [1.0, 0.85, 1.0, 0.5]
    """

    decay: Decay
    at: float

    def __call__(self, done: float) -> float:
        """The decay's factor at what is done since it began anew."""
        return self.decay(done if done < self.at else (done - self.at) / (1 - self.at))


Loss = Callable[[Any, Tensor], Tensor]
"""The mean over a batch of what is brought down, from what a network gave and the targets."""


Term = Callable[[Batch, Any], Tensor]
"""A number that is added to a batch's loss, from its inputs and what the network gave for them."""


class Penalty(Protocol):
    """What is brought down beside the loss: a frozen value, and so a part of a recipe's key."""

    def begin(self, network: nn.Module, seed: int) -> Term:
        """The term of one training, tied to the live network as it starts; `seed` is for its own draws."""
        ...


@dataclass(frozen=True)
class Recipe:
    """How to train: optimizer, decay, batch, epochs, early stopping after `patience` epochs, augmentation, loss.

    `patience=None` trains all epochs. `augment(x, generator)` maps a batch to a batch. `loss(outputs, y)` is the mean
    over a batch of what is brought down; without one it is the target's likelihood, and the network must give what the
    target asks for (`infoscope.data.targets`). A `penalty` is added to it in every step (`training/penalties.py`), and
    not in what is reported or held out.
    """

    optimizer: Optimizer = Adam()
    decay: Decay = Constant()
    batch: int = 64
    epochs: int = 1000
    patience: int | None = 10
    augment: Callable[[Any, torch.Generator], Any] | None = None
    loss: Loss | None = field(default=None, repr=False)
    penalty: Penalty | None = field(default=None, repr=False)

    def __post_init__(self):
        for name in ("epochs", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; a recipe has 1 or more")

    def loss_on(self, target: Target) -> Loss:
        """The recipe's own loss, or the target's likelihood."""
        return target.loss if self.loss is None else self.loss
