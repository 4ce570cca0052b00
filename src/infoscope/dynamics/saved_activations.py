"""The plane from activations that somebody saved: no network is needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from infoscope.dynamics.plane_point import Place, PlanePoint, along_layers, places_of
from infoscope.dynamics.walk import PlaneStopped
from infoscope.mi.estimators.binning import Uniform
from infoscope.mi.method import Method
from infoscope.observation.activations import Activations
from infoscope.observation.sketch import Sketch
from infoscope.record import Record

_NOT_LAYERS = ("x", "X", "y", "Y")


def plane_of_activations(
    path: str | Path, *, method: Method = Uniform(30, "layer"), y: Any = None, null: int = 0, seed: int = 0,
    record: Record | None = None, sketch: Sketch | None = Sketch(),
) -> Record:  # fmt: skip
    """The plane of an `.npz` that holds labels `y` and one array (n, …) a layer, named by the layer.

    Several epochs go into one file as `epoch/layer`, such as `12/fc1`; without an epoch it is 0. Arrays are read one
    at a time; where one cannot be measured, the error is a `PlaneStopped`, which carries what was measured before. `y`
    gives the labels of a file that has none. Layers keep the order of the file; one that shows more than an earlier one
    gets a note (see `along_layers`). Layers of millions of columns go through `sketch` as in `PlaneView`.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    found = record if record is not None else Record()
    with np.load(path, allow_pickle=False) as file:
        labels, x = _labels(path, file, y), _array(file, "X", "x")
        if x is not None and len(x) != len(labels):
            raise ValueError(f"{path}: has {len(x)} inputs and {len(labels)} labels; give them row by row in pairs")
        for epoch, layers in sorted(_epochs(path, file.files).items()):
            places: list[Place] = []
            for layer, name in layers.items():
                try:
                    held = _held(layer, _rows(name, file[name], len(labels)), method, sketch)
                    places += places_of(held, labels, method, side="train", x=x, null=null, seed=seed)
                except ValueError as error:
                    raise PlaneStopped(f"{path}, epoch {epoch}: {error}", found, error) from error
                PlanePoint((along_layers(places, chain=False)[-1],)).append_to(found, epoch)
    return found


def epochs_of(path: str | Path) -> list[int]:
    """The epochs in a file of activations; 0 where it names none."""
    with np.load(path, allow_pickle=False) as file:
        return sorted(_epochs(Path(path), file.files))


def _labels(path: Path, file: Any, y: Any) -> np.ndarray:
    y = _array(file, "y", "Y") if y is None else y
    if y is None:
        raise ValueError(f"{path}: has no labels `y`; save them beside the layers, or give y=")
    return np.asarray(y).ravel()


def _array(file: Any, *names: str) -> np.ndarray | None:
    return next((file[name] for name in names if name in file.files), None)


def _epochs(path: Path, names: list[str]) -> dict[int, dict[str, str]]:
    """The array of each layer of each epoch."""
    epochs: dict[int, dict[str, str]] = {}
    for name in names:
        epoch, slash, layer = name.partition("/")
        if slash and epoch.isdigit():
            epochs.setdefault(int(epoch), {})[layer] = name
        elif name not in _NOT_LAYERS:
            epochs.setdefault(0, {})[name] = name
    if not epochs:
        raise ValueError(f"{path}: has no layers; save one array (n, d) a layer")
    return epochs


def _rows(name: str, array: np.ndarray, n: int) -> torch.Tensor:
    if array.ndim == 0 or len(array) != n:
        raise ValueError(f"layer {name!r} has shape {array.shape} for {n} labels; give one row an example")
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32)).reshape(n, -1)


def _held(layer: str, rows: torch.Tensor, method: Method, sketch: Sketch | None) -> Activations:
    if sketch is None or not getattr(method, "projects", False) or not sketch.needed(*rows.shape):
        return Activations({layer: rows})
    return Activations({layer: sketch(rows)}, {layer: rows.shape[1]})
