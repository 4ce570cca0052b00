"""Torch's optimizers without its compiler, and so a second sooner in every process that trains."""

from __future__ import annotations

from inspect import unwrap
from typing import TypeVar

import torch

T = TypeVar("T", bound=torch.optim.Optimizer)


def eager(kind: type[T]) -> type[T]:
    """An optimizer whose methods are no longer wrapped for `torch.compile`.

    The first call of one that is imports `torch._dynamo` and all that it needs. Steps are the same bits, and either
    reads the states of the other.

    >>> weight = torch.nn.Parameter(torch.ones(1))
    >>> optimizer = SGD([weight], lr=0.5)
    >>> weight.grad = torch.ones(1)
    >>> optimizer.step()
    >>> weight.item()
    0.5
    """
    for name in ("add_param_group", "zero_grad", "state_dict", "load_state_dict"):
        setattr(kind, name, unwrap(getattr(kind, name)))
    kind.step = torch.no_grad()(unwrap(kind.step))
    return kind


@eager
class Adam(torch.optim.Adam):
    """`torch.optim.Adam`."""


@eager
class AdamW(torch.optim.AdamW):
    """`torch.optim.AdamW`."""


@eager
class SGD(torch.optim.SGD):
    """`torch.optim.SGD`."""
