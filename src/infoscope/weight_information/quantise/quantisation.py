"""Uniform quantisation of weights, symmetric and a scale a channel, and the bits of each layer within a budget."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

WIDTHS = (2, 3, 4, 5, 6, 7, 8, 16)
"""Bits a weight that are tried."""

_SHARES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4)
"""Of a channel's largest weight: where its range may end, below 8 bits."""


_UNITS = 1 << 16
"""Budgets that are told apart."""


@dataclass(frozen=True, eq=False)
class Codes:
    """Whole numbers from −(2^(bits−1) − 1) to as much above 0, and the step of each row of the first axis."""

    codes: Int[Tensor, "channels ..."]
    steps: Float[Tensor, " channels"]
    bits: int

    def weights(self) -> Float[Tensor, "channels ..."]:
        """What they stand for, in single precision."""
        return self.codes.float() * _along(self.steps, self.codes)


def quantised(w: Float[Tensor, "channels ..."], bits: int) -> Codes:
    """The nearest codes: each row of the first axis has the range, out of a few, of the least squared error.

    >>> quantised(torch.tensor([[1.0, -0.4, 0.0], [7.0, 3.0, -7.0]]), 4).codes
    tensor([[ 7, -3,  0],
            [ 7,  3, -7]], dtype=torch.int32)
    """
    if bits < 2:
        raise ValueError(f"{bits} bits: signed codes have 2 or more")
    top = 2 ** (bits - 1) - 1
    rows = w.detach().float().flatten(1)
    largest = rows.abs().amax(1) if rows.shape[1] else rows.new_zeros(len(rows))
    best = torch.full_like(largest, torch.inf)
    codes, steps = torch.zeros_like(rows), torch.ones_like(largest)
    for share in _SHARES if bits < 8 else _SHARES[:1]:
        step = torch.where(largest > 0, share * largest / top, 1.0)
        tried = (rows / step[:, None]).round().clamp(-top, top)
        error = (tried * step[:, None] - rows).square().sum(1)
        better = error < best
        best, steps = torch.where(better, error, best), torch.where(better, step, steps)
        codes = torch.where(better[:, None], tried, codes)
    return Codes(codes.to(torch.int32).view(w.shape), steps, bits)


def predicted_rise(
    fisher: Float[Tensor, "*shape"], w: Float[Tensor, "*shape"], other: Float[Tensor, "*shape"]
) -> float:
    """½ Σ F δ², nats an example: what a change of weights costs to second order, if its parts are independent."""
    return 0.5 * float((fisher.double() * (w.double() - other.double()).square()).sum())


def allocated(
    rises: Mapping[str, Sequence[float]], sizes: Mapping[str, int], budget: float, widths: Sequence[int] = WIDTHS
) -> dict[str, int]:
    """Bits of each layer so that all rises add up to little, and all codes to `budget` bits at most.

    The best that there is (dynamic programming over budgets); where the budget is over `_UNITS` times what all sizes
    have in common, the sizes are rounded up to such a share of it. A continuous range of bits would have it by reverse
    water-filling: the same saving a bit in every layer.

    >>> allocated({"a": [8, 2, 0.5], "b": [2, 0.5, 0.1]}, {"a": 10, "b": 10}, 50, (2, 3, 4))
    {'a': 3, 'b': 2}
    """
    least = sum(sizes.values()) * widths[0]
    if budget < least:
        raise ValueError(
            f"the budget leaves {budget:.0f} bits for {sum(sizes.values())} weights, and {widths[0]} bits each take "
            f"{least}; give more"
        )
    equal = [dict.fromkeys(rises, w) for w in widths if w * sum(sizes.values()) <= budget]
    place = {width: i for i, width in enumerate(widths)}
    chosen = [*equal, *_cheapest(rises, sizes, budget, widths)]
    return min(chosen, key=lambda one: sum(rises[name][place[width]] for name, width in one.items()))


def _cheapest(
    rises: Mapping[str, Sequence[float]], sizes: Mapping[str, int], budget: float, widths: Sequence[int]
) -> list[dict[str, int]]:
    """The least sum of rises for every budget, layer by layer; none where sizes rounded up do not fit."""
    unit = max(math.gcd(*sizes.values()), budget / _UNITS)
    units = int(budget / unit + 1e-9)
    total, picks = np.zeros(units + 1), list[np.ndarray]()
    for name, curve in rises.items():
        costs = [math.ceil(sizes[name] * width / unit - 1e-9) for width in widths]
        options = np.full((len(widths), units + 1), np.inf)
        for row, cost, rise in zip(options, costs, curve, strict=True):
            if cost <= units:
                row[cost:] = total[: units + 1 - cost] + rise
        picks.append(options.argmin(0).astype(np.int8))
        total = options.min(0)
    if np.isinf(total[units]):
        return []
    found, left = dict[str, int](), units
    for name, pick in zip(reversed(list(rises)), reversed(picks), strict=True):
        found[name] = widths[pick[left]]
        left -= math.ceil(sizes[name] * found[name] / unit - 1e-9)
    return [{name: found[name] for name in rises}]


def _along(steps: Tensor, t: Tensor) -> Tensor:
    return steps.view(-1, *[1] * (t.ndim - 1))
