"""A learner: a way to make a network, and a frozen recipe to train it."""

from __future__ import annotations

import copy
import dataclasses
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from infoscope.data.inputs import Shape
from infoscope.training.forward import forward
from infoscope.training.isolation import isolated
from infoscope.training.recipe import Recipe

Weights = Mapping[str, Tensor]


@dataclass(frozen=True)
class Learner:
    """A factory of networks and the recipe to train one.

    `factory` is called with the shape of an example (a mapping of shapes where inputs go by name) and the number of
    outputs that the target asks for, or with nothing if it takes nothing. It returns a module from a batch, exactly as
    the task holds it, to what the target asks for: logits (n, classes) for one class an example.

    >>> learner = Learner(lambda: nn.Linear(3, 2))
    >>> learner.network(shape=(3,), outputs=2, seed=0)
    Linear(in_features=3, out_features=2, bias=True)
    """

    factory: Callable[..., nn.Module]
    recipe: Recipe = Recipe()
    weights: Weights | None = None

    def starting_from(self, weights: Weights) -> Learner:
        """The same learner, which starts from these weights."""
        return dataclasses.replace(self, weights=weights)

    def network(self, shape: Shape, outputs: int, seed: int) -> nn.Module:
        """A network with this seed's initial weights, or with the weights that the learner starts from."""
        with isolated(seed):
            network = self.factory(shape, outputs) if _takes_shape(self.factory) else self.factory()
            if isinstance(network, nn.Module) and any(map(is_lazy, network.parameters())):
                _settle(network, shape)
        if not isinstance(network, nn.Module):
            raise TypeError(f"Learner.factory gave a {type(network).__name__}; it must give a torch.nn.Module")
        if self.weights is not None:
            load_weights(network, self.weights)
        return network


@torch.no_grad()
def _settle(network: nn.Module, shape: Shape) -> None:
    """Let lazy layers learn their sizes from an example of zeros."""
    if isinstance(shape, dict):
        forward(network.eval(), {name: torch.zeros(1, *sizes, dtype=torch.long) for name, sizes in shape.items()})
    else:
        forward(network.eval(), torch.zeros(1, *shape))
    network.train()


def load_weights(network: nn.Module, weights: Weights) -> None:
    """Put weights into a network; a ValueError names what is missing, unknown or of another shape."""
    own = network.state_dict()
    # A caller's file may lack the counters of BatchNorm, which no prediction depends on.
    # Nor does it name tied weights twice, which `save_pretrained` doesn't.
    missing = [k for k in own if k not in weights and not k.endswith("num_batches_tracked")]
    missing = [k for k in missing if not any(other in weights for other in _same(network, k))]
    unknown = [k for k in weights if k not in own]
    shapes = [k for k in own if k in weights and own[k].shape != weights[k].shape]
    if missing or unknown or shapes:
        other = [f"{k}, {tuple(weights[k].shape)} and not {tuple(own[k].shape)}" for k in shapes[:1]] + shapes[1:]
        told = [f"{what} {', '.join(ks[:3])}" for what, ks in
                (("lacks", missing), ("has unknown", unknown), ("has another shape for", other)) if ks]  # fmt: skip
        raise ValueError(f"the weights do not fit {type(network).__name__}: the file {'; '.join(told)}; name its model")
    network.load_state_dict(dict(weights), strict=False)


def _same(network: nn.Module, name: str) -> list[str]:
    """All names of a parameter that has this one."""
    named = dict(network.named_parameters(remove_duplicate=False))
    return [other for other, p in named.items() if p is named.get(name)]


def copy_weights(network: nn.Module) -> dict[str, Tensor]:
    """A copy of all parameters and buffers, on the CPU."""
    return {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}


def copy_network(network: nn.Module) -> nn.Module:
    """A network with the same weights, which learn where its do; of a scripted one too.

    >>> [(p.is_leaf, p.requires_grad) for p in copy_network(nn.Linear(2, 1)).parameters()]
    [(True, True), (True, True)]
    """
    with torch.no_grad():  # else the weights of a scripted copy are results of the copying, and can't be trained
        copied = copy.deepcopy(network)
    for own, weight in zip(network.parameters(), copied.parameters(), strict=True):
        weight.requires_grad_(own.requires_grad)
    return copied


def check_device(name: str) -> str:
    """The name of a device that this machine has; a ValueError otherwise."""
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"no device {name!r} on this machine ({str(error).splitlines()[0][:80]}); use cpu") from error
    return name


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
