"""The rows of a convolution's weight."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

FEW = 2
"""Columns up to which a grouped convolution backwards is faster than multiplying what every place sees."""


@dataclass(frozen=True)
class Convolved:
    """Σ over places of what comes back to a place ⊗ what its kernel sees.

    `frames` are images of one example that were folded into the batch. `back` is a tensor a column. `pads` are put
    before and after each axis.
    """

    entered: Float[Tensor, "n frames channels ..."]
    back: tuple[Float[Tensor, "n frames out ..."], ...]
    shape: tuple[int, ...]
    step: tuple[int, ...]
    spread: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]
    groups: int

    @property
    def n(self) -> int:
        """How many examples."""
        return len(self.entered)

    @property
    def columns(self) -> int:
        """How many directions were propagated back."""
        return len(self.back)

    @property
    def handled(self) -> int:
        """Numbers an example that are held while its rows are written out."""
        back = sum(g[0].numel() for g in self.back)
        rows = self.columns * math.prod(self.shape)
        if self._few:
            return rows + back + self.entered[0].numel()
        return rows + back + self.groups * math.prod(self.shape[1:]) * self.back[0][0, :, 0].numel()

    def of(self, rows: slice) -> Convolved:
        """The same for these examples."""
        return replace(self, entered=self.entered[rows], back=tuple(g[rows] for g in self.back))

    def dense(self) -> Float[Tensor, "n c ..."]:
        """All rows written out."""
        if self._few:
            return beside([self._backwards(g) for g in self.back])
        seen = self.windows(channels_last=True)
        back = self.by_group().transpose(1, 2).flatten(2, 3)  # n groups c·rows places
        r = torch.bmm(back.flatten(0, 1), seen.flatten(0, 1))
        r = r.view(self.n, self.groups, self.columns, -1, *self.shape[2:], self.shape[1]).transpose(1, 2)
        return r.flatten(2, 3).movedim(-1, 3)

    @property
    def _few(self) -> bool:
        """Whether a convolution backwards gives the rows, and is fast."""
        return self.columns <= FEW and self.entered.shape[1] == 1 and all(a == b for a, b in self.pads)

    def by_group(self) -> Float[Tensor, "n c groups rows places"]:
        """What came back, all columns beside each other."""
        return by_group(beside(self.back), self.groups)

    def _backwards(self, back: Float[Tensor, "n one out ..."]) -> Float[Tensor, "n ..."]:
        """One column by the gradient of a convolution in which every example is a group."""
        entered = self.entered.flatten(0, 2)[None].contiguous()
        weight = entered.new_empty(self.n * self.shape[0], *self.shape[1:])
        d, pad = len(self.step), [before for before, _ in self.pads]
        back = back.flatten(0, 2)[None].contiguous()
        found = torch.ops.aten.convolution_backward(
            back, entered, weight, None, list(self.step), pad, list(self.spread), False, [0] * d,
            self.n * self.groups, [False, True, False],
        )  # fmt: skip
        return found[1].view(self.n, *self.shape)

    def windows(self, channels_last: bool = False) -> Float[Tensor, "n groups x y"]:
        """What the kernel sees: (columns, places), or (places, columns) with the channels last, which copies faster."""
        return windows(
            self.entered, self.shape[2:], self.step, self.spread, self.pads, self.back[0].shape[3:], self.groups,
            channels_last,
        )  # fmt: skip


def windows(
    t: Float[Tensor, "n f ch ..."], kernel: Sequence[int], step: Sequence[int], spread: Sequence[int],
    pads: Sequence[tuple[int, int]], out: Sequence[int], groups: int, channels_last: bool = False,
) -> Float[Tensor, "n groups x y"]:  # fmt: skip
    """What a kernel sees at each place, copied once from a strided view."""
    t = F.pad(t, [p for pair in reversed(pads) for p in pair]) if any(map(any, pads)) else t
    t = t.movedim(2, -1).contiguous().movedim(-1, 2) if channels_last else t.contiguous()
    n, frames, channels = t.shape[:3]
    first, frame, channel, *space = t.stride()
    group = channels // groups
    kernels = [s * k for s, k in zip(space, spread, strict=True)]
    steps = [s * k for s, k in zip(space, step, strict=True)]
    columns, places = group * math.prod(kernel), frames * math.prod(out)
    if channels_last:
        sizes = (n, groups, frames, *out, *kernel, group)
        seen = t.as_strided(sizes, (first, group * channel, frame, *steps, *kernels, channel))
        return seen.reshape(n, groups, places, columns)
    sizes = (n, groups, group, *kernel, frames, *out)
    seen = t.as_strided(sizes, (first, group * channel, channel, *kernels, frame, *steps))
    return seen.reshape(n, groups, columns, places)


def beside(columns: Sequence[Float[Tensor, "n ..."]]) -> Float[Tensor, "n c ..."]:
    """Columns beside each other, without a copy where there is one."""
    return torch.stack(list(columns), 1) if len(columns) > 1 else columns[0][:, None]


def by_group(t: Float[Tensor, "n c f ch ..."], groups: int) -> Float[Tensor, "n c groups rows places"]:
    """Channels by their group, and all places of all frames beside each other."""
    return t.flatten(4).unflatten(3, (groups, -1)).permute(0, 1, 3, 4, 2, 5).flatten(4)
