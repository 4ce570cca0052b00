"""Images as they might also have been: a little moved, turned and stretched, with the same label."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from infoscope.data.inputs import Array, Batch, Inputs

SMALLEST = 14
"""Pixels a side from which on an image is the same thing when it is moved by one of them."""

ASIDE = ((0, 0), (0, 1), (1, 0), (0, -1), (-1, 0))
"""Steps down and right: the image as it is, and moved by a pixel each way."""


@dataclass(frozen=True)
class Nearby:
    """How images may be changed: moved by `shift` of the shorter side each way, turned and stretched by `warp`.

    Neither depends on a label. What is no image, or smaller than 14 pixels, stays as it is.
    """

    shift: float = 1 / 14
    warp: float = 0.12

    def __post_init__(self) -> None:
        if not (0 <= self.shift < 0.5 and 0 <= self.warp < 0.5):
            raise ValueError(f"{self}: shift and warp are shares from 0 to below a half")

    def drawn(self, x: Batch, draws: torch.Generator) -> Batch:
        """Each image under a random map u ↦ (1 + A) u + b, A and b drawn evenly; what comes in is a copy of the edge.

        >>> same = Nearby(0, 0).drawn(torch.eye(16)[None, None], torch.Generator())
        >>> torch.allclose(same, torch.eye(16), atol=1e-5)
        True
        """
        if not (isinstance(x, Tensor) and are_images(x)):
            return x
        steps = 2 * torch.rand(len(x), 2, 3, generator=draws) - 1
        height, width = x.shape[2:]
        part = 2 * self.shift * min(height, width)
        sizes = torch.tensor([[self.warp, self.warp, part / width], [self.warp, self.warp, part / height]])
        maps = (torch.eye(2, 3) + steps * sizes).to(x)
        grid = F.affine_grid(maps, list(x.shape), align_corners=False)
        return F.grid_sample(x, grid, padding_mode="border", align_corners=False)

    def views(self, x: Inputs) -> int:
        """How many of each are looked at for a mean."""
        return len(ASIDE) if self.shift and are_images(x) else 1

    def mean(self, say: Callable[[Batch], Tensor], x: Batch) -> Tensor:
        """What is said of inputs; of images the mean over each and its neighbours by a pixel."""
        if not isinstance(x, Tensor) or self.views(x) == 1:
            return say(x)
        return torch.stack([say(moved(x, *steps)) for steps in ASIDE]).mean(0)


def are_images(x: Inputs) -> bool:
    """Whether these are images of numbers, large enough to be changed a little."""
    return isinstance(x, Array) and x.ndim == 4 and x.dtype.is_floating_point and min(x.shape[2:]) >= SMALLEST


def moved(x: Float[Tensor, "n c h w"], down: int, right: int) -> Float[Tensor, "n c h w"]:
    """Images moved by whole pixels; what comes in is a copy of the edge.

    >>> moved(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]), 1, 0)
    tensor([[[[1., 2.],
              [1., 2.]]]])
    """
    if not (down or right):
        return x
    rows, columns = (
        (torch.arange(side, device=x.device) - step).clamp(0, side - 1)
        for side, step in zip(x.shape[2:], (down, right), strict=True)
    )
    return x[:, :, rows[:, None], columns]
