"""A learner: a way to make a network, and a frozen recipe to train it."""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parameter import is_lazy

from infoscope.training.isolation import isolated

Weights = Mapping[str, Tensor]


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma & Ba 2015), with decoupled weight decay (Loshchilov & Hutter 2019) if any."""

    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0

    def __call__(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """The optimizer over these parameters."""
        return torch.optim.AdamW(parameters, lr=self.lr, betas=self.betas, weight_decay=self.weight_decay)


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent with momentum."""

    lr: float = 0.1
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 0.0

    def __call__(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """The optimizer over these parameters."""
        return torch.optim.SGD(
            parameters, self.lr, self.momentum, nesterov=self.nesterov, weight_decay=self.weight_decay
        )


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


def cross_entropy(outputs: Any, y: Tensor) -> Tensor:
    """Mean cross-entropy of logits (n, classes) at labels (n,), nats an example."""
    return F.cross_entropy(outputs, y)


@dataclass(frozen=True)
class Recipe:
    """How to train: optimizer, decay, batch, epochs, early stopping after `patience` epochs, augmentation, loss.

    `patience=None` trains all epochs. `augment(x, generator)` maps a batch to a batch. `loss(outputs, y)` is the mean
    over a batch of what is brought down; with the default the network must give one logit a class.
    """

    optimizer: Adam | SGD | Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer] = Adam()
    decay: Decay = Constant()
    batch: int = 64
    epochs: int = 300
    patience: int | None = 10
    augment: Callable[[Tensor, torch.Generator], Tensor] | None = None
    loss: Callable[[Any, Tensor], Tensor] = field(default=cross_entropy, repr=False)

    def __post_init__(self):
        for name in ("epochs", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; a recipe has 1 or more")


@dataclass(frozen=True)
class Learner:
    """A factory of networks and the recipe to train one.

    `factory` is called with the shape of an example and the number of classes, or with nothing if it takes nothing;
    it returns a module from a float batch to logits (n, classes).

    >>> learner = Learner(lambda: nn.Linear(3, 2))
    >>> learner.network(shape=(3,), classes=2, seed=0)
    Linear(in_features=3, out_features=2, bias=True)
    """

    factory: Callable[..., nn.Module]
    recipe: Recipe = Recipe()
    weights: Weights | None = None

    def starting_from(self, weights: Weights) -> Learner:
        """The same learner, which starts from these weights."""
        return dataclasses.replace(self, weights=weights)

    def network(self, shape: tuple[int, ...], classes: int, seed: int) -> nn.Module:
        """A network with this seed's initial weights, or with the weights that the learner starts from."""
        with isolated(seed):
            network = self.factory(shape, classes) if _takes_shape(self.factory) else self.factory()
            if isinstance(network, nn.Module) and any(map(is_lazy, network.parameters())):
                with torch.no_grad():
                    network.eval()(torch.zeros(1, *shape))  # lazy layers learn their sizes
                network.train()
        if not isinstance(network, nn.Module):
            raise TypeError(f"Learner.factory gave a {type(network).__name__}; it must give a torch.nn.Module")
        if self.weights is not None:
            load_weights(network, self.weights)
        return network


def load_weights(network: nn.Module, weights: Weights) -> None:
    """Put weights into a network; a ValueError names what is missing, unknown or of another shape."""
    own = network.state_dict()
    # A caller's file may lack the counters of BatchNorm, which no prediction depends on.
    missing = [k for k in own if k not in weights and not k.endswith("num_batches_tracked")]
    unknown = [k for k in weights if k not in own]
    shapes = [k for k in own if k in weights and own[k].shape != weights[k].shape]
    if missing or unknown or shapes:
        told = [f"{what} {', '.join(ks[:3])}" for what, ks in
                (("lacks", missing), ("has unknown", unknown), ("has another shape for", shapes)) if ks]  # fmt: skip
        raise ValueError(f"the weights do not fit {type(network).__name__}: the file {'; '.join(told)}; name its model")
    network.load_state_dict(dict(weights), strict=False)


def copy_weights(network: nn.Module) -> dict[str, Tensor]:
    """A copy of all parameters and buffers, on the CPU."""
    return {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}


def check_device(name: str) -> str:
    """The name of a device that this machine has; a ValueError otherwise."""
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"no device {name!r} on this machine ({str(error).splitlines()[0][:80]}); use cpu") from error
    return name


def check_logits(logits: Any, n: int, classes: int, network: nn.Module) -> None:
    """ValueError unless the network gave one logit a class for each example."""
    shape = tuple(logits.shape) if isinstance(logits, Tensor) else None
    if shape != (n, classes):
        given = f"a {type(logits).__name__}" if shape is None else f"an output of shape {shape}"
        raise ValueError(
            f"{type(network).__name__} gave {given} for {n} examples of {classes} "
            f"classes; it must give logits of shape ({n}, {classes})"
        )


def _takes_shape(factory: Callable[..., nn.Module]) -> bool:
    if isinstance(factory, type) and factory.__init__ is nn.Module.__init__:  # it takes (*args, **kwargs), and refuses
        return False
    try:
        inspect.signature(factory).bind((1,), 2)
    except TypeError:
        return False
    except ValueError:  # a builtin without a signature
        return False
    return True
