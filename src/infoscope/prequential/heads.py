"""What networks say of examples, read as the predictions of experts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from infoscope.data.inputs import Batch, Inputs, count, pieces, to
from infoscope.data.targets import Classes, Labels, Real, Target, check_outputs
from infoscope.training.forward import device_of, forward


def predicted(
    networks: Sequence[nn.Module], temperatures: Sequence[float], x: Inputs, target: Target
) -> Float[np.ndarray, "n experts ..."]:
    """What every network, put in eval mode, says at every temperature; nothing where it has diverged.

    Of `Classes` log softmax(f / T) (n, experts, classes), uniform where diverged; of `Labels` logits f / T, 0 there; of
    `Real` means and deviations (n, experts, dim, 2), the middle of the range there, and no temperatures.
    """
    return as_experts(torch.stack([outputs_of(each, x, target) for each in networks]), temperatures, target)


def as_experts(
    outputs: Float[Tensor, "networks n ..."], temperatures: Sequence[float], target: Target
) -> Float[np.ndarray, "n experts ..."]:
    """What networks gave, float64, read at every temperature, as in `predicted`."""
    match target:
        case Classes():
            logs = _at(outputs, temperatures).log_softmax(-1).flatten(0, 1).transpose(0, 1)
            finite = logs.isfinite().all(-1, keepdim=True)
            return torch.where(finite, logs, -np.log(target.outputs)).contiguous().numpy()
        case Labels():
            logits = _at(outputs, temperatures).flatten(0, 1).transpose(0, 1)
            return torch.where(logits.isfinite(), logits, 0.0).contiguous().numpy()
        case Real():
            means = torch.where(outputs.isfinite(), outputs, 0.0).transpose(0, 1)
            return torch.stack([means, torch.ones_like(means)], -1).contiguous().numpy()
    raise TypeError(f"of {target} a network is not read example by example")


def _at(outputs: Tensor, temperatures: Sequence[float]) -> Float[Tensor, "networks temperatures n outputs"]:
    inverse = 1 / torch.tensor(temperatures, dtype=torch.float64)
    return outputs[:, None] * inverse[:, None, None]


@torch.no_grad()
def outputs_of(network: nn.Module, x: Inputs, target: Target) -> Float[Tensor, "n ..."]:
    """What a network, put in eval mode, gives for these examples, float64; checked."""
    return torch.cat([_piece(network.eval(), part, target) for part in pieces(x, at_once(network))])


def at_once(network: nn.Module) -> int:
    """Examples to ask a network of together: on a processor so few that what its layers give stays in the cache."""
    return 64 if device_of(network).type == "cpu" else 1024


def _piece(network: nn.Module, x: Batch, target: Target) -> Tensor:
    outputs = forward(network, to(x, device_of(network)))
    check_outputs(outputs, target, torch.empty(count(x)), network)
    return outputs.double().cpu()
