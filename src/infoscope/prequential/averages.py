"""Weights on their way to others: averages that follow a network, and a pull back to where it began."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn


def move(here: Iterable[Tensor], there: Iterable[Tensor], fraction: float) -> None:
    """In place, by a fraction of the way."""
    every: Any = torch
    every._foreach_lerp_(list(here), list(there), fraction)


def state(network: nn.Module) -> list[Tensor]:
    """Everything that training changes: parameters and the running statistics of normalisation."""
    return [t for t in (*network.parameters(), *network.buffers()) if t.is_floating_point()]
