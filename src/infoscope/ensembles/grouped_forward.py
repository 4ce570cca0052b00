"""The forward pass of many networks of one architecture as one: matrix products in batches, convolutions in groups.

A vector is held as (networks, features, examples), examples last, where a narrow layer still fills a vector unit; an
image as (examples, networks · channels, height, width), where every channel-wise operation is what it was before.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from infoscope.ensembles.stacked_weights import StackedWeights
from infoscope.ensembles.ways import NotStackable, first_line

_POINTWISE = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.Softplus, nn.Hardtanh,
    nn.Hardswish, nn.Mish, nn.Identity, nn.Dropout,
)  # fmt: skip
_CHANNELWISE = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)
_POINTWISE_FUNCTIONS = (
    F.relu, torch.relu, F.leaky_relu, F.elu, F.gelu, F.silu, F.softplus, F.tanh, torch.tanh, F.sigmoid, torch.sigmoid,
    operator.add, operator.iadd, operator.mul, operator.imul, operator.sub, operator.neg, operator.truediv,
    torch.add, torch.mul, torch.sub, F.dropout,
)  # fmt: skip
_CHANNELWISE_FUNCTIONS = (F.max_pool2d, F.avg_pool2d, F.adaptive_avg_pool2d, F.adaptive_max_pool2d)
_POINTWISE_METHODS = ("relu", "tanh", "sigmoid", "contiguous", "clone", "float", "double", "add", "mul", "sub")


class GroupedForward:
    """`logits(weights, x)` of a stack of networks like `network`, in the mode (training or not) that it is in.

    `weights` are stacked state dicts, each tensor with a leading axis of E networks; `x` is (E, n, …); logits are
    (E, classes, n). `NotStackable` if the network does something that is not known to go side by side.
    """

    def __init__(self, network: nn.Module):
        try:
            # A copy: a forward pass may leave what it was traced with in the network.
            self._traced = fx.symbolic_trace(copy.deepcopy(network))
        except Exception as error:
            raise NotStackable(f"{type(network).__name__} can't be traced ({first_line(error, 120)})") from error
        self._modules = dict(self._traced.named_modules())
        self._alias = aliases(network)
        # On a processor grouped convolutions are up to twice as fast with a pixel's channels side by side; batch
        # normalisation is then less exact (1e-4 instead of 1e-7 of a gradient), so with it they stay apart.
        kinds = {type(module) for module in self._modules.values()}
        self._pixelwise = nn.Conv2d in kinds and nn.BatchNorm2d not in kinds
        for node in self._traced.graph.nodes:
            _check(node, self._modules)

    def logits(self, weights: StackedWeights, x: Tensor) -> Tensor:
        """Logits (E, classes, n) for inputs (E, n, d) or (E, n, channels, height, width)."""
        members = len(x)
        held: dict[fx.Node, Any] = {}
        for node in self._traced.graph.nodes:
            if node.op == "placeholder":
                held[node] = self._laid_out(x)
                continue
            args, kwargs = fx.map_arg((node.args, node.kwargs), held.__getitem__)
            if node.op == "output":
                return _vector(args[0])
            if node.op == "call_module":
                module = self._modules[node.target]
                own = {k: weights[self._alias[f"{node.target}.{k}"]] for k in _tensors(module)}
                held[node] = _module(module, own, args[0], members)
            else:
                held[node] = _operation(node.target, members, args, kwargs)
        raise NotStackable("the network gives nothing back")

    def _laid_out(self, x: Tensor) -> Tensor:
        if x.ndim == 3:
            return x.mT
        if self._pixelwise and x.device.type == "cpu":
            return _image(x).contiguous(memory_format=torch.channels_last)
        return x


def _module(module: nn.Module, own: Mapping[str, Tensor], h: Tensor, members: int) -> Tensor:
    bias = own.get("bias")
    match module:
        case nn.Linear():
            h = _vector(h)
            return own["weight"] @ h if bias is None else torch.baddbmm(bias[:, :, None], own["weight"], h)
        case nn.Conv2d():
            flat = None if bias is None else bias.reshape(-1)
            groups, padding = module.groups * members, cast(Any, module.padding)
            kernels = own["weight"].flatten(0, 1)
            return F.conv2d(_image(h), kernels, flat, module.stride, padding, module.dilation, groups)
        case nn.BatchNorm1d() | nn.BatchNorm2d():
            return _batch_norm(module, own, h)
        case nn.Flatten():
            return _flat(h, members)
        case _ if isinstance(module, _CHANNELWISE):
            return module(_image(h))
    return module(h)


def _batch_norm(module: nn.BatchNorm1d | nn.BatchNorm2d, own: Mapping[str, Tensor], h: Tensor) -> Tensor:
    """Each network's channels are channels of their own; a vector's examples are taken for one example's pixels."""
    flat = {k: own[k].view(-1) if k.startswith("running") else own[k].reshape(-1) for k in own if k != _COUNTER}
    if module.training and _COUNTER in own:
        own[_COUNTER].add_(1)
    seen = _image(h) if h.ndim > 3 else h.reshape(1, -1, h.shape[2])
    by_batch = module.training or module.running_mean is None
    momentum = module.momentum if module.momentum is not None else 0.0
    out = F.batch_norm(
        seen, flat.get("running_mean"), flat.get("running_var"), flat.get("weight"), flat.get("bias"),
        by_batch, momentum, module.eps,
    )  # fmt: skip
    return out.view_as(h) if h.ndim == 3 else out


