"""`infoscope mi`: what layers hold about input and label, from activations that were saved."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from infoscope.cli import values
from infoscope.dynamics.data_processing import data_processing
from infoscope.mi.estimate import LayerInformation, layer_information
from infoscope.mi.method import Method
from infoscope.mi.methods import METHODS
from infoscope.record import Record
from infoscope.report import json_text, show


def mi(file: Path, estimator: str, null: int, seed: int, json: bool) -> None:
    """Print I(X;T) and I(T;Y) of every layer of the file."""
    method = layer_method(estimator)
    arrays = read(file)
    layers = layer_names(arrays)
    if "y" not in arrays or not layers:
        raise ValueError(
            f"{file}: has the arrays {', '.join(arrays) or 'none'}; it needs `y` and one `T1`, `T2` … a layer, and may "
            "have the inputs `X`"
        )
    x = arrays.get("X")
    if x is not None and x.shape[:1] != arrays["y"].shape[:1]:
        raise ValueError(f"{file}: `X` has shape {x.shape} and `y` {arrays['y'].shape}; give them row by row in pairs")
    found: list[LayerInformation] = []
    failure: ValueError | None = None
    for name in layers:
        try:
            found.append(layer_information(arrays[name], arrays["y"], method, x=x, null=null, seed=seed, name=name))
        except ValueError as error:
            failure = ValueError(f"{file}: {error}" + "; what was measured before it is above" * bool(found))
            break
    # What was measured before a layer that cannot be is shown all the same.
    if found:
        record = in_order(layers[: len(found)], found)
        print(json_text(record)) if json else show(record)
    if failure is not None:
        raise failure


def layer_method(text: str) -> Method:
    """The method of this name, if it is one for a layer and its labels."""
    method = values.method(text, METHODS)
    if "points-labels" not in method.takes:
        able = ", ".join(name for name, other in METHODS.items() if "points-labels" in other.takes)
        raise ValueError(
            f"{text.partition('(')[0]} is for two sides of continuous values, and labels are not; for layers take "
            f"ross, the nearest-neighbour estimator for labels, or one of {able}"
        )
    return method


def in_order(layers: list[str], found: list[LayerInformation]) -> Record:
    """The measurements layer by layer, checked for data processing along them."""
    record = Record()
    x_t = data_processing({name: one.x_t for name, one in zip(layers, found, strict=True)})
    t_y = data_processing({name: one.t_y for name, one in zip(layers, found, strict=True)})
    for name in layers:
        record.append(x_t[name], layer=name)
        record.append(t_y[name], layer=name)
    return record


def layer_names(arrays: dict[str, np.ndarray]) -> list[str]:
    """The arrays named T1, T2 … in the order of their numbers.

    >>> layer_names({"T10": np.zeros(1), "y": np.zeros(1), "T2": np.zeros(1)})
    ['T2', 'T10']
    """
    return sorted((name for name in arrays if re.fullmatch(r"T\d+", name)), key=lambda name: int(name[1:]))


def read(file: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz; no object in it is unpickled."""
    if not file.is_file():
        raise ValueError(f"{file}: no such file")
    try:
        with np.load(file, allow_pickle=False) as opened:
            return {name: opened[name] for name in opened.files}
    except Exception as error:  # numpy and zipfile each raise their own
        raise ValueError(f"{file}: cannot be read as .npz ({str(error).splitlines()[0][:120]})") from error
