"""The table of functions whose derivatives with respect to their parameters have a closed form.

`nn.Linear`, convolutions, norms, embeddings, `nn.MultiheadAttention`, Hugging Face's `Conv1D` and whoever calls the
functions themselves all end in these; what a module is called does not matter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor
from torch.nn import functional as F

from infoscope.observation.convolved import Convolved, by_group, windows
from infoscope.observation.forms import Dense, Form, Outer, Picked

Shape = tuple[int, ...]

Rule = Callable[[str, Shape, Tensor, Tensor], Form]
"""The rows of a part of this shape, from what entered (n, …) and what came back (n, columns, …).

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


def _linear_rows(part: str, shape: Shape, a: Float[Tensor, "n ..."], g: Float[Tensor, "n c ..."]) -> Form:
    g = g.flatten(2, -2) if g.ndim > 3 else g[:, :, None]
    if part == "bias":
        return Dense(g.sum(2))
    a = a.flatten(1, -2) if a.ndim > 2 else a[:, None]
    back, entered = g.mT[:, :, None], a.mT[:, None, None]
    # A matrix that is used as (inputs, outputs) has what entered on its left.
    return Outer(back, entered, shape) if part == "weight" else Outer(entered, back, shape, turned=True)


def _conv(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: int = 1,
) -> Call | None:  # fmt: skip
    d = weight.ndim - 2
    step, spread = _many(stride, d), _many(dilation, d)
    pads = tuple(_pads(padding, spread, weight.shape[2:]))

    def rows(part: str, shape: Shape, a: Float[Tensor, "n ..."], g: Float[Tensor, "n c ..."]) -> Form:
        back = _framed(g, 2, d)
        if part == "bias":
            return Dense(back.flatten(4).sum((2, 4)))
        return Convolved(_framed(a, 1, d), back, shape, step, spread, pads, groups)

    return Call(rows, input, {"weight": weight, "bias": bias}) if input.ndim == d + 2 else None


def _conv_transpose(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
    output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
) -> Call | None:  # fmt: skip
    d = weight.ndim - 2
    step, spread, kernel = _many(stride, d), _many(dilation, d), weight.shape[2:]
    beyond = zip(_many(padding, d), _many(output_padding, d), strict=True)
    pads = [(p, max(0, p - extra)) for p, extra in beyond]

    def rows(part: str, shape: Shape, a: Float[Tensor, "n ..."], g: Float[Tensor, "n c ..."]) -> Form:
        entered, back = _framed(a, 1, d), _framed(g, 2, d)
        if part == "bias":
            return Dense(back.flatten(4).sum((2, 4)))
        seen = windows(back.flatten(0, 1), kernel, step, spread, pads, entered.shape[3:], groups)
        return Outer(by_group(entered[:, None], groups), seen.unflatten(0, back.shape[:2]), shape, turned=True)

    return Call(rows, input, {"weight": weight, "bias": bias}) if input.ndim == d + 2 else None


def _embedding(
    input: Tensor, weight: Tensor, padding_idx: int | None = None, max_norm: float | None = None,
    norm_type: float = 2.0, scale_grad_by_freq: bool = False, sparse: bool = False,
) -> Call | None:  # fmt: skip
    def rows(part: str, shape: Shape, a: Int[Tensor, "n ..."], g: Float[Tensor, "n c ..."]) -> Form:
        index, back = a.flatten(1) if a.ndim > 1 else a[:, None], g.flatten(2, -2) if g.ndim > 3 else g[:, :, None]
        if padding_idx is not None:
            back = back * (index != padding_idx % shape[0])[:, None, :, None]
        return Picked(index, back, shape)

    return Call(rows, input, {"weight": weight}) if max_norm is None and not scale_grad_by_freq else None


def _layer_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Call:  # fmt: skip
    def rows(part: str, shape: Shape, a: Float[Tensor, "n ..."], g: Float[Tensor, "n c ..."]) -> Form:
        return _scale(part, shape, F.layer_norm(a, normalized_shape, None, None, eps), g)

    return Call(rows, input, {"weight": weight, "bias": bias})


