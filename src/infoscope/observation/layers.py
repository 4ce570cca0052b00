"""Which modules of a network are its layers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from fnmatch import fnmatchcase

import torch
from torch import nn

from infoscope.data.inputs import Batch
from infoscope.training.forward import forward
from infoscope.training.isolation import isolated
from infoscope.unreadable import listed

_WRAPPERS = ("_orig_mod", "_forward_module", "module")  # torch.compile; Fabric; DDP, FSDP, DataParallel
_NORMS = (
    nn.modules.batchnorm._NormBase,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.RMSNorm,
    nn.LocalResponseNorm,
    nn.CrossMapLRN2d,
)


def layer_names(network: nn.Module, patterns: Sequence[str] | None = None) -> tuple[str, ...]:
    """The modules that the globs match; without globs, every layer of the network after its activation function.

    A layer is a leaf module with parameters that is no normalisation; the activation module that follows it in
    `named_modules`, before the next layer, takes its place. An activation that is a plain function (`F.relu`) is no
    module: there the layer is seen before it.

    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))
    >>> layer_names(net), layer_names(net, ["[13]"])
    (('3', '4'), ('1', '3'))
    """
    modules = {name: module for name, module in unwrapped(network).named_modules() if name}
    if patterns is None:
        return _after_activation(modules) or tuple(modules)
    if isinstance(patterns, str):
        patterns = [patterns]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in modules):
            have = ", ".join(list(modules)[:12]) + (", …" if len(modules) > 12 else "")
            raise ValueError(f"no layer of {type(network).__name__} matches {pattern!r}; it has: {have or 'none'}")
    return tuple(name for name in modules if any(fnmatchcase(name, pattern) for pattern in patterns))


def chosen(have: Collection[str], globs: Sequence[str], where: str) -> tuple[str, ...]:
    """Those of the names that the globs match; `all` and no glob are all."""
    if not globs or tuple(globs) == ("all",):
        return tuple(have)
    for glob in globs:
        if not any(fnmatchcase(name, glob) for name in have):
            raise ValueError(f"{where}: no layer matches {glob!r}; it has {listed(have)}")
    return tuple(name for name in have if any(fnmatchcase(name, glob) for glob in globs))


def unwrapped(network: nn.Module) -> nn.Module:
    """The network inside torch.compile, DistributedDataParallel, FSDP, DataParallel, Fabric and their like.

    >>> net = nn.Linear(2, 2)
    >>> unwrapped(nn.DataParallel(net)) is net
    True
    """
    children = dict(network.named_children())
    for attribute in _WRAPPERS:
        # A user's own network may call one of several parts `module`: a wrapper has nothing beside it.
        if attribute in children and (len(children) == 1 or attribute == "_forward_module"):
            return unwrapped(children[attribute])
    return network


def last_layer(network: nn.Module, x: Batch) -> str | None:
    """The name of the linear or convolutional layer that a network, put in eval mode, calls last; None without any.

    >>> last_layer(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2), nn.ReLU()), torch.zeros(1, 3))
    '2'
    """
    called: list[str] = []
    handles = [
        layer.register_forward_hook(lambda *_, name=name: called.append(name))
        for name, layer in network.named_modules()
        if isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d)
    ]
    try:
        with isolated(0), torch.no_grad():
            forward(network.eval(), x)
    finally:
        for handle in handles:
            handle.remove()
    return called[-1] if called else None


def _after_activation(modules: Mapping[str, nn.Module]) -> tuple[str, ...]:
    attention = tuple(f"{name}." for name, module in modules.items() if isinstance(module, nn.MultiheadAttention))
    names: list[str] = []
    open_layer = False
    for name, module in modules.items():
        if name.startswith(attention) or (_has_parts(module) and f"{name}." not in attention):
            continue
        if _is_activation(module):
            if open_layer:
                names[-1], open_layer = name, False
        elif not isinstance(module, _NORMS) and any(True for _ in module.parameters(recurse=False)):
            names.append(name)
            open_layer = True
    return tuple(names)


def _has_parts(module: nn.Module) -> bool:
    return any(True for _ in module.children())


def _is_activation(module: nn.Module) -> bool:
    own = {base.__module__ for base in type(module).__mro__}
    return "torch.nn.modules.activation" in own and not isinstance(module, nn.MultiheadAttention)
