"""Per-example derivatives with respect to one parameter, as cheaply as the use of that parameter lets them be written.

A row is r_ic = ∂⟨v_ic, f(x_i)⟩/∂θ for example i and column c, the columns v being whatever is propagated back. The rows
of all uses of a parameter add up before anything is squared: that is the whole of weight tying and recurrence.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from infoscope.observation.convolved import Convolved

CHUNK = 1 << 19
"""Numbers that are handled at once: about what a processor keeps near."""


@dataclass(frozen=True)
class Outer:
    """Σ_t left_t ⊗ right_t over places t: one of the two is what entered, and has one column for all.

    `shape` is the parameter's; groups of a convolution don't mix. `turned` says that what entered is on the left.
    """

    left: Float[Tensor, "n cl groups rows places"]
    right: Float[Tensor, "n cr groups columns places"]
    shape: tuple[int, ...]
    turned: bool = False

    @property
    def n(self) -> int:
        """How many examples."""
        return len(self.left)

    @property
    def columns(self) -> int:
        """How many directions were propagated back."""
        return max(self.left.shape[1], self.right.shape[1])

    @property
    def places(self) -> int:
        """Over how many places the parameter is used for an example."""
        return self.left.shape[-1]

    @property
    def handled(self) -> int:
        """Numbers an example that are held while its rows are written out."""
        return self.columns * math.prod(self.shape) + self.left[0].numel() + self.right[0].numel()

    def of(self, rows: slice) -> Outer:
        """The same for these examples."""
        return Outer(self.left[rows], self.right[rows], self.shape, self.turned)

    def dense(self) -> Float[Tensor, "n c ..."]:
        """All rows written out."""
        n, groups = self.n, self.left.shape[2]
        # Columns beside rows: what entered is multiplied with all columns at once.
        left, right = (t.transpose(1, 2).flatten(2, 3).flatten(0, 1) for t in (self.left, self.right))
        r = torch.bmm(left, right.mT).view(n, groups, *self.left.shape[1:4:2], *self.right.shape[1:4:2])
        r = r.movedim(4, 2).flatten(2, 3)  # n groups c rows columns: one of the two has a single column
        return r.transpose(1, 2).reshape(n, self.columns, *self.shape)


@dataclass(frozen=True)
class Picked:
    """Rows of a table: at place t, `back` goes to the row `index[i, t]`."""

    index: Int[Tensor, "n places"]
    back: Float[Tensor, "n c places width"]
    shape: tuple[int, ...]

    @property
    def n(self) -> int:
        """How many examples."""
        return len(self.back)

    @property
    def columns(self) -> int:
        """How many directions were propagated back."""
        return self.back.shape[1]

    @property
    def handled(self) -> int:
        """Numbers an example that are held while its rows are written out."""
        return self.columns * math.prod(self.shape) + self.back[0].numel()

    def of(self, rows: slice) -> Picked:
        """The same for these examples."""
        return Picked(self.index[rows], self.back[rows], self.shape)

    def dense(self) -> Float[Tensor, "n c ..."]:
        """All rows written out."""
        return self.onto(self.back.new_zeros(self.n, self.columns, *self.shape))

    def onto(self, rows: Float[Tensor, "n c ..."]) -> Float[Tensor, "n c ..."]:
        """Add these rows to others, which are changed: few of a table's rows occur in an example."""
        n, c, height = self.n, self.columns, self.shape[0]
        rows = rows.contiguous()
        tables = torch.arange(n * c, device=self.index.device).view(n, c, 1) * height
        index = (tables + self.index[:, None]).flatten()
        rows.view(n * c * height, self.shape[1]).index_add_(0, index, self.back.flatten(0, 2))
        return rows

    def squares(self) -> Float[Tensor, "c ..."]:
        """Σ_i r_ic², touching only the rows of the table that occur."""
        n, height = len(self.index), self.shape[0]
        examples = torch.arange(n, device=self.index.device)[:, None] * height
        keys, place = torch.unique((examples + self.index).flatten(), return_inverse=True)
        back = self.back.transpose(1, 2).flatten(0, 1)
        sums = back.new_zeros(len(keys), *back.shape[1:]).index_add_(0, place, back)
        total = back.new_zeros(height, *back.shape[1:]).index_add_(0, keys % height, sums.square_())
        return total.transpose(0, 1)


@dataclass(frozen=True)
class Dense:
    """Rows as they are."""

    rows: Float[Tensor, "n c ..."]

    @property
    def n(self) -> int:
        """How many examples."""
        return len(self.rows)

    @property
    def columns(self) -> int:
        """How many directions were propagated back."""
        return self.rows.shape[1]

    @property
    def shape(self) -> tuple[int, ...]:
        """The parameter's shape."""
        return tuple(self.rows.shape[2:])

    @property
    def handled(self) -> int:
        """Numbers an example that are held while its rows are written out."""
        return self.rows[0].numel()

    def of(self, rows: slice) -> Dense:
        """The same for these examples."""
        return Dense(self.rows[rows])

    def dense(self) -> Float[Tensor, "n c ..."]:
        """The rows."""
        return self.rows


