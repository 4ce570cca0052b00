"""What the layers of a network answer to given inputs: the look behind every measure of activations."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from infoscope.observation.layers import layer_names, unwrapped
from infoscope.observation.sketch import Sketch
from infoscope.run.look import pack, unpack
from infoscope.training.isolation import isolated
from infoscope.training.learner import Weights, load_weights

LEAST = 2**26
"""A batch may always take so many bytes of activations."""


@dataclass(frozen=True, eq=False)
class Activations:
    """Outputs of layers for the same n examples, flattened to (n, d), in the order in which the layers answered.

    >>> net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    >>> {name: tuple(t.shape) for name, t in activations(net, torch.zeros(5, 3)).layers.items()}
    {'1': (5, 4), '2': (5, 2)}

    `sketched` holds the true width d of the layers that are given as a random projection (see `Sketch`).
    """

    layers: Mapping[str, Float[Tensor, "n _d"]]
    sketched: Mapping[str, int] = field(default_factory=dict)

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
        return pack(dict(self.layers), order=list(self.layers), sketched=dict(self.sketched))

    @classmethod
    def from_bytes(cls, data: bytes) -> Activations:
        """The value that `to_bytes` wrote."""
        tensors, facts = unpack(data)
        return cls({name: tensors[name] for name in facts["order"]}, facts.get("sketched", {}))


def activations(
    network: nn.Module,
    x: Float[Tensor, "n ..."],
    layers: Sequence[str] | None = None,
    batch: int = 1024,
    *,
    sketch: Sketch | None = None,
    seed: int = 0,
    own_noise: bool = True,
) -> Activations:
    """The outputs of a network's layers in eval mode, in float32 on the CPU.

    `layers` are names or globs over `named_modules`, see `layer_names` for the default; one that never runs is an
    error. A module that is called k times in one pass gives `name`, `name#2`, …, `name#k`. Of an output that is a
    tuple, list or mapping the first tensor counts. The network's modes, buffers and hooks and all random states are as
    they were afterwards. With `sketch`, layers that are too large for it are projected as they come, batch by batch,
    and are never held whole. `seed` is what a network that draws in its forward pass draws from. Without `own_noise`
    a layer that adds noise (see `with_noise`) is seen before it does; the noise of earlier layers is in it.
    """
    inner = unwrapped(network)
    names = layer_names(inner, layers)
    held: dict[str, Tensor] = {}
    widths: dict[str, int] = {}
    seen: dict[str, int] = {}
    start = 0
    with _undisturbed(inner, seed), torch.no_grad():
        for rows in x.split(batch):
            for name, (output, width) in _one_pass(inner, names, rows, len(x), sketch, first=not own_noise).items():
                # Rows are written where they stay: joining parts at the end would hold all of them twice.
                whole = held.setdefault(name, output.new_empty(len(x), output.shape[1]))
                _check_width(name, output, whole)
                whole[start : start + len(rows)] = output
                if width != output.shape[1]:
                    widths[name] = width
                seen[name] = seen.get(name, 0) + len(rows)
            start += len(rows)
    _check_fired(names if layers is not None or not held else (), seen, len(x), network)
    return Activations(held, widths)


def in_groups(
    network: nn.Module,
    x: Float[Tensor, "n ..."],
    layers: Sequence[str] | None = None,
    batch: int = 1024,
    room: int = 2**29,
    **options: Any,
) -> Iterator[Activations]:
    """The same outputs, as many layers at a time as fit into `room` bytes: one pass over `x` for each group.

    `options` are those of `activations`: sketch, seed, own_noise. A batch is made smaller where the largest output of
    any module would not fit otherwise.
    """
    sketch: Sketch | None = options.get("sketch")
    batch = _fitting(unwrapped(network), x, batch, room)
    widths: dict[str, int] = {}
    for name, t in activations(network, x[:1], layers).layers.items():
        name = name.partition("#")[0]
        width = t.shape[1]
        wide = sketch is not None and sketch.needed(len(x), width)
        widths[name] = widths.get(name, 0) + (sketch.columns if sketch is not None and wide else width)
    group: list[str] = []
    for name, width in widths.items():
        if group and 4 * len(x) * (sum(widths[other] for other in group) + width) > room:
            yield activations(network, x, group, batch, **options)
            group = []
        group.append(name)
    yield activations(network, x, group, batch, **options)


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


def _one_pass(
    network: nn.Module, names: Sequence[str], rows: Tensor, n: int, sketch: Sketch | None, first: bool
) -> dict[str, tuple[Tensor, int]]:
    """One forward pass: outputs, and their widths before any sketch, in the order in which the modules gave them."""
    seen: dict[str, tuple[Tensor, int]] = {}
    calls = dict.fromkeys(names, 0)

    def listener(name: str) -> Any:
        def hear(module: nn.Module, inputs: Any, output: Any) -> None:
            calls[name] += 1
            place = name if calls[name] == 1 else f"{name}#{calls[name]}"
            flat = _rows_of(output, len(rows), place)
            wide = sketch is not None and sketch.needed(n, flat.shape[1])
            # At once, for the next module may work in place, and a copy of a wide output is large.
            kept = sketch(_single(flat)) if sketch is not None and wide else _single(flat, copy=True)
            seen[place] = kept, flat.shape[1]

        return hear

    modules = dict(network.named_modules())
    hooks = [modules[name].register_forward_hook(listener(name), prepend=first) for name in names]
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
    return tensor.detach().reshape(n, -1)


def _single(t: Tensor, copy: bool = False) -> Tensor:
    return t.to("cpu", torch.float32, copy=copy)


def _fitting(network: nn.Module, x: Tensor, batch: int, room: int) -> int:
    """At most `batch` examples, fewer where a few tensors of the largest output would not fit into `room` bytes."""
    largest = 0

    def hear(module: nn.Module, inputs: Any, output: Any) -> None:
        nonlocal largest
        tensor = _first_tensor(output)
        largest = max(largest, tensor.numel() if tensor is not None else 0)

    hooks = [module.register_forward_hook(hear) for module in network.modules()]
    try:
        with _undisturbed(network), torch.no_grad():
            network(x[:1].to(_device_of(network)))
    finally:
        for hook in hooks:
            hook.remove()
    # Input and output of a layer, what its kernel unfolds, and the copy that is kept: four tensors of four bytes.
    return max(1, min(batch, max(room, LEAST) // (16 * max(largest, 1))))


def _first_tensor(output: Any) -> Tensor | None:
    if isinstance(output, Tensor):
        return output
    if isinstance(output, Mapping):
        output = tuple(output.values())
    if isinstance(output, tuple | list):
        return next((found for item in output if (found := _first_tensor(item)) is not None), None)
    return None


def _check_fired(names: Sequence[str], seen: Mapping[str, int], n: int, network: nn.Module) -> None:
    silent = [name for name in names if name not in seen]
    if silent:
        raise ValueError(
            f"layer {silent[0]!r} of {type(network).__name__} never ran in a forward pass ({len(silent)} such layers); "
            "leave it out, or measure before torch.compile or scripting, which skip the hooks of inner modules"
        )
    for name, count in seen.items():
        if count < n:
            raise ValueError(
                f"layer {name!r} of {type(network).__name__} ran for {count} of {n} examples only, in some batches and "
                "not in others; leave it out"
            )


def _check_width(name: str, output: Tensor, whole: Tensor) -> None:
    if output.shape[1] != whole.shape[1]:
        raise ValueError(
            f"layer {name!r} gives {whole.shape[1]} activations for one batch and {output.shape[1]} for another; name "
            "layers of one width"
        )


def _device_of(network: nn.Module) -> torch.device:
    return next((p.device for p in network.parameters()), torch.device("cpu"))


@contextmanager
def _undisturbed(network: nn.Module, seed: int = 0) -> Iterator[None]:
    """Eval mode, eager and with its own random state inside; modes and buffers as they were afterwards."""
    modes = [(module, module.training) for module in network.modules()]
    buffers = [(buffer, buffer.clone()) for buffer in network.buffers()]
    # Code that was compiled before a hook was there does not call it.
    compiled = any(m._compiled_call_impl is not None or "_orig_mod" in m._modules for m in network.modules())
    with isolated(seed), torch.compiler.set_stance("force_eager") if compiled else nullcontext():
        network.eval()
        try:
            yield
        finally:
            for module, mode in modes:
                module.training = mode
            with torch.no_grad():
                for buffer, before in buffers:
                    buffer.copy_(before)
