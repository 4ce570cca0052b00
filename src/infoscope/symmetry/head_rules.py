"""What torch functions do to the units of an activation in attention, where they stand along two axes and more.

A head reads by the products of its queries and keys, so that one place of both may move with the same place of the
other; what it reads, it takes from its values. Heads may change places as wholes, and inside of each the places of
queries with keys, and those of values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from infoscope.symmetry.trace import MADE, READ, Call, Ids, Tag, Trace


@dataclass(frozen=True)
class Split:
    """An activation whose units stand along several axes: `units` has one axis for each of `axes`."""

    axes: tuple[int, ...]
    units: Ids


@dataclass(frozen=True)
class Scores:
    """How much each head reads from where: heads stand along `axis`; `units` (heads, places) are those of queries."""

    axis: int
    units: Ids


Apart = Split | Scores

HeadRule = Callable[[Trace, Call], "Apart | Tag | Sequence[Apart | Tag] | None"]


def _kept(trace: Trace, call: Call) -> Apart | None:
    return trace.apart(call.get(0, "input"))


def _with_constant(trace: Trace, call: Call) -> Apart | None:
    """A number, or a mask that is the same for all units."""
    sides = [call.get(0, "input"), call.get(1, "other")]
    known = [side for side in sides if trace.apart(side) is not None]
    if len(known) != 1:
        return None
    (x,) = known
    other, tag = sides[1] if sides[0] is x else sides[0], trace.apart(x)
    return tag if tag is not None and _same_for_all(trace, other, tag, x) else None


def _masked(trace: Trace, call: Call) -> Apart | None:
    x, mask = call.get(0, "input"), call.get(1, "mask")
    tag = trace.apart(x)
    return tag if tag is not None and _same_for_all(trace, mask, tag, x) else None


def _same_for_all(trace: Trace, other: Any, tag: Apart, x: Tensor) -> bool:
    if not isinstance(other, Tensor):
        return True
    if trace.knows(other) or trace.tag(other) is not None or trace.apart(other) is not None or other.ndim > x.ndim:
        return False
    axes = tag.axes if isinstance(tag, Split) else (tag.axis,)
    return all(x.ndim - a > other.ndim or other.shape[a - x.ndim] == 1 for a in axes)


def _permute(trace: Trace, call: Call) -> Apart | None:
    x, dims = call.get(0, "input"), call.get(1, "dims")
    order = [d % x.ndim for d in (dims if isinstance(dims, (tuple, list)) else call.args[1:])]
    return _moved(trace.apart(x), [order.index(a) for a in range(x.ndim)])


def _transpose(trace: Trace, call: Call) -> Apart | None:
    x = call.get(0, "input")
    a, b = call.get(1, "dim0") % x.ndim, call.get(2, "dim1") % x.ndim
    return _moved(trace.apart(x), [{a: b, b: a}.get(axis, axis) for axis in range(x.ndim)])


def _moved(tag: Apart | None, to: Sequence[int]) -> Apart | None:
    if isinstance(tag, Split):
        return replace(tag, axes=tuple(to[a] for a in tag.axes))
    return None if tag is None else replace(tag, axis=to[tag.axis])


def _merged(trace: Trace, call: Call) -> Tag | Apart | None:
    """The axes of units, side by side and last, put into one again."""
    x, to = call.get(0, "input"), call.result.shape
    tag = trace.apart(x)
    if to == x.shape:
        return tag
    if not isinstance(tag, Split):
        return None
    first = x.ndim - len(tag.axes)
    if tag.axes != tuple(range(first, x.ndim)) or to[:-1] != x.shape[:first]:
        return None
    units = tag.units.reshape(-1)
    return Tag(first, units, np.zeros_like(units))


def _parts(trace: Trace, call: Call) -> Sequence[Apart] | None:
    """`unbind`, `chunk` and `split` along any axis."""
    x, tag = call.get(0, "input"), trace.apart(call.get(0, "input"))
    dim = call.get(1 if call.name == "unbind" else 2, "dim", 0) % x.ndim
    if not isinstance(tag, Split):
        return None
    if call.name == "unbind":
        return [_without(tag, dim, i) for i in range(x.shape[dim])]
    if dim not in tag.axes:
        return [tag] * len(call.result)
    ends = np.cumsum([part.shape[dim] for part in call.result])[:-1]
    return [replace(tag, units=part) for part in np.split(tag.units, ends, tag.axes.index(dim))]


def _getitem(trace: Trace, call: Call) -> Apart | None:
    x, index = call.args
    tag, parts = trace.apart(x), index if isinstance(index, tuple) else (index,)
    if not isinstance(tag, Split) or not all(isinstance(p, (int, slice)) for p in parts):
        return None
    for axis in range(len(parts) - 1, -1, -1):
        part = parts[axis]
        if isinstance(part, int):
            tag = _without(tag, axis, part)
        elif axis in tag.axes:
            where = tuple(part if a == axis else slice(None) for a in tag.axes)
            tag = replace(tag, units=tag.units[where])
    return tag


def _without(tag: Split, axis: int, at: int) -> Split:
    """Units that stand at one place of an axis, which is gone."""
    units = np.take(tag.units, at, tag.axes.index(axis)) if axis in tag.axes else tag.units
    return Split(tuple(a - (a > axis) for a in tag.axes if a != axis), units)


def _matmul(trace: Trace, call: Call) -> Apart | None:
    a, b = call.get(0, "input"), call.get(1, "other")
    left, right = trace.apart(a), trace.apart(b)
    if not isinstance(right, Split) or a.ndim != b.ndim:
        return None
    if isinstance(left, Split):
        return _scores(trace, left, right, (a.ndim - 1, a.ndim - 2))
    if isinstance(left, Scores) and right.axes == (left.axis, b.ndim - 1):
        trace.attend(left.units, right.units)
        return right
    return None


def _scores(trace: Trace, q: Split, k: Split, inner: tuple[int, int]) -> Scores | None:
    """Products of queries and keys over their last axes."""
    if len(q.axes) != 2 or q.axes[0] != k.axes[0] or (q.axes[1], k.axes[1]) != inner or q.units.shape != k.units.shape:
        return None
    trace.units.join(q.units.ravel(), k.units.ravel())
    return Scores(q.axes[0], q.units)


def _attention(trace: Trace, call: Call) -> Split | None:
    """`scaled_dot_product_attention` of queries, keys and values (…, heads, positions, places)."""
    q, k, v = (trace.apart(call.get(i, name)) for i, name in enumerate(("query", "key", "value")))
    if not (isinstance(q, Split) and isinstance(k, Split) and isinstance(v, Split)):
        return None
    mask, last = call.get(3, "attn_mask"), call.get(0, "query").ndim - 1
    same = mask is None or _same_for_all(trace, mask, Scores(q.axes[0], q.units), call.get(0, "query"))
    if not same or v.axes != q.axes or len(v.units) != len(q.units) or _scores(trace, q, k, (last, last)) is None:
        return None
    trace.attend(q.units, v.units)
    return v


def self_attention(trace: Trace, call: Call) -> Sequence[Tag] | None:
    """`multi_head_attention_forward`, which is all that `nn.MultiheadAttention` does, in one call."""
    inputs, heads = [call.get(i, name) for i, name in enumerate(("query", "key", "value"))], call.get(4, "num_heads")
    within, bias, out, out_bias = (
        call.get(5, "in_proj_weight"), call.get(6, "in_proj_bias"), call.get(11, "out_proj_weight"),
        call.get(12, "out_proj_bias"),
    )  # fmt: skip
    unusual = [call.get(7, "bias_k"), call.get(8, "bias_v"), call.options.get("static_k"), call.options.get("static_v")]
    weights = [w for w in (within, bias, out, out_bias) if w is not None]
    odd = call.get(9, "add_zero_attn") or not call.options.get("average_attn_weights", True)
    if within is None or odd or any(one is not None for one in unusual) or not all(map(trace.knows, weights)):
        return None
    last = inputs[0].ndim - 1
    tags = [trace.tag(x) or _fixed(x, last) for x in inputs]
    if any(tag.axis != last for tag in tags):
        return None
    for tag in tags:
        trace.join(tag, trace.along(within, 1, READ))
    made = _made(trace, within, bias)
    q, k, v = (ids.reshape(heads, -1) for ids in np.split(made, 3))
    trace.units.join(q.ravel(), k.ravel())
    trace.attend(q, v)
    trace.rigid(made)
    trace.units.join(v.ravel(), trace.along(out, 1, READ))
    trace.rigid(trace.along(out, 1, READ))
    ids = _made(trace, out, out_bias)
    rest = list(call.result)[1:]
    return [Tag(last, ids, ids), *(_fixed(t, t.ndim - 1) for t in rest if isinstance(t, Tensor))]


def _made(trace: Trace, weight: Tensor, bias: Tensor | None) -> Ids:
    made = trace.along(weight, 0, MADE)
    if bias is not None:
        trace.join(Tag(0, made, made), trace.along(bias, 0, MADE))
    return made


def _fixed(x: Tensor, axis: int) -> Tag:
    ids = np.zeros(x.shape[axis], dtype=np.int64)
    return Tag(axis, ids, ids)


HEAD_RULES: dict[str, HeadRule] = {
    **dict.fromkeys(("contiguous", "clone", "detach", "to", "float", "double", "dropout", "softmax"), _kept),
    **dict.fromkeys(("add", "iadd", "radd", "sub", "isub"), _with_constant),
    **dict.fromkeys(("mul", "imul", "rmul", "div", "truediv", "itruediv"), _with_constant),
    **dict.fromkeys(("masked_fill",), _masked),
    **dict.fromkeys(("unbind", "chunk", "split"), _parts),
    **dict.fromkeys(("flatten", "view", "reshape"), _merged),
    "getitem": _getitem,
    "permute": _permute,
    "transpose": _transpose,
    "matmul": _matmul,
    "scaled_dot_product_attention": _attention,
}  # fmt: skip
"""Rules for activations whose heads stand apart, by the functions' names."""
