"""Images brought upright: centred, sheared until they lean nowhere, and scaled towards the same height and width.

What people write leans and grows as they please, and the class is the same; with the moments of the ink known, most of
it can be taken back (LeCun et al. 1998, "Gradient-based learning applied to document recognition", deskewed images).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

ROWS = 2000  # images whose places are held at a time
MOST = 3.0  # times that an image is made larger or smaller before `scaled` is taken of it


@dataclass(frozen=True, eq=False)
class Upright:
    """What brings images upright, each pixel read off the given image between its four neighbours.

    Ink is how far a pixel is from the `background`. With m the mean place of the ink of an image and Σ its covariance,
    the image is moved until m is its middle, its rows are shifted until Σ_rc = 0, and height and width, √Σ_rr and
    √(Σ_cc − Σ_rc² / Σ_rr), are brought to `size` by the power `scaled` of what this takes. An image without ink stays
    as it is.

    >>> leaning = torch.zeros(1, 1, 5, 5)
    >>> leaning[0, 0, [1, 2, 3], [1, 2, 3]] = 1.0
    >>> Upright.of(leaning)(leaning)[0, 0].round(decimals=3).tolist()[1]
    [0.0, 0.0, 1.0, 0.0, 0.0]
    """

    background: Float[Tensor, "c 1 1"]
    size: Float[Tensor, " 2"]
    scaled: float = 0.6

    @classmethod
    def of(cls, x: Float[Tensor, "n c h w"], scaled: float = 0.6) -> Upright:
        """The background of images and their mean height and width."""
        background = _background(x)
        sizes = torch.cat([_measures((rows - background).abs().sum(1))[1] for rows in x.split(ROWS)])
        inked = sizes[sizes.gt(0).all(1)]
        return cls(background, inked.mean(0) if len(inked) else sizes.new_ones(2), scaled)

    def __call__(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Images upright."""
        return torch.cat([self._turned(rows) for rows in x.split(ROWS)])

    def _turned(self, x: Tensor) -> Tensor:
        middle, sizes, shear = _measures((x - self.background.to(x.device)).abs().sum(1))
        larger = torch.where(sizes.gt(0).all(1)[:, None], sizes / self.size.to(x.device), 1.0)
        return _read(x, middle, larger.clamp(1 / MOST, MOST) ** self.scaled, shear)


def set_off(x: Float[Tensor, "n c h w"]) -> float:
    """How far what images show is set off from a background: the share of their outermost pixels that are background.

    That is what differs from the background by less than a tenth of all pixels' standard deviation. It is large for
    what lies on a ground of one colour, small where an image is a part cut out of the world: there a middle, a size and
    a lean say nothing.

    >>> world = torch.rand(90, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    >>> set_off(torch.nn.functional.pad(world, (1, 1, 1, 1))), round(set_off(world), 1)
    (1.0, 0.1)
    """
    away = (_outermost(x) - _background(x)[:, 0]).abs().mean(1)
    return float((away <= 0.1 * x.std(correction=0)).float().mean())


def _background(x: Tensor) -> Float[Tensor, "c 1 1"]:
    """The median of all images' outermost pixels in each channel."""
    return _outermost(x).transpose(0, 1).flatten(1).median(1).values[:, None, None]


def _outermost(x: Tensor) -> Float[Tensor, "n c places"]:
    return torch.cat([x[:, :, 0], x[:, :, -1], x[:, :, 1:-1, 0], x[:, :, 1:-1, -1]], 2)


def _measures(ink: Float[Tensor, "n h w"]) -> tuple[Tensor, Tensor, Tensor]:
    """Middle and size in rows and columns, (n, 2), and columns that the ink leans to a row; all zero without ink."""
    total = ink.sum((1, 2))
    part = ink / torch.where(total > 0, total, 1)[:, None, None]
    rows, columns = _places(ink)
    by_row, by_column = part.sum(2), part.sum(1)
    middle = torch.stack([by_row @ rows, by_column @ columns], 1)
    down, along = rows - middle[:, :1], columns - middle[:, 1:]
    tall, wide = (by_row * down.square()).sum(1), (by_column * along.square()).sum(1)
    both = torch.einsum("nhw,nh,nw->n", part, down, along)
    shear = both / torch.where(tall > 0, tall, 1)
    return middle, torch.stack([tall, (wide - shear * both).clamp_min(0)], 1).sqrt(), shear


def _places(x: Tensor) -> tuple[Tensor, Tensor]:
    """Rows and columns, counted from the middle."""
    height, width = (torch.arange(side, device=x.device) - (side - 1) / 2 for side in x.shape[-2:])
    return height, width


def _read(x: Tensor, middle: Tensor, larger: Tensor, shear: Tensor) -> Tensor:
    n, _, h, w = x.shape
    rows, columns = _places(x)
    down, along = larger[:, :1] * rows, larger[:, 1:] * columns
    row = (middle[:, :1] + down)[:, :, None].expand(n, h, w)
    column = (middle[:, 1:] + shear[:, None] * down)[:, :, None] + along[:, None, :]
    places = torch.stack([2 * column / (w - 1), 2 * row / (h - 1)], 3)
    return F.grid_sample(x, places, padding_mode="border", align_corners=True)
