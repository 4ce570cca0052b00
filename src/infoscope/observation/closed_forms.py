"""The table of functions whose derivatives with respect to their parameters have a closed form.

`nn.Linear`, convolutions, norms, embeddings, `nn.MultiheadAttention`, Hugging Face's `Conv1D` and whoever calls the
functions themselves all end in these; what a module is called does not matter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor
from torch.nn import functional as F

from infoscope.observation.convolved import Convolved, beside, by_group, windows
from infoscope.observation.forms import Dense, Form, Outer, Picked

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Back:
    """What came back to a use: (n, …) of each column."""

    columns: tuple[Tensor, ...]
    _sums: dict[int, Tensor] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def beside(self) -> Float[Tensor, "n c ..."]:
        """The columns beside each other."""
        return beside(self.columns)

    def each(self, rows: Callable[[Tensor], Tensor]) -> Dense:
        """Rows that are made column by column, which with many of them is kinder to memory."""
        return Dense(beside([rows(g) for g in self.columns]))

    def sums(self, d: int) -> Float[Tensor, "n c channels"]:
        """Over all of each channel, of images with d axes; kept."""
        if d not in self._sums:
            self._sums[d] = beside([_sums(_framed(g, 1, d)) for g in self.columns])
        return self._sums[d]


Rule = Callable[[str, Shape, Tensor, Back], Form]
"""The rows of a part of this shape, from what entered (n, …) and what came back.

Where examples were folded into a longer first axis, that axis comes next in both.
"""


@dataclass(frozen=True)
class Call:
    """A function's use of parameters: what entered it, and the tensors by the part that they play in it."""

    rule: Rule
    entered: Tensor
    parts: Mapping[str, Tensor | None]
    faster: Callable[[], Tensor] | None = None
    """What gives the same result in less time."""


def _linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Call:
    return Call(_linear_rows, input, {"weight": weight, "bias": bias})


def _matmul(input: Tensor, other: Tensor) -> Call:
    return Call(_linear_rows, input, {"transposed weight": other})


def _addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: float = 1, alpha: float = 1) -> Call | None:
    plain = beta == 1 and alpha == 1 and input.ndim == 1
    return Call(_linear_rows, mat1, {"transposed weight": mat2, "bias": input}) if plain else None


def _linear_rows(part: str, shape: Shape, a: Float[Tensor, "n ..."], back: Back) -> Form:
    g = back.beside
    g = g.flatten(2, -2) if g.ndim > 3 else g[:, :, None]
    if part == "bias":
        return Dense(g.sum(2))
    a = a.flatten(1, -2) if a.ndim > 2 else a[:, None]
    returned, entered = g.mT[:, :, None], a.mT[:, None, None]
    # A matrix that is used as (inputs, outputs) has what entered on its left.
    return Outer(returned, entered, shape) if part == "weight" else Outer(entered, returned, shape, turned=True)


def _conv(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: int = 1,
) -> Call | None:  # fmt: skip
    d = weight.ndim - 2
    step, spread = _many(stride, d), _many(dilation, d)
    pads = tuple(_pads(padding, spread, weight.shape[2:]))

    def rows(part: str, shape: Shape, a: Float[Tensor, "n ..."], back: Back) -> Form:
        if part == "bias":
            return Dense(back.sums(d))
        returned = tuple(_framed(g, 1, d) for g in back.columns)
        return Convolved(_framed(a, 1, d), returned, shape, step, spread, pads, groups)

    return Call(rows, input, {"weight": weight, "bias": bias}) if input.ndim == d + 2 else None


