"""What a network predicts: class probabilities in eval mode, and the same as a look."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from infoscope.data.task import Task
from infoscope.run.look import pack, unpack
from infoscope.training.learner import Learner


@dataclass(frozen=True, eq=False)
class Predictions:
    """Class probabilities of a network for every example of a task."""

    p: Float[Tensor, "n classes"]

    def to_bytes(self) -> bytes:
        """As one safetensors file."""
        return pack({"p": self.p})

    @classmethod
    def from_bytes(cls, data: bytes) -> Predictions:
        """The value that `to_bytes` wrote."""
        return cls(unpack(data)[0]["p"])


def predict(task: Task, learner: Learner, seed: int, device: str = "cpu") -> Predictions:
    """What the learner's network, as it starts, predicts for the task's examples."""
    network = learner.network(task.shape, task.classes, seed).to(device)
    return Predictions(probabilities(network, task.x))


@torch.no_grad()
def probabilities(network: nn.Module, x: Float[Tensor, "n ..."], batch: int = 1024) -> Float[Tensor, "n classes"]:
    """Class probabilities of a network in eval mode, float64; mode and buffers are left as they were."""
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        parts = [network(part.to(device)).double().softmax(1).cpu() for part in x.split(batch)]
    finally:
        for module, mode in modes:
            module.training = mode
    return torch.cat(parts)
