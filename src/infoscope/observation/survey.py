"""What the layers of a network give for a few examples, before all are run: how much, and whether always the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor, nn

from infoscope.data.inputs import Batch, Inputs, count, take
from infoscope.observation.listening import Call, first_tensor, listen, rows_of, undisturbed

FEW = 4
"""Examples that are run twice."""

COMPARED = 4096
"""Activations of an example that are compared, evenly spaced."""

ROUNDING = 1e-5
"""Share of a layer's largest activation by which the same sum may come out otherwise on a graphics card."""


@dataclass(frozen=True)
class Size:
    """What one call of a module gives an example: so many numbers, in so many bytes as they are kept."""

    call: Call
    width: int
    bytes: int


@dataclass(frozen=True)
class Survey:
    """What the layers of a network give, in the order in which they answer, and numbers of the largest output of all.

    `unsteady` are the layers that gave two answers for the same input in eval mode.
    """

    sizes: tuple[Size, ...]
    largest: int
    unsteady: frozenset[str]

    @property
    def modules(self) -> tuple[str, ...]:
        """The modules that gave something, in the order in which they first did."""
        return tuple(dict.fromkeys(size.call.module for size in self.sizes))


def survey(
    network: nn.Module, names: Sequence[str], x: Inputs, *, named: bool, seed: int = 0, first: bool = False
) -> Survey:
    """Run the first few examples twice, one pass after the other, and see what these layers give.

    One that never runs, or has no row for each example (the table of positions, say), is an error if it was `named`,
    and left out otherwise.

    >>> found = survey(nn.Sequential(nn.Linear(3, 5), nn.Dropout1d()), ["0"], torch.ones(8, 3), named=True)
    >>> [(size.call.layer, size.width) for size in found.sizes], found.unsteady
    ([('0', 5)], frozenset())
    """
    few = take(x, slice(0, FEW))
    with undisturbed(network, seed):
        once = _pass(network, names, [name for name, _ in network.named_modules()], few, first, named)
        again = _pass(network, names, names, few, first, named)
    same = {layer for layer, t in once.answers.items() if layer in again.answers and _equal(t, again.answers[layer])}
    found = Survey(tuple(once.sizes), once.largest, frozenset({*once.answers, *again.answers} - same))
    silent = [name for name in names if name not in found.modules]
    if silent and (named or not found.sizes):
        raise ValueError(
            f"layer {silent[0]!r} of {type(network).__name__} never ran in a forward pass ({len(silent)} such layers); "
            "leave it out, or measure before torch.compile or scripting, which skip the hooks of inner modules"
        )
    return found


@dataclass
class _Pass:
    """What was heard in one pass."""

    answers: dict[str, Tensor] = field(default_factory=dict)
    sizes: list[Size] = field(default_factory=list)
    largest: int = 0


def _pass(
    network: nn.Module, names: Sequence[str], heard_of: Sequence[str], x: Batch, first: bool, named: bool
) -> _Pass:
    """What the modules `names` answer, and the largest output of those `heard_of`."""
    heard, n, wanted = _Pass(), count(x), set(names)

    def hear(call: Call, output: Any) -> None:
        tensor = first_tensor(output)
        heard.largest = max(heard.largest, tensor.numel() // n if tensor is not None else 0)
        if call.module in wanted and (named or (tensor is not None and tensor.ndim > 0 and len(tensor) == n)):
            rows = rows_of(output, n, call.layer)
            d = rows.shape[1]
            heard.sizes.append(Size(call, d, d * (8 if rows.dtype == torch.float64 else 4)))
            heard.answers[call.layer] = (rows if d <= COMPARED else rows[:, :: d // COMPARED]).clone()

    listen(network, heard_of, x, hear, first=first)
    return heard


def _equal(a: Shaped[Tensor, "n d"], b: Shaped[Tensor, "n d"]) -> bool:
    if a.shape != b.shape or torch.equal(a, b):
        return a.shape == b.shape
    a, b = a.cpu().double(), b.cpu().double()
    near = ROUNDING * float(a.abs().nan_to_num(posinf=0.0).max()) if a.numel() else 0.0
    return torch.allclose(a, b, rtol=0, atol=near, equal_nan=True)
