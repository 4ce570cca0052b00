"""The plane from activations that somebody saved: no network is needed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from infoscope.data.array_file import ArrayFile, open_npz
from infoscope.dynamics.plane.curve import PlaneCurve
from infoscope.dynamics.plane.layer_results import LayerResult, along_layers, layer_results
from infoscope.dynamics.plane.specification import LayerSpecification
from infoscope.dynamics.plane.study_run import PlaneStopped
from infoscope.observation.activations import Activations
from infoscope.record import Record
from infoscope.run.context import RunContext
from infoscope.run.question import Cost
from infoscope.unreadable import listed

_NOT_LAYERS = ("x", "X", "y", "Y")


@dataclass(frozen=True)
class SavedLayer:
    """An array of a file: the activations of one layer at one epoch."""

    epoch: int
    layer: str
    array: str


@dataclass(frozen=True)
class SavedActivations:
    """A file `.npz` of activations: its layers by epoch, and whether their names say that they form a chain.

    An array (n, …) is named by its layer, or `epoch/layer` such as `12/fc1`; without an epoch it is 0. Layers keep the
    order of the file. `T1`, `T2`, … name the layers of a chain X → T1 → T2 → …, in the order of their numbers.
    """

    path: Path
    layers: tuple[SavedLayer, ...]
    chain: bool

    @classmethod
    def of(cls, path: str | Path) -> SavedActivations:
        """What the file holds; only its table of contents is read."""
        path = Path(path)
        found = [_saved_layer(name) for name in opened(path) if name not in _NOT_LAYERS]
        if not found:
            raise ValueError(f"{path}: has no layers; save one array (n, d) a layer")
        chain = all(number_in_chain(one.layer) is not None for one in found)
        found.sort(key=lambda one: (one.epoch, number_in_chain(one.layer) if chain else 0))
        return cls(path, tuple(found), chain)

    @property
    def epochs(self) -> tuple[int, ...]:
        """The epochs in the file; 0 where it names none."""
        return tuple(dict.fromkeys(one.epoch for one in self.layers))

    def at(self, epoch: int, layers: Sequence[str] | None = None) -> tuple[SavedLayer, ...]:
        """The layers of one epoch, or those of them that the globs match."""
        found = tuple(
            one
            for one in self.layers
            if one.epoch == epoch and (layers is None or any(fnmatchcase(one.layer, glob) for glob in layers))
        )
        if not found:
            have = listed(dict.fromkeys(one.layer for one in self.layers))
            raise ValueError(f"no layer matches {', '.join(layers or ())}; there are {have}")
        return found


def plane_of_activations(path: str | Path, *, y: Any = None, record: Record | None = None, **options: Any) -> Record:
    """The plane of an `.npz` that holds labels `y` and one array (n, …) a layer; see `SavedActivations` for the names.

    Arrays are read one at a time; where one cannot be measured, the error is a `PlaneStopped`, which carries what was
    measured before. `y` gives the labels of a file that has none, and the inputs are `X` if it has them. A layer that
    shows more than an earlier one gets a note, and in a chain a status (see `data_processing`). `options` are those of
    `LayerSpecification`: method, layers, null, seed, sketch.
    """
    how, saved = LayerSpecification(**options), SavedActivations.of(path)
    found = record if record is not None else Record()
    file = opened(saved.path)
    labels, x = _labels(saved.path, file, y), _array(file, "X", "x")
    if x is not None and x.shape[:1] != labels.shape:
        raise ValueError(
            f"{path}: has {len(x) if x.ndim else 'no'} inputs and {len(labels)} labels; give them row by row in pairs"
        )
    for epoch in saved.epochs:
        try:
            for result in _of_epoch(file, saved.at(epoch, how.layers), labels, x, how, saved.chain):
                result.append_to(found, epoch=epoch)
        except ValueError as error:
            raise PlaneStopped(f"{path}, epoch {epoch}: {error}", found, error) from error
    return found


@dataclass(frozen=True)
class PlaneArrays:
    """What a stage of a question needs: the plane of saved activations. A list of one `PlaneCurve` is sent back."""

    saved: SavedActivations
    how: LayerSpecification

    def take(self, context: RunContext) -> list[PlaneCurve]:
        """Measure all; what was measured before a layer that cannot be stays."""
        return [PlaneCurve.of(lambda: plane_of_activations(self.saved.path, **vars(self.how)))]

    def units(self) -> Mapping[str, int]:
        """One an epoch of the file."""
        return {"measured epochs": len(self.saved.epochs)}

    def cost(self, context: RunContext) -> Cost:
        """No trial: the arrays would have to be read."""
        return Cost(self.units())

    def stand_in(self) -> list[PlaneCurve]:
        """A curve of nothing."""
        return [PlaneCurve(())]


def opened(path: Path) -> ArrayFile:
    """The arrays of an `.npz` by name, read one at a time; no object in it is unpickled."""
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    return open_npz(path)


def _of_epoch(
    file: ArrayFile,
    layers: Sequence[SavedLayer],
    labels: np.ndarray,
    x: np.ndarray | None,
    how: LayerSpecification,
    chain: bool,
) -> Iterator[LayerResult]:
    """The layers of one epoch, each as soon as it is measured and held against those before it."""
    so_far: list[LayerResult] = []
    for one in layers:
        held = _held(one.layer, _rows(one.array, file[one.array], len(labels)), how)
        so_far += layer_results(held, labels, how, side="train", x=x)
        yield along_layers(so_far, chain)[-1]


def _labels(path: Path, file: ArrayFile, y: Any) -> np.ndarray:
    y = _array(file, "y", "Y") if y is None else y
    if y is None:
        raise ValueError(f"{path}: has no labels `y`; save them beside the layers, or give y=")
    labels = np.asarray(y).ravel()
    if not len(labels):
        raise ValueError(f"{path}: its labels `y` are of no example; save one or more")
    return labels


def _array(file: ArrayFile, *names: str) -> np.ndarray | None:
    return next((file[name] for name in names if name in file), None)


def _saved_layer(name: str) -> SavedLayer:
    name, array = " ".join(name.split()), name  # a layer's name stands in tables and messages, on one line
    epoch, slash, layer = name.partition("/")
    return SavedLayer(int(epoch), layer, array) if slash and epoch.isdigit() else SavedLayer(0, name, array)


def number_in_chain(layer: str) -> int | None:
    """The number of a layer that is named by its place in a chain: T1, T2 and so on.

    >>> number_in_chain("T12"), number_in_chain("fc1")
    (12, None)
    """
    return int(layer[1:]) if re.fullmatch(r"T\d+", layer) else None


def _rows(name: str, array: np.ndarray, n: int) -> Tensor:
    if array.ndim == 0 or len(array) != n:
        raise ValueError(f"layer {name!r} has shape {array.shape} for {n} labels; give one row an example")
    if array.dtype.kind not in "fiub":
        raise ValueError(f"layer {name!r} holds {array.dtype}, which is no numbers; save activations")
    exact = array if array.dtype in (np.float16, np.float32, np.float64) else array.astype(np.float64)
    return torch.from_numpy(np.ascontiguousarray(exact)).reshape(n, -1)


def _held(layer: str, rows: Tensor, how: LayerSpecification) -> Activations:
    if how.sketch is None or not getattr(how.method, "projects", False) or not how.sketch.needed(*rows.shape):
        return Activations({layer: rows})
    return Activations({layer: how.sketch(rows)}, {layer: rows.shape[1]})
