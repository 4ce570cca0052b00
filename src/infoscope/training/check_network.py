"""Whether a network gives what its task asks for, before it is trained."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from infoscope.data.inputs import Batch, each, take
from infoscope.data.targets import Classes, check_outputs
from infoscope.data.task import Task
from infoscope.training.forward import device_of, forward
from infoscope.unreadable import first_line


@torch.no_grad()
def check_network(network: nn.Module, task: Task) -> None:
    """ValueError unless a network gives what the task's target asks for; it is left in eval mode."""
    first = _tried(network.eval(), task)
    check_outputs(first, task.target, task.y[:2], network)
    if isinstance(task.target, Classes) and task.classes > 1 and _are_probabilities(first):
        raise ValueError(
            f"{type(network).__name__} gives probabilities, whose rows sum to 1; give logits: leave the softmax out"
        )


def _tried(network: nn.Module, task: Task) -> Any:
    some = take(task.x, slice(2))
    try:
        return forward(network, owned(some, device_of(network)))
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, IndexError, TypeError) as error:
        shapes = {"x": some} if isinstance(some, Tensor) else some
        told = ", ".join(f"{name} {tuple(t.shape[1:])}" for name, t in shapes.items())
        remedy = "cut texts to fewer tokens, --length" if "input_ids" in shapes else "name a model that takes them"
        taken = f"{type(network).__name__} does not take the examples of {task.name!r}, {told}"
        raise ValueError(f"{taken}: {first_line(error)}; {remedy}") from error


def _are_probabilities(outputs: Tensor) -> bool:
    return bool((outputs >= 0).all() and ((outputs.double().sum(1) - 1).abs() < 1e-5).all())


def owned(x: Batch, device: torch.device) -> Batch:
    """A copy: a network may write into its input."""
    return each(x, lambda t: t.clone().to(device))
