"""What torch functions do to the units of an activation, function by function."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor

from infoscope.symmetry.head_rules import HEAD_RULES, Split, self_attention
from infoscope.symmetry.trace import FIXED, MADE, NEUTRAL, READ, Call, Ids, Rule, Rules, Tag, Trace

# A unit made α > 0 times as large comes out of these α times as large.
_HOMOGENEOUS = (
    *("relu", "leaky_relu", "abs", "neg", "clone", "contiguous", "detach", "to", "float", "double"),
    *("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "interpolate", "upsample"),
    *("max_pool1d", "max_pool2d", "max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d"),
    *("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_max_pool1d", "adaptive_max_pool2d"),
)
_BENT = (
    *("tanh", "sigmoid", "gelu", "silu", "elu", "selu", "celu", "mish", "relu6", "hardtanh", "hardswish"),
    *("hardsigmoid", "softplus", "softsign", "exp", "pow"),
)


def _each(homogeneous: bool) -> Rule:
    def rule(trace: Trace, call: Call) -> Tag | None:
        tag = trace.tag(call.get(0, "input"))
        if tag is not None and not homogeneous:
            trace.rigid(tag.scales)
        return tag

    return rule


def _linear(trace: Trace, call: Call) -> Tag | None:
    x, weight, bias = call.get(0, "input"), call.get(1, "weight"), call.get(2, "bias")
    return _weighted(trace, x, weight, bias, x.ndim - 1)


def _conv(trace: Trace, call: Call) -> Tag | None:
    x, weight, bias = call.get(0, "input"), call.get(1, "weight"), call.get(2, "bias")
    groups = call.get(6, "groups", 1)
    if x.ndim != weight.ndim:
        return None
    if groups == 1:
        return _weighted(trace, x, weight, bias, 1)
    return _depthwise(trace, x, weight, bias) if groups == x.shape[1] else None


def _weighted(trace: Trace, x: Tensor, weight: Tensor, bias: Tensor | None, axis: int) -> Tag | None:
    """Units enter along axis 1 of the weight, and new ones leave along axis 0."""
    tag = trace.tag(x)
    if not _own(trace, weight, bias) or (tag is not None and tag.axis != axis):
        return None
    trace.join(tag or _fixed(x, axis), trace.along(weight, 1, READ))
    made = trace.along(weight, 0, MADE)
    if bias is not None:
        trace.join(Tag(axis, made, made), trace.along(bias, 0, MADE))
    return Tag(axis, made, made)


def _depthwise(trace: Trace, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tag | None:
    """Each unit has filters of its own: the same unit leaves, once for each."""
    tag = trace.tag(x)
    if tag is None or tag.axis != 1 or not _own(trace, weight, bias):
        return None
    out = _repeated(tag, len(weight) // x.shape[1])
    trace.join(out, trace.along(weight, 0, 0))
    if bias is not None:
        trace.join(out, trace.along(bias, 0, MADE))
    return out


def _batch_norm(trace: Trace, call: Call) -> Tag | None:
    x, mean, variance = call.get(0, "input"), call.get(1, "running_mean"), call.get(2, "running_var")
    tag = trace.tag(x) or _fixed(x, 1)
    if tag.axis != 1:
        return None
    for statistic, power in ((mean, MADE), (variance, 2 * MADE)):
        if statistic is not None:
            trace.join(tag, trace.along(statistic, 0, power))
    trace.normalised.append(tag.scales)
    return _affine(trace, tag, call.get(3, "weight"), call.get(4, "bias"))


def _layer_norm(trace: Trace, call: Call) -> Tag | None:
    x, shape = call.get(0, "input"), call.get(1, "normalized_shape")
    tag = trace.tag(x)
    if tag is None or tag.axis != x.ndim - 1 or len(shape) != 1:
        return None
    trace.rigid(tag.scales)
    return _affine(trace, tag, call.get(2, "weight"), call.get(3, "bias"))


def _affine(trace: Trace, tag: Tag, weight: Tensor | None, bias: Tensor | None) -> Tag | None:
    """After a normalisation: the same units, with a scale that its own weight gives them anew."""
    if weight is None or not _own(trace, weight, bias):
        return replace(tag, scales=np.full_like(tag.scales, FIXED)) if weight is None else None
    made = trace.along(weight, 0, MADE)
    if bias is not None:
        trace.join(Tag(tag.axis, made, made), trace.along(bias, 0, MADE))
    trace.units.join(tag.units, made)
    return Tag(tag.axis, np.where(tag.units == NEUTRAL, made, tag.units), made)


def _embedding(trace: Trace, call: Call) -> Tag | None:
    weight = call.get(1, "weight")
    if not trace.knows(weight) or call.get(3, "max_norm") is not None:
        return None
    made = trace.along(weight, 1, MADE)
    return Tag(call.result.ndim - 1, made, made)


def _addmm(trace: Trace, call: Call) -> Tag | None:
    """Bias + x W, whose weight stands the other way round than that of `linear`."""
    bias, x, weight = call.get(0, "input"), call.get(1, "mat1"), call.get(2, "mat2")
    tag = trace.tag(x)
    if not _own(trace, weight, bias) or (tag is not None and tag.axis != 1):
        return None
    trace.join(tag or _fixed(x, 1), trace.along(weight, 0, READ))
    made = trace.along(weight, 1, MADE)
    trace.join(Tag(1, made, made), trace.along(bias, 0, MADE))
    return Tag(1, made, made)


def _expand(trace: Trace, call: Call) -> Tag | None:
    """Copies along axes of length 1, of an activation or of a parameter such as a token of its own."""
    x, shape = call.get(0, "input"), call.result.shape
    new = len(shape) - x.ndim
    tag = trace.tag(x)
    if trace.knows(x):
        made = trace.along(x, x.ndim - 1, MADE)
        tag = Tag(x.ndim - 1, made, made)
    if tag is None or shape[new + tag.axis] != x.shape[tag.axis]:
        return None
    return replace(tag, axis=new + tag.axis)


def _prelu(trace: Trace, call: Call) -> Tag | None:
    tag, weight = trace.tag(call.get(0, "input")), call.get(1, "weight")
    if tag is None or not trace.knows(weight):
        return None
    if weight.numel() > 1:
        trace.join(tag, trace.along(weight, 0, 0))
    return tag


def _reshape(trace: Trace, call: Call) -> Tag | Split | None:
    """Row-major order is kept, so that units stay apart as long as no axis before theirs changes."""
    x, to = call.get(0, "input"), call.result.shape
    tag = trace.tag(x)
    if tag is None:
        return None
    a, shape = tag.axis, x.shape
    if to[: a + 1] and to[:a] == shape[:a] and len(to) > a and not to[a] % shape[a]:
        return _repeated(tag, to[a] // shape[a])
    behind = len(to) - (len(shape) - a)
    if behind >= 0 and to[behind:] == shape[a:]:
        return replace(tag, axis=behind)
    if a == len(shape) - 1 and to[:a] == shape[:a]:  # such as (n, positions, units) to (n, positions, heads, places)
        trace.rigid(tag.scales)
        return Split(tuple(range(a, len(to))), tag.units.reshape(to[a:]))
    return None


def _reduce(trace: Trace, call: Call) -> Tag | None:
    x, dims, keep = call.get(0, "input"), call.get(1, "dim"), call.get(2, "keepdim", False)
    tag = trace.tag(x)
    if tag is None or dims is None:
        return None
    over = {d % x.ndim for d in ([dims] if isinstance(dims, int) else dims)}
    if tag.axis in over:
        return None
    return tag if keep else replace(tag, axis=tag.axis - sum(d < tag.axis for d in over))


def _getitem(trace: Trace, call: Call) -> Tag | None:
    x, index = call.args
    tag = trace.tag(x)
    parts = index if isinstance(index, tuple) else (index,)
    if tag is None or not all(isinstance(p, (int, slice)) for p in parts):
        return None
    chosen = parts[tag.axis] if tag.axis < len(parts) else slice(None)
    if isinstance(chosen, int):
        return None
    return Tag(tag.axis - sum(isinstance(p, int) for p in parts[: tag.axis]), tag.units[chosen], tag.scales[chosen])


def _split(trace: Trace, call: Call) -> Sequence[Tag] | None:
    x, dim = call.get(0, "input"), call.get(2, "dim", 0)
    tag = trace.tag(x)
    if tag is None:
        return None
    if dim % x.ndim != tag.axis:
        return [tag] * len(call.result)
    ends = np.cumsum([part.shape[tag.axis] for part in call.result])[:-1]
    pieces = zip(np.split(tag.units, ends), np.split(tag.scales, ends), strict=True)
    return [Tag(tag.axis, units, scales) for units, scales in pieces]


def _cat(trace: Trace, call: Call) -> Tag | None:
    parts, dim = call.get(0, "tensors"), call.get(1, "dim", 0)
    axes = {tag.axis for tag in map(trace.tag, parts) if tag is not None}
    if len(axes) != 1:
        return None
    axis = axes.pop()
    tags = [trace.tag(part) or _fixed(part, axis) for part in parts]
    if dim % parts[0].ndim == axis:
        return Tag(axis, np.concatenate([t.units for t in tags]), np.concatenate([t.scales for t in tags]))
    return _together(trace, tags)


def _pad(trace: Trace, call: Call) -> Tag | None:
    x, pads = call.get(0, "input"), call.get(1, "pad")
    tag = trace.tag(x)
    if tag is None:
        return None
    place = 2 * (x.ndim - 1 - tag.axis)
    before, after = pads[place : place + 2] if place < len(pads) else (0, 0)
    if not before and not after:
        if call.get(3, "value"):
            trace.rigid(tag.scales)
        return tag
    if call.get(2, "mode", "constant") != "constant" or min(before, after) < 0:
        return None
    scale = FIXED if call.get(3, "value") else NEUTRAL
    units = np.pad(tag.units, (before, after), constant_values=NEUTRAL)
    return Tag(tag.axis, units, np.pad(tag.scales, (before, after), constant_values=scale))


def _add(trace: Trace, call: Call) -> Tag | None:
    return _two(trace, call, adds=True)


def _multiply(trace: Trace, call: Call) -> Tag | None:
    return _two(trace, call, adds=False)


def _two(trace: Trace, call: Call, adds: bool) -> Tag | None:
    """Two activations element by element, or an activation and a parameter or a constant."""
    sides = [call.get(0, "input"), call.get(1, "other")]
    tagged = [(side, tag) for side in sides if (tag := trace.tag(side)) is not None]
    if len(tagged) == 2:
        (a, first), (b, second) = tagged
        if a.ndim != b.ndim or first.axis != second.axis or a.shape[first.axis] != b.shape[first.axis]:
            return None
        joined = _together(trace, [first, second])
        if not adds:
            trace.rigid(joined.scales)
        return joined
    if not tagged:
        return None
    x, tag = tagged[0]
    other = sides[1] if sides[0] is x else sides[0]
    return _with_constant(trace, x, tag, other, call.result, adds)


def _with_constant(trace: Trace, x: Tensor, tag: Tag, other: Any, result: Tensor, adds: bool) -> Tag | None:
    axis = tag.axis - x.ndim
    if result.ndim != x.ndim or result.shape[axis] != x.shape[axis]:
        return None
    if not isinstance(other, Tensor) or other.ndim < -axis or other.shape[axis] == 1:
        # The same for all units: it may move with none of them, and only a factor leaves their scale free.
        if adds and not (isinstance(other, (int, float)) and other == 0):
            trace.rigid(tag.scales)
        return tag
    if not trace.knows(other):
        return None
    trace.join(tag, trace.along(other, other.ndim + axis, MADE if adds else 0))
    return tag


def _permute(trace: Trace, call: Call) -> Tag | None:
    x = call.get(0, "input")
    tag, dims = trace.tag(x), call.get(1, "dims")
    if tag is None:
        return None
    order = list(dims) if isinstance(dims, (tuple, list)) else list(call.args[1:])
    return replace(tag, axis=[d % x.ndim for d in order].index(tag.axis))


def _transpose(trace: Trace, call: Call) -> Tag | None:
    x = call.get(0, "input")
    tag = trace.tag(x)
    a, b = call.get(1, "dim0") % x.ndim, call.get(2, "dim1") % x.ndim
    return None if tag is None else replace(tag, axis={a: b, b: a}.get(tag.axis, tag.axis))


def _together(trace: Trace, tags: Sequence[Tag]) -> Tag:
    """The units of all these are the same."""
    first = tags[0]
    for other in tags[1:]:
        trace.units.join(first.units, other.units)
        trace.scales.join(first.scales, other.scales)
        first = Tag(first.axis, _either(first.units, other.units), _either(first.scales, other.scales))
    return first


def _either(a: Ids, b: Ids) -> Ids:
    return np.where(a == NEUTRAL, b, a)


def _repeated(tag: Tag, times: int) -> Tag:
    return Tag(tag.axis, tag.units.repeat(times), tag.scales.repeat(times))


def _fixed(x: Tensor, axis: int) -> Tag:
    ids = np.full(x.shape[axis], FIXED)
    return Tag(axis, ids, ids)


def _own(trace: Trace, *weights: Tensor | None) -> bool:
    """Whether these are parameters of the network itself, not made from others on the way."""
    return all(w is None or trace.knows(w) for w in weights)


PLAIN: dict[str, Rule] = {
    **dict.fromkeys(_HOMOGENEOUS, _each(homogeneous=True)),
    **dict.fromkeys(_BENT, _each(homogeneous=False)),
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), _conv),
    **dict.fromkeys(("batch_norm", "instance_norm"), _batch_norm),
    **dict.fromkeys(("flatten", "view", "reshape", "squeeze", "unsqueeze"), _reshape),
    **dict.fromkeys(("mean", "sum", "amax"), _reduce),
    **dict.fromkeys(("chunk", "split"), _split),
    **dict.fromkeys(("cat", "concat"), _cat),
    **dict.fromkeys(("add", "iadd", "radd", "sub", "isub", "rsub"), _add),
    **dict.fromkeys(("mul", "imul", "rmul", "div", "truediv", "itruediv"), _multiply),
    **dict.fromkeys(("expand", "repeat"), _expand),
    "addmm": _addmm,
    "embedding": _embedding,
    "linear": _linear,
    "multi_head_attention_forward": self_attention,
    "layer_norm": _layer_norm,
    "prelu": _prelu,
    "getitem": _getitem,
    "pad": _pad,
    "permute": _permute,
    "transpose": _transpose,
}
"""Rules by the functions' names, underscores of in-place and operator forms taken off."""

RULES = Rules(PLAIN, HEAD_RULES)
