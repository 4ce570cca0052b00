"""What the layers of a network answer to given inputs: the look behind every measure of activations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from infoscope.data.inputs import Batch, Inputs, count, pieces
from infoscope.observation.layers import layer_names, unwrapped
from infoscope.observation.listening import Call, listen, rows_of, undisturbed
from infoscope.observation.sketch import Sketch
from infoscope.observation.survey import Survey, survey
from infoscope.run.look import pack, unpack

LEAST = 2**26
"""A batch may always take so many bytes of activations."""


@dataclass(frozen=True, eq=False)
class Activations:
    """Outputs of layers for the same n examples, flattened to (n, d), in the order in which the layers answered.

    >>> net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    >>> {name: tuple(t.shape) for name, t in activations(net, torch.zeros(5, 3)).layers.items()}
    {'1': (5, 4), '2': (5, 2)}

    `sketched` holds the true width d of the layers that are given as a random projection (see `Sketch`); `unsteady` are
    the layers that gave two answers for the same input (dropout that stays on, noise); `modules` names the module that
    gave a layer where it is called otherwise, as `act#2`.
    """

    layers: Mapping[str, Float[Tensor, "n _d"]]
    sketched: Mapping[str, int] = field(default_factory=dict)
    unsteady: frozenset[str] = frozenset()
    modules: Mapping[str, str] = field(default_factory=dict)

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
        facts = {"sketched": dict(self.sketched), "unsteady": sorted(self.unsteady), "modules": dict(self.modules)}
        return pack(dict(self.layers), order=list(self.layers), **facts)

    @classmethod
    def from_bytes(cls, data: bytes) -> Activations:
        """The value that `to_bytes` wrote."""
        tensors, facts = unpack(data)
        unsteady = frozenset(facts.get("unsteady", ()))
        layers = {name: tensors[name] for name in facts["order"]}
        return cls(layers, facts.get("sketched", {}), unsteady, facts.get("modules", {}))


@dataclass(frozen=True)
class _Manner:
    """How a network is run: batch, sketch, random state, and whether a layer's own noise is seen."""

    batch: int
    sketch: Sketch | None
    seed: int
    own_noise: bool


def activations(
    network: nn.Module,
    x: Inputs,
    layers: Sequence[str] | None = None,
    batch: int = 1024,
    *,
    sketch: Sketch | None = None,
    seed: int = 0,
    own_noise: bool = True,
) -> Activations:
    """The outputs of a network's layers in eval mode, on the CPU, in float32 (float64 where a layer gives that).

    The network is called on `x` exactly as it is, batch by batch: `network(x)`, or `network(**x)` for a mapping of
    arrays. `layers` are names or globs over `named_modules`, see `layer_names` for the default; one that never runs,
    or gives no row for each example, is an error if it is named and left out by default. A module that is called k
    times in one pass gives `name`, `name#2`, …, `name#k`. Of an output that is a tuple, list or mapping the first
    tensor counts. The network's modes, buffers and hooks and all random states are as they were afterwards. With
    `sketch`, layers that are too large for it are projected as they come, batch by batch, and are never held whole.
    `seed` is what a network that draws in its forward pass draws from. Without `own_noise` a layer that adds noise
    (see `with_noise`) is seen before it does; the noise of earlier layers is in it.
    """
    inner = unwrapped(network)
    names = layer_names(inner, layers)
    found = survey(inner, names, x, named=layers is not None, seed=seed, first=not own_noise)
    return _outputs(inner, found.modules, x, _Manner(batch, sketch, seed, own_noise), found)


