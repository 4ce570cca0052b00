"""A random projection that a layer of millions of activations goes through batch by batch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Sketch:
    """CountSketch T·S of a layer T (n, d): each column goes to one of `columns` sums, with a random sign.

    Charikar, Chen & Farach-Colton 2002; Clarkson & Woodruff 2013. Inner products of rows are kept on average, with a
    relative deviation of about (2 / columns)^½. One example at a time is enough to compute it, in O(d), so that the
    layer of all examples is never held. T·S is a function of T: what it tells about X or Y, T tells too (data
    processing), and a lower bound for T·S is one for T. Layers of at most `above` activations over all examples, or
    of no more columns than the sketch has, are left as they are.

    >>> t = torch.arange(6.0).reshape(2, 3)
    >>> Sketch(columns=1)(t).abs().max() <= t.abs().sum(1).max()
    tensor(True)
    """

    columns: int = 1024
    above: int = 2**25
    seed: int = 0

    def __post_init__(self) -> None:
        if self.columns < 1 or self.above < 0:
            raise ValueError(f"Sketch(columns={self.columns}, above={self.above}): give 1 column or more, and no bound "
                             "below 0")  # fmt: skip

    def needed(self, n: int, d: int) -> bool:
        """Whether a layer of this size is to be projected."""
        return n * d > self.above and d > self.columns

    def __call__(self, rows: Float[Tensor, "n d"]) -> Float[Tensor, "n columns"]:
        """The sketch of these rows; the same columns go the same way every time."""
        to, signs = _columns(rows.shape[1], self.columns, self.seed)
        sums = rows.new_zeros(len(rows), self.columns)
        # A row at a time: a signed copy of a batch would be as large as the batch itself.
        for row, out in zip(rows, sums, strict=True):
            out.index_add_(0, to, row * signs)
        return sums


@lru_cache(maxsize=8)
def _columns(d: int, columns: int, seed: int) -> tuple[Int[Tensor, " d"], Float[Tensor, " d"]]:
    """The sum that each of d columns goes to, and its sign."""
    draws = torch.Generator().manual_seed(seed)
    return torch.randint(columns, (d,), generator=draws), torch.randint(2, (d,), generator=draws).float() * 2 - 1
