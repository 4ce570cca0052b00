"""What each example costs a network, and the same with other weights, as a look."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from infoscope.data.inputs import Batch, count, pieces, take, to
from infoscope.data.targets import MASKED, Boxes, Classes, Labels, Real, Target, Tokens
from infoscope.data.task import Task
from infoscope.run.look import Look, pack, unpack
from infoscope.training.check_network import owned
from infoscope.training.forward import device_of, forward
from infoscope.training.isolation import isolated
from infoscope.training.learner import Learner, Weights, load_weights
from infoscope.training.predict import evaluating
from infoscope.unreadable import listed

_TRIED = 8  # examples that gradients are tried on

BATCH = 128
"""Examples that go through a network at once."""


@dataclass(frozen=True, eq=False)
class PerExample:
    """Nats of each example, a row each time that they were measured; float64."""

    values: Float[Tensor, "rows n"]

    def to_bytes(self) -> bytes:
        """As one safetensors file."""
        return pack({"values": self.values})

    @classmethod
    def from_bytes(cls, data: bytes) -> PerExample:
        """The value that `to_bytes` wrote."""
        return cls(unpack(data)[0]["values"])

    @classmethod
    def stand_in(cls, rows: int, n: int) -> PerExample:
        """One of this form, made at once."""
        return cls(torch.ones(rows, max(1, n), dtype=torch.float64))


def mean_and_error(values: Float[Tensor, " n"]) -> tuple[float, float]:
    """The mean over examples, and its standard error; NaN for a single one.

    >>> mean_and_error(torch.tensor([1.0, 3.0], dtype=torch.float64))
    (2.0, 1.0)
    """
    n = len(values)
    return float(values.mean()), float(values.double().std()) / math.sqrt(n) if n > 1 else math.nan


def example_losses(outputs: Tensor, target: Target, y: Tensor) -> Float[Tensor, " n"]:
    """−log p(y_i | x_i) of every example, nats: of all tokens of a document, of numbers but for a constant.

    >>> example_losses(torch.zeros(1, 4), Classes(4), torch.tensor([2])).exp().round(decimals=6)
    tensor([4.], dtype=torch.float64)
    """
    z, y = outputs.double(), y.to(outputs.device)
    match target:
        case Classes():
            return F.cross_entropy(z, y.long(), reduction="none")
        case Tokens():
            costs = F.cross_entropy(z.flatten(0, 1), y.flatten().long(), ignore_index=MASKED, reduction="none")
            return costs.view(y.shape).sum(1)
        case Labels():
            costs = F.binary_cross_entropy_with_logits(z, y.clamp(min=0).double(), reduction="none")
            return torch.where(y < 0, 0.0, costs).sum(1)
        case Real():
            return 0.5 * (z - target.standard(y.double())).square().flatten(1).sum(1)
    raise no_likelihood(target)


def check_likelihood(task: Task) -> None:
    """ValueError for a task whose loss is no likelihood, that has no examples, or of whose classes there is but one."""
    if not len(task):
        raise ValueError(f"{task.name!r} has no examples; give some")
    if isinstance(task.target, Classes) and task.target.outputs < 2:
        raise ValueError(
            f"{task.name!r} has one class, so that its labels cost nothing whatever the weights are; declare the "
            "classes that there may be (classes)"
        )
    if isinstance(task.target, Boxes):
        raise no_likelihood(task.target)


def check_own_loss(learner: Learner) -> None:
    """ValueError for a recipe with a loss of its own."""
    if learner.recipe.loss is not None:
        raise ValueError(
            "the learner's recipe has a loss of its own, of which nobody knows whether it is −log p; leave "
            "Recipe.loss out, so that the loss is the target's likelihood"
        )


def check_gradients(network: nn.Module, task: Task) -> None:
    """ValueError where the loss of the first few examples, or its derivative by a weight, is NaN or infinite."""
    some, device = slice(_TRIED), device_of(network)
    with torch.enable_grad(), evaluating(network):
        outputs = forward(network, owned(take(task.x, some), device))
        loss = example_losses(outputs, task.target, task.y[some]).sum()
        if not bool(loss.isfinite()):
            raise ValueError(
                f"the loss of {type(network).__name__} on {task.name!r} is {float(loss)}; check its weights and inputs"
            )
        learnt = {name: p for name, p in network.named_parameters() if p.requires_grad}
        slopes = torch.autograd.grad(loss, list(learnt.values()), allow_unused=True) if loss.requires_grad else ()
    wild = [name for name, g in zip(learnt, slopes, strict=False) if g is not None and not bool(g.isfinite().all())]
    if wild:
        raise ValueError(
            f"the gradients of {type(network).__name__} on {task.name!r} are NaN or infinite, of {listed(wild, 3)}; "
            "look for a root, a logarithm or a division at 0"
        )


def no_likelihood(target: Target) -> ValueError:
    """What is said of a target whose loss is none."""
    return ValueError(f"the loss of {target} is no likelihood of what a network gives; take classes, numbers or tokens")


@torch.no_grad()
def by_piece(
    network: nn.Module, task: Task, read: Callable[[Callable[[Batch], Tensor], Batch, Tensor], Tensor]
) -> Tensor:
    """What is read off a network in eval mode, piece by piece of a task's examples: one value a row."""
    device, found = device_of(network), []

    def call(x: Batch) -> Tensor:
        return forward(network, owned(x, device))

    with evaluating(network):
        for x, y in zip(pieces(task.x, BATCH), task.y.split(BATCH), strict=True):
            found.append(read(call, to(x, device), y).double().cpu())
    return torch.cat(found, -1)


def losses(network: nn.Module, task: Task) -> Float[Tensor, " n"]:
    """The loss of every example, nats."""
    return by_piece(network, task, lambda call, x, y: example_losses(call(x), task.target, y))


def losses_of(task: Task, learner: Learner, several: Sequence[Weights], device: str) -> PerExample:
    """The losses of a learner's network with each of these weights."""
    with isolated(0, threads=1):
        network = learner.network(task.shape, task.target.outputs, 0).to(device)
        rows = []
        for weights in several:
            load_weights(network, weights)
            rows.append(losses(network, task))
    return PerExample(torch.stack(rows))


def losses_look(task: Task, learner: Learner, several: Sequence[Weights], device: str, label: str) -> Look[PerExample]:
    """The same as a look."""
    args = (task, learner, tuple(several), device)
    stand_in = partial(PerExample.stand_in, len(several), count(task.x))
    return Look(losses_of, args, PerExample, 1, label, kind="passes", stand_in=stand_in)
