"""What a network predicts in eval mode, and the same as a look."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from infoscope.data.inputs import Batch, Inputs, count, pieces, take, to
from infoscope.data.targets import MASKED, Boxes, Classes, Labels, Real, Tokens
from infoscope.data.task import Task
from infoscope.run.look import pack, unpack
from infoscope.training.forward import device_of, forward
from infoscope.training.learner import Learner


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a network predicts for every example of a task, float64.

    For `Classes` the probability of each class (n, classes), for `Labels` of each label (n, names); for `Real` the
    number itself (n, dim); for `Tokens` the log-probability of each token that came, nats (n, length), NaN where it is
    masked.
    """

    p: Float[Tensor, "n ..."]

    def to_bytes(self) -> bytes:
        """As one safetensors file."""
        return pack({"p": self.p})

    @classmethod
    def of_nobody(cls, task: Task) -> Predictions:
        """What one who knows nothing predicts."""
        shape, target = tuple(task.y.shape), task.target
        match target:
            case Classes():
                return cls(torch.full((len(task), target.outputs), 1 / target.outputs))
            case Real():
                return cls(torch.full(shape, target.centre))
            case Tokens():
                return cls(torch.full(shape, -math.log(target.vocabulary)))
        return cls(torch.full(shape, 0.5))

    @classmethod
    def from_bytes(cls, data: bytes) -> Predictions:
        """The value that `to_bytes` wrote."""
        return cls(unpack(data)[0]["p"])


def predict(task: Task, learner: Learner, seed: int, device: str = "cpu") -> Predictions:
    """What the learner's network, as it starts, predicts for the task's examples."""
    network = learner.network(task.shape, task.target.outputs, seed).to(device)
    match task.target:
        case Classes():
            return Predictions(probabilities(network, task.x))
        case Labels():
            return Predictions(_outputs(network, task.x, torch.sigmoid))
        case Real(centre=centre, scale=scale):
            return Predictions(_outputs(network, task.x, lambda f: centre + scale * f))
        case Tokens():
            return Predictions(_log_probabilities(network, task))
        case Boxes():
            raise ValueError(f"{task.name!r} has boxes; what a network says of them is read by infoscope.models")


def probabilities(network: nn.Module, x: Inputs, batch: int = 1024) -> Float[Tensor, "n classes"]:
    """Class probabilities of a network in eval mode, float64; mode and buffers are left as they were."""
    return _outputs(network, x, lambda logits: logits.softmax(1), batch)


@torch.no_grad()
def _outputs(
    network: nn.Module, x: Inputs, read: Callable[[Tensor], Tensor], batch: int = 1024
) -> Float[Tensor, "n ..."]:
    device = device_of(network)
    with evaluating(network):
        return torch.cat([read(forward(network, to(part, device)).double()).cpu() for part in _parts(x, batch)])


@torch.no_grad()
def _log_probabilities(network: nn.Module, task: Task, batch: int = 16) -> Float[Tensor, "n length"]:
    device, parts = device_of(network), zip(_parts(task.x, batch), task.y.split(batch), strict=True)
    with evaluating(network):
        return torch.cat([_of_tokens(forward(network, to(x, device)).cpu(), y) for x, y in parts])


def _parts(x: Inputs, batch: int) -> Iterator[Batch]:
    """Pieces of the inputs: one of no examples where there are none."""
    return pieces(x, batch) if count(x) else iter([take(x, slice(0))])


def _of_tokens(logits: Float[Tensor, "n length vocabulary"], y: Tensor) -> Float[Tensor, "n length"]:
    logs = logits.float().log_softmax(-1).gather(-1, y.clamp(min=0).long()[..., None]).squeeze(-1).double()
    return logs.where(y != MASKED, torch.nan)


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """A network in eval mode, whose modules are left in the modes in which they were."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
