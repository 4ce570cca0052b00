"""Kronecker factors of the Fisher information, and its diagonal in their eigenbasis."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from infoscope.observation.blocks import Block
from infoscope.observation.forms import Dense, Forms, Outer, squares

LARGEST = 4096
"""Rows or columns of a block beyond which the factor of that side is kept as its diagonal."""


@dataclass(frozen=True, eq=False)
class Factors:
    """F ≈ rows ⊗ columns; a side that is a vector stands for a diagonal matrix."""

    rows: Tensor
    columns: Tensor

    def basis(self) -> Basis:
        """The eigenvectors of both sides."""
        return Basis(*(None if side.ndim == 1 else torch.linalg.eigh(side)[1] for side in (self.rows, self.columns)))


@dataclass(frozen=True, eq=False)
class Basis:
    """Orthonormal vectors of rows and columns, as columns of matrices; None for the axes themselves."""

    rows: Float[Tensor, "rows rows"] | None
    columns: Float[Tensor, "columns columns"] | None

    def into(self, w: Float[Tensor, "... rows columns"]) -> Float[Tensor, "... rows columns"]:
        """A matrix in this basis: U_rᵀ W U_c."""
        w = w if self.rows is None else self.rows.T.to(w) @ w
        return w if self.columns is None else w @ self.columns.to(w)

    def back(self, w: Float[Tensor, "... rows columns"]) -> Float[Tensor, "... rows columns"]:
        """What `into` took apart: U_r W U_cᵀ."""
        w = w if self.rows is None else self.rows.to(w) @ w
        return w if self.columns is None else w @ self.columns.T.to(w)

    def turned(self, use: Outer) -> Outer:
        """Rows of a block in this basis, while they are outer products."""
        return Outer(
            use.left if self.rows is None else _along(use.left, self.rows),
            use.right if self.columns is None else _along(use.right, self.columns),
            use.shape,
            use.turned,
        )


def _along(t: Float[Tensor, "... side places"], vectors: Float[Tensor, "side side"]) -> Tensor:
    """Uᵀt by one product for all examples and places."""
    turned = t.mT
    return (turned.reshape(-1, len(vectors)) @ vectors.to(t)).view(turned.shape).mT


@dataclass
class Moments:
    """Second moments of both sides of a block's rows, batch by batch, in double precision.

    KFAC (Martens & Grosse 2015, Grosse & Martens 2016) where rows are sums of outer products over places: mean of
    g gᵀ over examples ⊗ mean of a aᵀ over places, uses of one parameter as so many places. Elsewhere (tables, norms,
    grouped convolutions) both sides of the rows R themselves: E RRᵀ ⊗ E RᵀR / E |R|², of the same trace as F.
    """

    block: Block
    rows: Tensor = field(default_factory=lambda: torch.zeros(()))
    columns: Tensor = field(default_factory=lambda: torch.zeros(()))
    examples: int = 0
    places: int = 0

    def add(self, forms: Forms, first: bool) -> None:
        """The rows of some columns: the `first` ones of a batch, or others of the same examples."""
        rows = self.block.rows(forms)
        if isinstance(rows, Tensor):
            self.examples += len(rows) if first else 0
            self.rows = self.rows + _moment(rows.permute(2, 0, 1, 3))
            self.columns = self.columns + _moment(rows.permute(3, 0, 1, 2))
            return
        self.examples += rows[0].n if first else 0
        for use in rows:
            self.places += use.n * use.places if first else 0
            # What entered counts once for each example, not for each column.
            if first or not use.turned:
                self.rows = self.rows + _moment(use.left.permute(3, 0, 1, 2, 4))
            if first or use.turned:
                self.columns = self.columns + _moment(use.right.permute(3, 0, 1, 2, 4))

    def factors(self, draws: int) -> Factors:
        """F ≈ rows ⊗ columns, the mean over examples."""
        n = self.examples * max(1, draws)
        if not self.block.outer:
            trace = self.columns.sum() if self.columns.ndim == 1 else self.columns.trace()
            scale = torch.where(trace > 0, trace, 1)
            return Factors((self.rows / n).cpu(), (self.columns / scale).cpu())
        return Factors((self.rows / n).cpu(), (self.columns / self.places).cpu())


def _moment(t: Float[Tensor, "side ..."]) -> Tensor:
    """Σ t tᵀ over all but the first axis."""
    flat = t.flatten(1).double()
    return flat.square().sum(1) if len(flat) > LARGEST else flat @ flat.T


@dataclass
class InBasis:
    """Σ_i Σ_c (U_rᵀ R_ic U_c)², the eigenvalues of EKFAC (George et al. 2018): F's diagonal in the basis of KFAC."""

    block: Block
    basis: Basis
    sums: Tensor = field(default_factory=lambda: torch.zeros(()))
    examples: int = 0

    def add(self, forms: Forms, first: bool) -> None:
        """The rows of some columns: the `first` ones of a batch, or others of the same examples."""
        rows = self.block.rows(forms)
        turned = (
            [Dense(self.basis.into(rows))] if isinstance(rows, Tensor) else [self.basis.turned(use) for use in rows]
        )
        self.examples += turned[0].n if first else 0
        self.sums = self.sums + squares(turned, apart=False)[0].double()

    def mean(self, draws: int) -> Float[Tensor, "rows columns"]:
        """The mean over examples."""
        return (self.sums / (self.examples * max(1, draws))).cpu()
