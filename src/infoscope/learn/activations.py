"""What the layers of a network answer to given inputs: the look behind every measure of activations."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from infoscope.learn.isolation import isolated
from infoscope.learn.learner import Weights, load_weights
from infoscope.learn.look import pack, unpack

_WRAPPERS = ("_orig_mod", "_forward_module", "module")  # torch.compile; Fabric; DDP, FSDP, DataParallel
_NORMS = (
    nn.modules.batchnorm._NormBase,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.RMSNorm,
    nn.LocalResponseNorm,
    nn.CrossMapLRN2d,
)


@dataclass(frozen=True, eq=False)
class Activations:
    """Outputs of layers for the same n examples, flattened to (n, d), in the order in which the layers answered.

    >>> net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    >>> {name: tuple(t.shape) for name, t in activations(net, torch.zeros(5, 3)).layers.items()}
    {'1': (5, 4), '2': (5, 2)}
    """

    layers: Mapping[str, Float[Tensor, "n d"]]

    def __getitem__(self, layer: str) -> Float[Tensor, "n d"]:
        return self.layers[layer]

    def __len__(self) -> int:
        return len(next(iter(self.layers.values())))

    def save(self, path: str | Path, **arrays: Any) -> None:
        """Write an `.npz` with one array a layer, and others such as the labels `y`."""
        with Path(path).open("wb") as file:
            np.savez(file, **{name: t.numpy() for name, t in self.layers.items()}, **arrays)

    def to_bytes(self) -> bytes:
        """As one safetensors file."""
        return pack(dict(self.layers), order=list(self.layers))

    @classmethod
    def from_bytes(cls, data: bytes) -> Activations:
        """The value that `to_bytes` wrote."""
        tensors, facts = unpack(data)
        return cls({name: tensors[name] for name in facts["order"]})


def activations(
    network: nn.Module, x: Float[Tensor, "n ..."], layers: Sequence[str] | None = None, batch: int = 1024
) -> Activations:
    """The outputs of a network's layers in eval mode, in float32 on the CPU.

    `layers` are names or globs over `named_modules`, see `layer_names` for the default; one that never runs is an
    error. A module that is called k times in one pass gives `name`, `name#2`, …, `name#k`. Of an output that is a
    tuple, list or mapping the first tensor counts. The network's modes, buffers and hooks and all random states are as
    they were afterwards.
    """
    inner = unwrapped(network)
    names = layer_names(inner, layers)
    parts: dict[str, list[Tensor]] = {}
    with _undisturbed(inner), torch.no_grad():
        for rows in x.split(batch):
            for name, output in _one_pass(inner, names, rows).items():
                parts.setdefault(name, []).append(output)
    _check_fired(names if layers is not None or not parts else (), parts, network)
    return Activations({name: torch.cat(outputs) for name, outputs in parts.items()})


def in_groups(
    network: nn.Module,
    x: Float[Tensor, "n ..."],
    layers: Sequence[str] | None = None,
    batch: int = 1024,
    room: int = 2**29,
) -> Iterator[Activations]:
    """The same outputs, as many layers at a time as fit into `room` bytes: one pass over `x` for each group."""
    widths: dict[str, int] = {}
    for name, t in activations(network, x[:1], layers).layers.items():
        name = name.partition("#")[0]
        widths[name] = widths.get(name, 0) + t.shape[1]
    group: list[str] = []
    for name, width in widths.items():
        if group and 4 * len(x) * (sum(widths[other] for other in group) + width) > room:
            yield activations(network, x, group, batch)
            group = []
        group.append(name)
    yield activations(network, x, group, batch)


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


@dataclass(frozen=True, eq=False)
class Architecture:
    """A network as a description: all but its weights, which are given back to it one set at a time.

    `of` copies the network, so the original is never touched. What a network computes must follow from its parameters
    and persistent buffers (its `state_dict`) and from what it was when it was copied.
    """

    module: nn.Module

    @classmethod
    def of(cls, network: nn.Module, device: str | torch.device | None = None) -> Architecture:
        """The architecture of a network, inside any wrapper; it stays where the network is, or goes to `device`."""
        inner = unwrapped(network)
        try:
            copied = deepcopy(inner).requires_grad_(False)
            return cls(copied if device is None else copied.to(device))
        except Exception as error:  # modules may hold anything
            raise ValueError(
                f"{type(inner).__name__} cannot be copied ({str(error)[:120]}); measure activations that you save"
            ) from error

    def with_weights(self, weights: Weights) -> nn.Module:
        """The network with these weights; the next call gives the same object other ones."""
        load_weights(self.module, weights)
        return self.module

    def __describe__(self) -> tuple[str, bytes]:
        return ("Architecture", self._bare)

    @cached_property
    def _bare(self) -> bytes:
        """The pickled module with empty weights."""
        state = self.module.state_dict(keep_vars=True).values()
        empty = {id(v): torch.empty(v.shape, dtype=v.dtype, device="meta") for v in state}
        try:
            return pickle.dumps(deepcopy(self.module, empty), protocol=5)
        except Exception as error:  # modules may hold anything
            raise TypeError(f"{type(self.module).__name__} has no stable key ({error}); run without a store") from error


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
    return type(module).__module__ == "torch.nn.modules.activation" and not isinstance(module, nn.MultiheadAttention)


def _one_pass(network: nn.Module, names: Sequence[str], rows: Tensor) -> dict[str, Tensor]:
    """One forward pass: the outputs in the order in which the modules gave them."""
    seen: dict[str, Tensor] = {}
    calls = dict.fromkeys(names, 0)

    def listener(name: str) -> Any:
        def hear(module: nn.Module, inputs: Any, output: Any) -> None:
            calls[name] += 1
            place = name if calls[name] == 1 else f"{name}#{calls[name]}"
            seen[place] = _rows_of(output, len(rows), place)

        return hear

    modules = dict(network.named_modules())
    hooks = [modules[name].register_forward_hook(listener(name)) for name in names]
    try:
        network(rows.to(_device_of(network)))
    finally:
        for hook in hooks:
            hook.remove()
    return seen


def _rows_of(output: Any, n: int, place: str) -> Float[Tensor, "n d"]:
    tensor = _first_tensor(output)
    if tensor is None:
        raise ValueError(f"layer {place!r} gives a {type(output).__name__} without a tensor; name another layer")
    if tensor.ndim == 0 or len(tensor) != n:
        raise ValueError(
            f"layer {place!r} gives shape {tuple(tensor.shape)} for {n} examples; name layers that give one row each"
        )
    # A copy: the next module may work in place.
    return tensor.detach().reshape(n, -1).to("cpu", torch.float32, copy=True)


def _first_tensor(output: Any) -> Tensor | None:
    if isinstance(output, Tensor):
        return output
    if isinstance(output, Mapping):
        output = tuple(output.values())
    if isinstance(output, tuple | list):
        return next((found for item in output if (found := _first_tensor(item)) is not None), None)
    return None


def _check_fired(names: Sequence[str], parts: Mapping[str, Any], network: nn.Module) -> None:
    silent = [name for name in names if name not in parts]
    if silent:
        raise ValueError(
            f"layer {silent[0]!r} of {type(network).__name__} never ran in a forward pass ({len(silent)} such layers); "
            "leave it out, or measure before torch.compile or scripting, which skip the hooks of inner modules"
        )


def _device_of(network: nn.Module) -> torch.device:
    return next((p.device for p in network.parameters()), torch.device("cpu"))


@contextmanager
def _undisturbed(network: nn.Module) -> Iterator[None]:
    """Eval mode, eager and with its own random state inside; modes and buffers as they were afterwards."""
    modes = [(module, module.training) for module in network.modules()]
    buffers = [(buffer, buffer.clone()) for buffer in network.buffers()]
    # Code that was compiled before a hook was there does not call it.
    compiled = any(m._compiled_call_impl is not None or "_orig_mod" in m._modules for m in network.modules())
    with isolated(0), torch.compiler.set_stance("force_eager") if compiled else nullcontext():
        network.eval()
        try:
            yield
        finally:
            for module, mode in modes:
                module.training = mode
            with torch.no_grad():
                for buffer, before in buffers:
                    buffer.copy_(before)