_COUNTER = "num_batches_tracked"


def _operation(target: Any, members: int, args: Any, kwargs: Any) -> Any:
    name = target if isinstance(target, str) else getattr(target, "__name__", "")
    first = args[0]
    if name == "cat":
        return _concatenated(first, members)
    if name == "pad":
        wide = _image(first).unflatten(1, (members, -1))
        return F.pad(wide, *args[1:], **kwargs).flatten(1, 2)
    if name == "size":
        return first.shape[{3: 2, 4: 0, 5: 1}[first.ndim]]
    if name in ("flatten", "view", "reshape"):
        return _flat(first, members)
    if name == "mean":
        return _flat(_image(first).mean((2, 3), keepdim=True), members)
    if name == "getitem":
        return _image(first)[args[1]]
    if isinstance(target, str):
        return getattr(first, target)(*args[1:], **kwargs)
    if target in _CHANNELWISE_FUNCTIONS:
        return target(_image(first), *args[1:], **kwargs)
    return target(*args, **kwargs)


def _concatenated(parts: Any, members: int) -> Tensor:
    if parts[0].ndim == 3:
        return torch.cat(list(parts), 1)
    return torch.cat([_image(part).unflatten(1, (members, -1)) for part in parts], 2).flatten(1, 2)


def _image(h: Tensor) -> Tensor:
    """(n, E · channels, height, width) from that, or from an input (E, n, channels, height, width)."""
    if h.ndim == 3:
        raise NotStackable("an operation on images is given vectors")
    return h.transpose(0, 1).flatten(1, 2) if h.ndim == 5 else h


def _vector(h: Tensor) -> Tensor:
    if h.ndim != 3:
        raise NotStackable("a linear layer, or the end of the network, is given images")
    return h


def _flat(h: Tensor, members: int) -> Tensor:
    """(E, features, n) from an image."""
    if h.ndim == 5:
        return h.flatten(2).mT
    return h if h.ndim == 3 else h.unflatten(1, (members, -1)).flatten(2).permute(1, 2, 0)


def _check(node: fx.Node, modules: Mapping[str, nn.Module]) -> None:
    """NotStackable unless this step is one of those known."""
    known = {
        "placeholder": lambda: node.prev.op != "placeholder",
        "output": lambda: isinstance(node.args[0], fx.Node),
        "call_module": lambda: _known_module(modules[str(node.target)]),
        "call_function": lambda: _known_function(node),
        "call_method": lambda: _known_method(node),
    }.get(node.op, lambda: False)
    if not known():
        what = type(modules[str(node.target)]).__name__ if node.op == "call_module" else node.target
        raise NotStackable(f"`{node.name}` ({what}) has no known form side by side")


def _known_module(module: nn.Module) -> bool:
    match module:
        case nn.Linear():
            return type(module) is nn.Linear
        case nn.Conv2d():
            return type(module) is nn.Conv2d and module.padding_mode == "zeros"
        case nn.BatchNorm1d() | nn.BatchNorm2d():
            return module.momentum is not None
        case nn.Flatten():
            return (module.start_dim, module.end_dim) == (1, -1)
        case nn.MaxPool2d():
            return not module.return_indices
    return isinstance(module, (*_POINTWISE, *_CHANNELWISE))


def _known_function(node: fx.Node) -> bool:
    if node.target is torch.cat:
        return (node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")) in (1, -3)
    if node.target is torch.flatten:
        return _flattens(node)
    if node.target is torch.mean:
        return _averages(node)
    if node.target is F.pad:
        return len(node.args) < 4 and node.kwargs.get("mode", "constant") == "constant"
    if node.target is operator.getitem:
        where = node.args[1]
        return isinstance(where, tuple) and len(where) == 4 and where[:2] == (slice(None), slice(None))
    if node.target in _CHANNELWISE_FUNCTIONS:
        return not node.kwargs.get("return_indices")
    return node.target in _POINTWISE_FUNCTIONS and all(not isinstance(a, (list, tuple)) for a in node.args)


def _known_method(node: fx.Node) -> bool:
    if node.target == "flatten":
        return _flattens(node)
    if node.target == "mean":
        return _averages(node)
    if node.target == "size":
        return node.args[1:] == (0,)
    if node.target in ("view", "reshape"):  # x.view(x.size(0), -1)
        rows = node.args[1]
        return isinstance(rows, fx.Node) and rows.target == "size" and node.args[2:] == (-1,)
    return node.target in _POINTWISE_METHODS


def _flattens(node: fx.Node) -> bool:
    return (node.args[1:], dict(node.kwargs)) in (((1,), {}), ((), {"start_dim": 1}), ((1, -1), {}))


def _averages(node: fx.Node) -> bool:
    where = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
    return isinstance(where, (tuple, list)) and tuple(where) in ((2, 3), (-2, -1)) and not node.kwargs.get("keepdim")


def _tensors(module: nn.Module) -> list[str]:
    return [*(n for n, p in module._parameters.items() if p is not None),
            *(n for n, b in module._buffers.items() if b is not None)]  # fmt: skip


def aliases(network: nn.Module) -> dict[str, str]:
    """The one name of each parameter and buffer, by all the names that it goes by."""
    named = [*network.named_parameters(remove_duplicate=False), *network.named_buffers(remove_duplicate=False)]
    first: dict[int, str] = {}
    return {name: first.setdefault(id(tensor), name) for name, tensor in named}