def _conv_transpose(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
    output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
) -> Call | None:  # fmt: skip
    d = weight.ndim - 2
    step, spread, kernel = _many(stride, d), _many(dilation, d), weight.shape[2:]
    beyond = zip(_many(padding, d), _many(output_padding, d), strict=True)
    pads = [(p, max(0, p - extra)) for p, extra in beyond]

    def rows(part: str, shape: Shape, a: Float[Tensor, "n ..."], back: Back) -> Form:
        if part == "bias":
            return Dense(back.sums(d))
        entered, returned = _framed(a, 1, d), _framed(back.beside, 2, d)
        seen = windows(returned.flatten(0, 1), kernel, step, spread, pads, entered.shape[3:], groups)
        return Outer(by_group(entered[:, None], groups), seen.unflatten(0, returned.shape[:2]), shape, turned=True)

    return Call(rows, input, {"weight": weight, "bias": bias}) if input.ndim == d + 2 else None


def _embedding(
    input: Tensor, weight: Tensor, padding_idx: int | None = None, max_norm: float | None = None,
    norm_type: float = 2.0, scale_grad_by_freq: bool = False, sparse: bool = False,
) -> Call | None:  # fmt: skip
    def rows(part: str, shape: Shape, a: Int[Tensor, "n ..."], back: Back) -> Form:
        g, index = back.beside, a.flatten(1) if a.ndim > 1 else a[:, None]
        g = g.flatten(2, -2) if g.ndim > 3 else g[:, :, None]
        if padding_idx is not None:
            g = g * (index != padding_idx % shape[0])[:, None, :, None]
        return Picked(index, g, shape)

    return Call(rows, input, {"weight": weight}) if max_norm is None and not scale_grad_by_freq else None


def _layer_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Call:  # fmt: skip
    def rows(part: str, shape: Shape, a: Float[Tensor, "n ..."], back: Back) -> Form:
        return _scale(part, shape, lambda: F.layer_norm(a, normalized_shape, None, None, eps), back)

    return Call(rows, input, {"weight": weight, "bias": bias})


def _rms_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Call:
    def rows(part: str, shape: Shape, a: Float[Tensor, "n ..."], back: Back) -> Form:
        return _scale(part, shape, lambda: F.rms_norm(a, normalized_shape, None, eps), back)

    return Call(rows, input, {"weight": weight})


def _scale(part: str, shape: Shape, normalise: Callable[[], Float[Tensor, "n ..."]], back: Back) -> Form:
    """Rows of a scale and a shift of the last axes."""
    normed = None if part == "bias" else normalise()

    def rows(g: Tensor) -> Tensor:
        return (g if normed is None else g * normed).reshape(len(g), -1, *shape).sum(1)

    return back.each(rows)


