"""What a label costs a network that learns nothing while it is sent: the loss of frozen weights."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial

import torch

from infoscope.data.inputs import count, pieces, to
from infoscope.data.targets import MASKED, Tokens
from infoscope.data.task import Task
from infoscope.model_information.cost import PassTime
from infoscope.run.look import Look
from infoscope.training.forward import device_of, forward
from infoscope.training.learner import Learner
from infoscope.training.predict import evaluating


@dataclass(frozen=True)
class HeldOutLoss:
    """The mean loss in nats an example (of tokens: a token), by the likelihood of the task's target, and over how many.

    Of numbers it is that of a Gaussian with the declared scale, but for a constant.
    """

    nats: float
    n: int

    def to_bytes(self) -> bytes:
        """As JSON."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> HeldOutLoss:
        """The value that `to_bytes` wrote."""
        return cls(**json.loads(data))


@torch.no_grad()
def held_out_loss(task: Task, learner: Learner, seed: int, device: str = "cpu", batch: int = 256) -> HeldOutLoss:
    """The loss of the learner's network, as it starts, on a task's examples; the network is in eval mode."""
    network = learner.network(task.shape, task.target.outputs, seed).to(device)
    total, n, start = 0.0, 0, 0
    with evaluating(network):
        for x in pieces(task.x, batch) if len(task) else ():
            y = task.y[start : (start := start + count(x))]
            weight = int((y != MASKED).sum()) if isinstance(task.target, Tokens) else len(y)
            outputs = forward(network, to(x, device_of(network)))
            total += weight * float(task.target.loss(outputs.double(), y.to(outputs.device)))
            n += weight
    return HeldOutLoss(total / n if n else float("nan"), n)


def loss_looks(task: Task, learners: Sequence[Learner], seeds: Sequence[int], device: str) -> list[Look[HeldOutLoss]]:
    """One look a learner, which makes its network with the seed."""
    return [
        Look(
            held_out_loss,
            (task, learner, seed, device),
            HeldOutLoss,
            label=f"loss on {task.name}, seed {seed}",
            kind="losses",
            seconds=PassTime.of(held_out_loss, task, learner, seed, device) if len(task) else None,
            stand_in=partial(HeldOutLoss, 1.0, max(len(task), 1)),
        )
        for learner, seed in zip(learners, seeds, strict=True)
    ]
