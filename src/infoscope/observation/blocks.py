"""Parameters as matrices: the blocks in which the Fisher information is kept whole or factored."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.nn import functional as F

from infoscope.observation.convolved import Convolved
from infoscope.observation.forms import Dense, Form, Forms, Outer, outer, written_out

Rows = Sequence[Outer] | Float[Tensor, "n c rows columns"]
"""The rows of a block, as outer products over places, or written out."""


@dataclass(frozen=True)
class Block:
    """A parameter as a matrix, its first axis down; with the bias of the same layer as a last column.

    `outer` says that its rows are sums of outer products over places, which factors can be made of. With
    `one_row` several parameters lie flattened side by side.
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    outer: bool
    one_row: bool = False

    @property
    def height(self) -> int:
        """Rows of the matrix."""
        return 1 if self.one_row or not self.shapes[0] else self.shapes[0][0]

    @property
    def width(self) -> int:
        """Columns of the matrix."""
        return sum(math.prod(shape) for shape in self.shapes) // max(1, self.height)

    def joined(self, values: Mapping[str, Tensor]) -> Shaped[Tensor, "rows columns"]:
        """The matrix of these values.

        >>> Block(("w", "b"), ((2, 1), (2,)), True).joined({"w": torch.tensor([[1.0], [2.0]]), "b": torch.ones(2)})
        tensor([[1., 1.],
                [2., 1.]])
        """
        return torch.cat([values[name].reshape(self.height, -1) for name in self.names], 1)

    def split(self, matrix: Shaped[Tensor, "rows columns"]) -> dict[str, Tensor]:
        """The values that `joined` put together."""
        widths = [math.prod(shape) // max(1, self.height) for shape in self.shapes]
        parts = zip(self.names, self.shapes, matrix.split(widths, 1), strict=True)
        return {name: part.reshape(shape) for name, shape, part in parts}

    def rows(self, forms: Forms) -> Rows:
        """The rows of this block; a ValueError if a network uses it otherwise than on the first examples."""
        uses = [_whole(forms, name, shape) for name, shape in zip(self.names, self.shapes, strict=True)]
        if not self.outer:
            return torch.cat([r.reshape(*r.shape[:2], self.height, -1) for r in map(_dense, uses)], 3)
        found = [outer(use) for use in uses[0] if isinstance(use, Outer | Convolved)]
        if len(found) < len(uses[0]):
            raise ValueError(
                f"{self.names[0]!r} is used otherwise for some of the examples, so that it has no factors; take the "
                "diagonal"
            )
        flat = [Outer(f.left, f.right, (self.height, f.right.shape[3]), f.turned) for f in found]
        if len(uses) == 1:
            return flat
        shape = (self.height, self.width)
        return [Outer(f.left, F.pad(f.right, (0, 0, 0, 1), value=1.0), shape) for f in flat]


def blocks(forms: Forms, shapes: Mapping[str, tuple[int, ...]]) -> tuple[Block, ...]:
    """A block a parameter, or a layer's weight and bias, found by the rows of a few examples."""
    found, taken = [], set[str]()
    for name, shape in shapes.items():
        if name in taken:
            continue
        uses = _whole(forms, name, shape)
        factored = len(shape) > 1 and all(_is_outer(use) for use in uses)
        bias = name.removesuffix("weight") + "bias"
        if factored and bias in shapes and bias not in taken and _belongs(uses, _whole(forms, bias, shapes[bias])):
            taken.add(bias)
            found.append(Block((name, bias), (shape, shapes[bias]), True))
        else:
            found.append(Block((name,), (shape,), factored))
    return tuple(found)


def _is_outer(use: Form) -> bool:
    groups = use.left.shape[2] if isinstance(use, Outer) else use.groups if isinstance(use, Convolved) else 2
    return groups == 1


def _belongs(weight: Sequence[Form], bias: Sequence[Form]) -> bool:
    """Whether a bias has the rows that a further input of 1 would have."""
    if any(isinstance(use, Outer) and use.turned for use in weight):
        return False
    left = sum(outer(use).left.squeeze(2).sum(-1) for use in weight if isinstance(use, Outer | Convolved))
    right = _dense(bias)
    return isinstance(left, Tensor) and left.shape == right.shape and torch.allclose(left, right, rtol=1e-3, atol=1e-6)


def _whole(forms: Forms, name: str, shape: tuple[int, ...]) -> Sequence[Form]:
    """All uses of a parameter; those of boxes of it, written out together."""
    slots = [slot for slot in forms if slot.name == name]
    if [slot.whole for slot in slots] == [True]:
        return forms[slots[0]]
    first = forms[slots[0]][0]
    parts = {slot: _dense(forms[slot]) for slot in slots}
    rows = parts[slots[0]].new_zeros(first.n, first.columns, *shape)
    for slot, part in parts.items():
        rows[:, :, *slot.index] = part
    return [Dense(rows)]


def _dense(uses: Sequence[Form]) -> Float[Tensor, "n c ..."]:
    return torch.cat(list(written_out(uses)))