def _group_norm(
    input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Call:
    d = input.ndim - 2

    def rows(part: str, shape: Shape, a: Float[Tensor, "n ..."], back: Back) -> Form:
        if part == "bias":
            return Dense(back.sums(d))
        entered = _framed(a, 1, d)
        normed = F.group_norm(entered.flatten(0, 1), num_groups, None, None, eps).view_as(entered)
        return back.each(lambda g: _sums(_framed(g, 1, d) * normed))

    return Call(rows, input, {"weight": weight, "bias": bias})


def _batch_norm(
    input: Tensor, running_mean: Tensor | None, running_var: Tensor | None, weight: Tensor | None = None,
    bias: Tensor | None = None, training: bool = False, momentum: float = 0.1, eps: float = 1e-5,
) -> Call | None:  # fmt: skip
    d = input.ndim - 2
    if training or running_mean is None or running_var is None:
        return None

    def rows(part: str, shape: Shape, a: Float[Tensor, "n ..."], back: Back) -> Form:
        if part == "bias":
            return Dense(back.sums(d))
        entered = _framed(a, 1, d)
        found = back.each(lambda g: _sums(_framed(g, 1, d) * entered))
        # Centred after the sum, so that what entered isn't written again.
        return Dense((found.rows - back.sums(d) * running_mean) * (running_var + eps).rsqrt())

    def affine() -> Tensor:
        scale = (running_var + eps).rsqrt() * (1 if weight is None else weight)
        shift = (0 if bias is None else bias) - running_mean * scale
        return (input * scale.view(-1, *[1] * d)).add_(shift.view(-1, *[1] * d))

    return Call(rows, input, {"weight": weight, "bias": bias}, affine)


def _sums(t: Float[Tensor, "n f ch ..."]) -> Float[Tensor, "n ch"]:
    """For each channel."""
    return t.flatten(3).sum((1, 3)) if t.ndim > 3 else t.sum(1)


def _add(input: Any, other: Any, *, alpha: float = 1) -> Call | None:
    return Call(_shifted, input, {"added": other}) if alpha == 1 and _broadcasts(input, other) else None


def _mul(input: Any, other: Any) -> Call | None:
    def rows(part: str, shape: Shape, a: Float[Tensor, "n ..."], back: Back) -> Form:
        return _shift(shape, back.beside * a[:, None])

    return Call(rows, input, {"factor": other}) if _broadcasts(input, other) else None


def _broadcasts(input: Any, other: Any) -> bool:
    return isinstance(input, Tensor) and isinstance(other, Tensor) and input.ndim >= other.ndim


def _shifted(part: str, shape: Shape, a: Shaped[Tensor, "n ..."], back: Back) -> Form:
    return _shift(shape, back.beside)


def _shift(shape: Shape, g: Float[Tensor, "n c ..."]) -> Form:
    """Rows of what is added to every example alike."""
    inner = shape[1:] if len(shape) == g.ndim - 1 else shape  # a first axis of 1 stands for the examples
    over = [k for k in range(2, g.ndim) if k < g.ndim - len(inner) or inner[k - g.ndim] == 1]
    return Dense((g.sum(over) if over else g).reshape(*g.shape[:2], *shape))


def _expand(input: Tensor, *sizes: Any) -> Call:
    return Call(_shifted, input, {"expanded": input})


def _framed(t: Tensor, lead: int, d: int) -> Tensor:
    """(…, frames, channels, *space), one frame unless images were folded into the first axis."""
    return t if t.ndim == lead + 2 + d else t.unsqueeze(lead)


def _pads(padding: Any, spread: Sequence[int], kernel: Sequence[int]) -> list[tuple[int, int]]:
    if padding == "same":
        total = [s * (k - 1) for s, k in zip(spread, kernel, strict=True)]
        return [(t // 2, t - t // 2) for t in total]
    return [(p, p) for p in _many(0 if padding == "valid" else padding, len(kernel))]


def _many(value: Any, d: int) -> tuple[Any, ...]:
    return tuple(value) * (d if len(value) == 1 else 1) if isinstance(value, list | tuple) else (value,) * d


CLOSED_FORMS: dict[Any, Callable[..., Call | None]] = {
    F.linear: _linear,
    torch.matmul: _matmul,
    torch.mm: _matmul,
    Tensor.matmul: _matmul,
    Tensor.mm: _matmul,
    Tensor.__matmul__: _matmul,
    torch.addmm: _addmm,
    Tensor.addmm: _addmm,
    F.conv1d: _conv,
    F.conv2d: _conv,
    F.conv3d: _conv,
    F.conv_transpose1d: _conv_transpose,
    F.conv_transpose2d: _conv_transpose,
    F.conv_transpose3d: _conv_transpose,
    F.embedding: _embedding,
    F.layer_norm: _layer_norm,
    F.rms_norm: _rms_norm,
    F.group_norm: _group_norm,
    F.batch_norm: _batch_norm,
    torch.add: _add,
    Tensor.add: _add,
    Tensor.add_: _add,
    Tensor.__add__: _add,
    Tensor.__iadd__: _add,
    torch.mul: _mul,
    Tensor.mul: _mul,
    Tensor.__mul__: _mul,
    Tensor.expand: _expand,
}
"""What a function was given, as a `Call`; None for a way of using it that has no closed form here."""

COMMUTES = frozenset(f for f, call in CLOSED_FORMS.items() if call in (_add, _mul) and f is not Tensor.add_)
"""Functions that are the same the other way round."""

OPENED = (F.multi_head_attention_forward,)
"""Functions of Python that use parameters by calling others."""
