"""The plane from activations that somebody saved: no network is needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from infoscope.dynamics.plane_point import PlanePoint, along_layers, places_of
from infoscope.learn.activations import Activations
from infoscope.mi.binning import Uniform
from infoscope.mi.method import Method
from infoscope.record import Record

_NOT_LAYERS = ("x", "X", "y", "Y")


def plane_of_activations(
    path: str | Path, *, method: Method = Uniform(30, "layer"), y: Any = None, null: int = 0, seed: int = 0,
    record: Record | None = None,
) -> Record:  # fmt: skip
    """The plane of an `.npz` that holds labels `y` and one array (n, …) a layer, named by the layer.

    Several epochs go into one file as `epoch/layer`, such as `12/fc1`; without an epoch it is 0. Arrays are read one
    epoch at a time. `y` gives the labels of a file that has none. Layers keep the order of the file; one that shows
    more than an earlier one gets a note (see `along_layers`).
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    found = record if record is not None else Record()
    with np.load(path, allow_pickle=False) as file:
        labels = _labels(path, file, y)
        for epoch, layers in sorted(_epochs(path, file.files).items()):
            held = {layer: _rows(path, name, file[name], len(labels)) for layer, name in layers.items()}
            x = _array(file, "X", "x")
            places = places_of(Activations(held), labels, method, side="train", x=x, null=null, seed=seed)
            PlanePoint(tuple(along_layers(places, chain=False))).append_to(found, epoch)
    return found


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


def _rows(path: Path, name: str, array: np.ndarray, n: int) -> torch.Tensor:
    if array.ndim == 0 or len(array) != n:
        raise ValueError(f"{path}: layer {name!r} has shape {array.shape} for {n} labels; give one row an example")
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32)).reshape(n, -1)
