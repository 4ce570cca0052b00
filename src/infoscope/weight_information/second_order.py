"""What a change of weights costs to second order, by the Fisher information itself: no matrix, two passes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

from infoscope.data.inputs import Batch, each
from infoscope.data.targets import MASKED, Classes, Labels, Real, Target, Tokens
from infoscope.data.task import Task
from infoscope.run.look import Look
from infoscope.training.isolation import isolated
from infoscope.training.learner import Learner, Weights
from infoscope.weight_information.example_losses import PerExample, by_piece, no_likelihood

_STEP = 1e-5
"""Of the length of the weights: how far a derivative of the outputs looks to both sides."""


def output_metric(z: Tensor, u: Tensor, target: Target, y: Tensor) -> Float[Tensor, " n"]:
    """½ uᵀ H u of every example, nats: H the Fisher information of outputs z, u a change of them.

    >>> z, u = torch.zeros(1, 2), torch.tensor([[1.0, -1.0]])
    >>> output_metric(z, u, Classes(2), torch.tensor([0]))
    tensor([0.5000], dtype=torch.float64)
    """
    z, u, y = z.double(), u.double(), y.to(z.device)
    match target:
        case Classes() | Tokens():
            p = z.softmax(-1)
            spread = (p * (u - (p * u).sum(-1, keepdim=True)).square()).sum(-1)
            return 0.5 * (spread if isinstance(target, Classes) else torch.where(y == MASKED, 0.0, spread).sum(1))
        case Labels():
            return 0.5 * torch.where(y < 0, 0.0, z.sigmoid() * (-z).sigmoid() * u.square()).sum(1)
        case Real():
            return 0.5 * u.square().flatten(1).sum(1)
    raise no_likelihood(target)


def second_order(network: nn.Module, task: Task, change: Mapping[str, Tensor]) -> Float[Tensor, " n"]:
    """½ δᵀ F_i δ of every example, nats; F_i its Fisher information, δ a change of some parameters, the others' is 0.

    The network is in double precision, and its outputs' derivative along δ a central difference: ½ uᵀ H u, u = J δ.
    """
    parameters = dict(network.named_parameters())
    moved = {name: t.double().to(parameters[name].device) for name, t in change.items() if bool((t != 0).any())}
    if not moved:
        return torch.zeros(len(task), dtype=torch.float64)
    whole = torch.stack([p.detach().square().sum() for p in parameters.values()]).sum().sqrt()
    length = torch.stack([t.square().sum() for t in moved.values()]).sum().sqrt()
    step = _STEP * float(whole if whole > 0 else 1) / float(length)

    def read(call, x: Batch, y: Tensor) -> Tensor:
        wide = each(x, lambda t: t.double() if t.is_floating_point() else t)
        sides = [_at(parameters, moved, sign * step, lambda: call(wide)) for sign in (1, -1)]
        return output_metric(call(wide), (sides[0] - sides[1]) / (2 * step), task.target, y)

    return by_piece(network, task, read)


def _at(parameters: Mapping[str, Tensor], change: Mapping[str, Tensor], step: float, call) -> Tensor:
    """What is called at weights so far along a change; the weights are afterwards what they were, to the bit."""
    held = {name: parameters[name].detach().clone() for name in change}
    try:
        for name, t in change.items():
            parameters[name].data.add_(t, alpha=step)
        return call()
    finally:
        for name, t in held.items():
            parameters[name].data.copy_(t)


def second_orders(task: Task, learner: Learner, changes: Sequence[Weights], device: str) -> PerExample:
    """The same for each of these changes of a learner's weights."""
    with isolated(0, threads=1):
        network = learner.network(task.shape, task.target.outputs, 0).to(device).double()
        return PerExample(torch.stack([second_order(network, task, change) for change in changes]))


def second_order_look(
    task: Task, learner: Learner, changes: Sequence[Weights], device: str, label: str
) -> Look[PerExample]:
    """The same as a look."""
    stand_in = partial(PerExample.stand_in, len(changes), len(task))
    args = (task, learner, tuple(changes), device)
    return Look(second_orders, args, PerExample, 1, label, kind="passes", stand_in=stand_in)