def in_groups(
    network: nn.Module,
    x: Inputs,
    layers: Sequence[str] | None = None,
    batch: int = 1024,
    room: int = 2**29,
    *,
    sketch: Sketch | None = None,
    seed: int = 0,
    own_noise: bool = True,
) -> Iterator[Activations]:
    """The same outputs, as many layers at a time as fit into `room` bytes: one pass over `x` for each group.

    A batch is made smaller where the largest output of any module would not fit otherwise.
    """
    inner = unwrapped(network)
    names = layer_names(inner, layers)
    found = survey(inner, names, x, named=layers is not None, seed=seed, first=not own_noise)
    # Input and output of a layer, what its kernel unfolds, and the copy that is kept: four tensors of four bytes.
    most = max(room, LEAST) // (16 * max(found.largest, 1))
    how = _Manner(max(1, min(batch, most)), sketch, seed, own_noise)
    for group in _groups(found, count(x), room, sketch):
        yield _outputs(inner, group, x, how, found)


def _groups(found: Survey, n: int, room: int, sketch: Sketch | None) -> Iterator[list[str]]:
    """Modules, with all their calls, as many as fit."""
    sizes: dict[str, int] = {}
    for one in found.sizes:
        wide = sketch is not None and sketch.needed(n, one.width)
        size = one.bytes // max(one.width, 1) * sketch.columns if sketch is not None and wide else one.bytes
        sizes[one.call.module] = sizes.get(one.call.module, 0) + size
    group: list[str] = []
    for name, size in sizes.items():
        if group and n * (sum(sizes[other] for other in group) + size) > room:
            yield group
            group = []
        group.append(name)
    yield group


def _outputs(network: nn.Module, names: Sequence[str], x: Inputs, how: _Manner, found: Survey) -> Activations:
    """The outputs of these modules for all examples."""
    n, start = count(x), 0
    held: dict[str, Tensor] = {}
    widths: dict[str, int] = {}
    seen: dict[str, int] = {}
    with undisturbed(network, how.seed):
        for rows in pieces(x, how.batch):
            m = count(rows)
            for name, (output, width) in _one_pass(network, names, rows, n, how).items():
                # Rows are written where they stay: joining parts at the end would hold all of them twice.
                whole = held.setdefault(name, output.new_empty(n, output.shape[1]))
                _check_width(name, output, whole)
                whole[start : start + m] = output
                if width != output.shape[1]:
                    widths[name] = width
                seen[name] = seen.get(name, 0) + m
            start += m
    _check_always(seen, n, network)
    calls = (size.call for size in found.sizes if size.call.layer in held)
    modules = {call.layer: call.module for call in calls if call.layer != call.module}
    return Activations(held, widths, found.unsteady & held.keys(), modules)


def _one_pass(
    network: nn.Module, names: Sequence[str], rows: Batch, n: int, how: _Manner
) -> dict[str, tuple[Tensor, int]]:
    """One forward pass: outputs, and their widths before any sketch, in the order in which the modules gave them."""
    seen: dict[str, tuple[Tensor, int]] = {}

    def hear(call: Call, output: Any) -> None:
        flat = rows_of(output, count(rows), call.layer)
        wide = how.sketch is not None and how.sketch.needed(n, flat.shape[1])
        # At once, for the next module may work in place, and a copy of a wide output is large.
        kept = how.sketch(_kept(flat)) if how.sketch is not None and wide else _kept(flat, copy=True)
        seen[call.layer] = kept, flat.shape[1]

    listen(network, names, rows, hear, first=not how.own_noise)
    return seen


def _kept(t: Tensor, copy: bool = False) -> Tensor:
    # Two patterns that differ in double precision only are two.
    return t.to("cpu", torch.float64 if t.dtype == torch.float64 else torch.float32, copy=copy)


def _check_always(seen: Mapping[str, int], n: int, network: nn.Module) -> None:
    for name, ran in seen.items():
        if ran < n:
            raise ValueError(
                f"layer {name!r} of {type(network).__name__} ran for {ran} of {n} examples only, in some batches and "
                "not in others; leave it out"
            )


def _check_width(name: str, output: Tensor, whole: Tensor) -> None:
    if output.shape[1] != whole.shape[1]:
        raise ValueError(
            f"layer {name!r} gives {whole.shape[1]} activations for one batch and {output.shape[1]} for another; name "
            "layers of one width"
        )
