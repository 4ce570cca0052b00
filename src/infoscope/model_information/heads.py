"""What becomes of a network's head, the layer that makes its outputs, when the network comes to another task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from infoscope.data.inputs import Shape, take
from infoscope.data.targets import Tokens
from infoscope.data.task import Task
from infoscope.observation.layers import last_layer
from infoscope.prequential.encode import Coder
from infoscope.prequential.last_layer import ends_linear
from infoscope.prequential.replay import Replay
from infoscope.training.learner import Learner, Weights

Head = Literal["kept", "new", "start", "closed-form"]
"""What becomes of a head.

- `kept`: it stays as it was trained, and knows what its outputs were called.
- `new`: it is drawn anew, by a draw of the seed's own that no training began with; all of the network goes on learning.
- `start`: it is set back to where its own training began. The body was trained to fit that very draw, so that it still
  knows the names of the classes.
- `closed-form`: it is solved for, on the body's features, from the labels that were already sent; the body stays as it
  is. This is what the features hold, whatever the classes are called.
"""

HEADS: dict[Head, str] = {
    "kept": "head kept",
    "new": "head newly drawn",
    "start": "head set back to its own start",
    "closed-form": "head solved for in closed form on the body's features, which stay as they are",
}
"""The policies as receipts tell them."""

NEW_DRAW = 1_000_003
"""Added to a seed for the draw of a new head: seeds of replicates are small, so none began with this one."""


def with_head(
    learner: Learner, weights: Weights, task: Task, seed: int, head: Head = "kept", initial: Weights | None = None
) -> Learner:
    """The learner that codes `task` from these weights, their head treated as `head` says.

    `initial` are the weights that the training began with, which `start` needs. Of a task with another number of
    outputs only `new` and `closed-form` can be taken. ValueError with a clear word where it cannot be done.

    >>> from infoscope.models import MLP
    >>> learner, iris = Learner(MLP((8,))), Task.from_dataset("iris")
    >>> weights = learner.network(iris.shape, 3, seed=0).state_dict()
    >>> fresh = with_head(learner, weights, iris, 0, "new").network(iris.shape, 3, seed=0).state_dict()
    >>> [name for name in weights if not torch.equal(weights[name], fresh[name])]
    ['fc2.weight', 'fc2.bias']
    """
    check_head(head)
    drawn = Learner(learner.factory).network(task.shape, task.target.outputs, NEW_DRAW + seed)
    own = drawn.state_dict()
    if head == "kept":
        return learner.starting_from(_fitting(weights, own, task))
    names = _names(drawn, task, weights)

    def joined(other: Weights) -> dict[str, Tensor]:
        return _fitting({name: other[name] if name in names else t for name, t in weights.items()}, own, task)

    match head:
        case "start":
            if initial is None:
                raise ValueError("head 'start' needs the weights that the training began with; give initial, or new")
            return learner.starting_from(joined(initial))
        case "new":
            return learner.starting_from(joined(own))
        case "closed-form":
            _check_closed_form(drawn, task)
            silent = {name: torch.zeros_like(own[name]) for name in names}
            return Learner(Still(learner.factory), learner.recipe, joined(silent))


def check_head(head: Head, coder: Coder | None = None, *tasks: Task) -> None:
    """ValueError unless there is such a policy, this coder can follow it, and these tasks' outputs allow it.

    What depends on the network is seen by `with_head` alone.
    """
    if head not in get_args(Head):
        raise ValueError(f"no head {head!r}; there are {', '.join(get_args(Head))}")
    if head == "closed-form" and coder is not None and not isinstance(coder, Replay):
        raise ValueError(
            f"head 'closed-form' is solved for by replay's regressions, which {type(coder).__name__} lacks; "
            "take replay, or head new"
        )
    if head in ("kept", "start") and len({task.target.outputs for task in tasks}) > 1:
        told = ", ".join(f"{task.name} {task.target.outputs}" for task in tasks)
        raise ValueError(
            f"the tasks ask for different numbers of outputs ({told}), and a head {head} has one; take new"
        )
    kinds = {type(task.target).__name__ for task in tasks}
    if len(kinds) > 1:
        raise ValueError(f"the tasks have different kinds of targets ({', '.join(sorted(kinds))}); compare like ones")


@dataclass(frozen=True)
class Still:
    """A factory's network of which no weight learns: what is learned of the labels is the closed form alone."""

    factory: Callable[..., nn.Module]

    def __call__(self, shape: Shape, outputs: int) -> nn.Module:
        """The network; its weights are to be given."""
        return Learner(self.factory).network(shape, outputs, 0).requires_grad_(False)


def head_layer(network: nn.Module, task: Task) -> str:
    """The name of the layer that makes a network's outputs: the last linear or convolutional one that is called.

    >>> from infoscope.models import MLP
    >>> iris = Task.from_dataset("iris")
    >>> head_layer(Learner(MLP((8,))).network(iris.shape, 3, seed=0), iris)
    'fc2'
    """
    called = last_layer(network, take(task.x, slice(1)))
    what = type(network).__name__
    if called is None:
        raise ValueError(f"{what} has no linear layer and no convolution that could be its head; keep it as it is")
    layer = network.get_submodule(called)
    outputs = layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels
    if outputs != task.target.outputs:
        raise ValueError(
            f"{task.name!r} asks for {task.target.outputs} outputs, and the last layer of {what}, {called!r}, "
            f"makes {outputs}: it is no head for this task; keep it, or give a factory that takes (shape, outputs)"
        )
    return called


def _names(network: nn.Module, task: Task, weights: Weights) -> list[str]:
    """The tensors of the head; a ValueError where the body shares one of them."""
    head = head_layer(network, task)
    names = [name for name in network.state_dict() if name.startswith(f"{head}.")]
    tensors = dict(network.named_parameters(remove_duplicate=False))
    places = {tensors[name].data_ptr(): name for name in names if name in tensors}
    shared = [name for name, t in tensors.items() if t.data_ptr() in places and name not in names]
    if shared:
        raise ValueError(f"the head {head!r} shares its weights with {shared[0]!r}; it can only be kept")
    lacking = [name for name in names if name not in weights]
    if lacking:
        raise ValueError(f"the weights lack {lacking[0]!r}, which belongs to the head; name the model that they are of")
    return names


def _fitting(weights: Weights, own: Weights, task: Task) -> dict[str, Tensor]:
    """The weights, if they have the shapes of those that a network of the task has of its own."""
    for name, tensor in weights.items():
        if name in own and own[name].shape != tensor.shape:
            raise ValueError(
                f"the weights do not fit {task.name!r}: {name} is {tuple(tensor.shape)} and would have to be "
                f"{tuple(own[name].shape)}; give a task of inputs and outputs like those that were trained on, or, "
                "where only the outputs differ, take head new"
            )
    return dict(weights)


def _check_closed_form(network: nn.Module, task: Task) -> None:
    if isinstance(task.target, Tokens) or not ends_linear(network, take(task.x, slice(1))):
        raise ValueError(
            f"head 'closed-form' needs a network that ends in a linear layer, an output for each example; "
            f"{type(network).__name__} on {task.name!r} does not: take new"
        )
