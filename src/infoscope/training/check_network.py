"""Whether a network gives what its task asks for, before it is trained."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from infoscope.data.inputs import Batch, each, take
from infoscope.data.targets import Classes, check_outputs
from infoscope.data.task import Task
from infoscope.training.forward import device_of, forward


@torch.no_grad()
def check_network(network: nn.Module, task: Task) -> None:
    """ValueError unless a network gives what the task's target asks for; it is left in eval mode."""
    first = forward(network.eval(), owned(take(task.x, slice(2)), device_of(network)))
    check_outputs(first, task.target, task.y[:2], network)
    if isinstance(task.target, Classes) and task.classes > 1 and _are_probabilities(first):
        raise ValueError(
            f"{type(network).__name__} gives probabilities, whose rows sum to 1; give logits: leave the softmax out"
        )


def _are_probabilities(outputs: Tensor) -> bool:
    return bool((outputs >= 0).all() and ((outputs.double().sum(1) - 1).abs() < 1e-5).all())


def owned(x: Batch, device: torch.device) -> Batch:
    """A copy: a network may write into its input."""
    return each(x, lambda t: t.clone().to(device))