def _rms_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Call:
    def rows(part: str, shape: Shape, a: Float[Tensor, "n ..."], g: Float[Tensor, "n c ..."]) -> Form:
        return _scale(part, shape, F.rms_norm(a, normalized_shape, None, eps), g)

    return Call(rows, input, {"weight": weight})


def _scale(part: str, shape: Shape, normed: Float[Tensor, "n ..."], g: Float[Tensor, "n c ..."]) -> Form:
    """Rows of a scale and a shift of the last axes."""
    one = g if part == "bias" else g * normed[:, None]
    return Dense(one.reshape(*g.shape[:2], -1, *shape).sum(2))


def _group_norm(
    input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Call:
    d = input.ndim - 2

    def rows(part: str, shape: Shape, a: Float[Tensor, "n ..."], g: Float[Tensor, "n c ..."]) -> Form:
        entered = _framed(a, 1, d)
        normed = F.group_norm(entered.flatten(0, 1), num_groups, None, None, eps).view_as(entered)
        return _by_channel(part, normed, _framed(g, 2, d))

    return Call(rows, input, {"weight": weight, "bias": bias})


def _batch_norm(
    input: Tensor, running_mean: Tensor | None, running_var: Tensor | None, weight: Tensor | None = None,
    bias: Tensor | None = None, training: bool = False, momentum: float = 0.1, eps: float = 1e-5,
) -> Call | None:  # fmt: skip
    d = input.ndim - 2
    if training or running_mean is None or running_var is None:
        return None

    def rows(part: str, shape: Shape, a: Float[Tensor, "n ..."], g: Float[Tensor, "n c ..."]) -> Form:
        entered, back = _framed(a, 1, d), _framed(g, 2, d)
        shifts = _by_channel("bias", entered, back).rows
        if part == "bias":
            return Dense(shifts)
        # Centred after the sum, so that nothing as large as what entered is written.
        return Dense((_by_channel(part, entered, back).rows - shifts * running_mean) * (running_var + eps).rsqrt())

    def affine() -> Tensor:
        scale = (running_var + eps).rsqrt() * (1 if weight is None else weight)
        shift = (0 if bias is None else bias) - running_mean * scale
        return torch.addcmul(shift.view(-1, *[1] * d), input, scale.view(-1, *[1] * d))

    return Call(rows, input, {"weight": weight, "bias": bias}, affine)


def _by_channel(part: str, normed: Float[Tensor, "n f ch *s"], g: Float[Tensor, "n c f ch *s"]) -> Dense:
    """Rows of a scale and a shift of each channel."""
    g, normed = (
        g.flatten(4) if g.ndim > 4 else g[..., None],
        normed.flatten(3) if normed.ndim > 3 else normed[..., None],
    )
    return Dense(g.sum((2, 4)) if part == "bias" else torch.einsum("icfks,ifks->ick", g, normed))


def _add(input: Any, other: Any, *, alpha: float = 1) -> Call | None:
    return Call(_shift, input, {"added": other}) if alpha == 1 and _broadcasts(input, other) else None


def _mul(input: Any, other: Any) -> Call | None:
    def rows(part: str, shape: Shape, a: Float[Tensor, "n ..."], g: Float[Tensor, "n c ..."]) -> Form:
        return _shift(part, shape, a, g * a[:, None])

    return Call(rows, input, {"factor": other}) if _broadcasts(input, other) else None


def _broadcasts(input: Any, other: Any) -> bool:
    return isinstance(input, Tensor) and isinstance(other, Tensor) and input.ndim >= other.ndim


def _shift(part: str, shape: Shape, a: Shaped[Tensor, "n ..."], g: Float[Tensor, "n c ..."]) -> Form:
    """Rows of what is added to every example alike."""
    inner = shape[1:] if len(shape) == g.ndim - 1 else shape  # a first axis of 1 stands for the examples
    over = [k for k in range(2, g.ndim) if k < g.ndim - len(inner) or inner[k - g.ndim] == 1]
    return Dense((g.sum(over) if over else g).reshape(*g.shape[:2], *shape))


def _expand(input: Tensor, *sizes: Any) -> Call:
    return Call(_shift, input, {"expanded": input})


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