Form = Outer | Picked | Dense | Convolved


@dataclass(frozen=True)
class Slot:
    """A parameter, or a box of it that was used by itself: from `start` on, of `shape`."""

    name: str
    start: tuple[int, ...] = ()
    shape: tuple[int, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether it is all of the parameter."""
        return not self.start

    @property
    def index(self) -> tuple[slice, ...]:
        """Where it lies in the parameter."""
        return tuple(slice(a, a + k) for a, k in zip(self.start, self.shape, strict=False))

    def meets(self, other: Slot) -> bool:
        """Whether both have something of a parameter in common."""
        sides = zip(self.index, other.index, strict=False)
        return self.name == other.name and all(a.start < b.stop and b.start < a.stop for a, b in sides)


def outer(form: Outer | Convolved) -> Outer:
    """A convolution as a sum over places of outer products."""
    if isinstance(form, Outer):
        return form
    return Outer(form.by_group(), form.windows()[:, None], form.shape)


Forms = dict[Slot, list[Form]]
"""The uses of each parameter. Slots of one name overlap nowhere."""


def written_out(forms: Sequence[Form], most: int = CHUNK) -> Iterator[Float[Tensor, "n c ..."]]:
    """Rows of all uses together, so many examples at a time that about `most` numbers are handled.

    They are made for this, but for those of a single use that are there as they are.
    """
    step = max(1, most // max(1, *(form.handled for form in forms)))
    first, *others = sorted(forms, key=lambda form: (isinstance(form, Dense), isinstance(form, Picked)))
    for start in range(0, first.n, step):
        some = slice(start, start + step)
        rows, own = first.of(some).dense(), not isinstance(first, Dense)
        for other in others:
            if isinstance(other, Picked):
                rows = other.of(some).onto(rows)
            else:
                rows = rows.add_(other.of(some).dense()) if own else rows + other.of(some).dense()
            own = True
        yield rows


def squares(forms: Sequence[Form], *, apart: bool = True) -> Float[Tensor, "c ..."]:
    """Σ_i r_ic² for each column, of the uses of one parameter; summed over columns, of which one is left, or `apart`.

    >>> a, g = torch.tensor([[[[[3.0]]]]]), torch.tensor([[[[[2.0]]]]])
    >>> squares([Outer(g, a, (1, 1))]).item(), squares([Outer(g, a, (1, 1))] * 2).item()
    (36.0, 144.0)
    """
    first = forms[0]
    if len(forms) == 1 and isinstance(first, Picked):
        found = first.squares()
        return found if apart else found.sum(0, keepdim=True)
    if len(forms) == 1 and isinstance(first, Outer) and first.places == 1 and first.left.shape[2] == 1:
        return _of_one_place(first, apart)
    over = (0,) if apart else (0, 1)
    as_they_are = len(forms) == 1 and isinstance(first, Dense)
    parts = ((rows.square() if as_they_are else rows.square_()).sum(over) for rows in written_out(forms))
    found = functools.reduce(Tensor.add_, parts)
    return found if apart else found[None]


def norms(forms: Sequence[Form]) -> Float[Tensor, "n c"]:
    """|r_ic|² of every example and column, of the uses of one parameter together.

    Of outer products ⟨Σ_t l_t ⊗ r_t, Σ_t l_t ⊗ r_t⟩ = Σ_tt' ⟨l_t, l_t'⟩⟨r_t, r_t'⟩, by which nothing is written out
    where that is less work.

    >>> a, g = torch.tensor([[[[[3.0]]]]]), torch.tensor([[[[[2.0]]]]])
    >>> norms([Outer(g, a, (1, 1))]).item(), norms([Outer(g, a, (1, 1))] * 2).item()
    (36.0, 144.0)
    """
    first = forms[0]
    if len(forms) == 1 and isinstance(first, Outer):
        height, width = first.left.shape[3], first.right.shape[3]
        if first.places * (height + width) <= height * width or first.places == 1:
            left, right = (torch.einsum("ncgxt,ncgxs->ncgts", t, t) for t in (first.left, first.right))
            return (left * right).sum((2, 3, 4))
    return torch.cat([rows.reshape(*rows.shape[:2], -1).square().sum(2) for rows in written_out(forms)])


def _of_one_place(form: Outer, apart: bool) -> Float[Tensor, "c ..."]:
    """(left²)ᵀ(right²): true for one place only, since with more the places add up before the square."""
    left, right = (t[:, :, 0, :, 0].square() for t in (form.left, form.right))
    if not apart:
        return (left.sum(1).T @ right.sum(1)).view(1, *form.shape)
    if right.shape[1] == 1:
        product = left.flatten(1).T @ right[:, 0]
        return product.view(form.columns, *form.shape)
    product = (left[:, 0].T @ right.flatten(1)).view(left.shape[2], form.columns, -1)
    return product.transpose(0, 1).reshape(form.columns, *form.shape)
