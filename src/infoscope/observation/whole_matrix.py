"""The Fisher information as one matrix, whole where parameters are few, of low rank where they are not."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from infoscope.observation.blocks import Block
from infoscope.observation.forms import Forms

BEYOND = 10
"""Random directions more than the rank that is asked for."""


def flat_rows(blocks: tuple[Block, ...], forms: Forms) -> Float[Tensor, "rows p"]:
    """All rows written out, a line each; blocks side by side, each flattened."""
    parts = []
    for block in blocks:
        rows = block.rows(forms)
        if not isinstance(rows, Tensor):
            rows = sum(use.dense() for use in rows)
        parts.append(torch.as_tensor(rows).flatten(0, 1).flatten(1))
    return torch.cat(parts, 1)


@dataclass
class Full:
    """Σ r rᵀ over examples and columns, in double precision."""

    blocks: tuple[Block, ...]
    sums: Tensor = field(default_factory=lambda: torch.zeros(()))

    def add(self, forms: Forms, first: bool) -> None:
        """The rows of some columns."""
        rows = flat_rows(self.blocks, forms).double()
        self.sums = self.sums + rows.T @ rows


@dataclass
class LowRank:
    """Nyström's approximation Y (ΩᵀY)⁻¹ Yᵀ, Y = Σ r rᵀ Ω, of `rank` (Tropp et al. 2017), in one pass over the rows."""

    blocks: tuple[Block, ...]
    directions: Float[Tensor, "p k"]
    sums: Tensor = field(default_factory=lambda: torch.zeros(()))

    def add(self, forms: Forms, first: bool) -> None:
        """The rows of some columns."""
        rows = flat_rows(self.blocks, forms).double()
        self.sums = self.sums + rows.T @ (rows @ self.directions.to(rows))

    def decomposed(self, rank: int) -> tuple[Float[Tensor, " rank"], Float[Tensor, "p rank"]]:
        """The largest eigenvalues, falling, and their vectors."""
        omega, y = self.directions.cpu(), self.sums.cpu()
        shift = torch.finfo(torch.float64).eps * float(y.norm())
        y = y + shift * omega
        among = omega.T @ y
        values, vectors = torch.linalg.eigh((among + among.T) / 2)
        kept = values > values.max() * 1e-14
        b = y @ (vectors[:, kept] / values[kept].sqrt())
        u, s, _ = torch.linalg.svd(b, full_matrices=False)
        return (s.square() - shift).clamp(min=0)[:rank], u[:, :rank]


def directions(p: int, rank: int, seed: int) -> Float[Tensor, "p k"]:
    """Orthonormal random directions, some more than the rank."""
    draws = torch.Generator().manual_seed(seed)
    drawn = torch.randn(p, min(p, rank + BEYOND), generator=draws, dtype=torch.float64)
    return torch.linalg.qr(drawn)[0]
