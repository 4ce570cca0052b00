"""The paths of a network's layers through the information plane, over the seeds of a record."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from infoscope.measurement import Measurement, Status
from infoscope.record import Record

UNFIT = frozenset({Status.OUT_OF_RANGE, Status.NOT_DETERMINISTIC, Status.INFINITE})
"""What makes a path tell of the estimator rather than of the layer."""


@dataclass(frozen=True)
class Path:
    """I(X;T) and I(T;Y) of one layer in bits, a row a seed.

    `unfit` if some of it tells of the estimator alone, `follows` if the estimator's scale follows the layer's, so that
    the values of two epochs are not in one unit.
    """

    x_t: Float[np.ndarray, "seeds epochs"]
    t_y: Float[np.ndarray, "seeds epochs"]
    unfit: bool = False
    follows: bool = False


@dataclass(frozen=True)
class Paths:
    """The paths of all layers, first layer first, over the epochs that some seed measured."""

    epochs: tuple[int, ...]
    layers: Mapping[str, Path]


def sides(record: Record) -> list[str]:
    """The sides in a record, `train` and `test`, in its order."""
    return list(dict.fromkeys(str(row.coordinates["side"]) for row in record))


def paths(record: Record, side: str, following: Collection[str] = ()) -> Paths:
    """The paths on this side, straight lines between the epochs that a seed measured.

    `following` are the methods, as receipts name them, whose scale follows the layer's.
    """
    curves: dict[tuple[str, str], dict[object, list[tuple[int, Measurement]]]] = {}
    for row in record:
        place = row.coordinates
        if place["side"] == side:
            seeds = curves.setdefault((str(place["layer"]), row.measurement.quantity), {})
            seeds.setdefault(place["seed"], []).append((int(place["epoch"] or 0), row.measurement))
    epochs = sorted({epoch for seeds in curves.values() for curve in seeds.values() for epoch, _ in curve})
    layers = dict.fromkeys(layer for layer, _ in curves)

    def values(layer: str, quantity: str) -> np.ndarray:
        return np.stack([_on(curve, epochs) for curve in curves[layer, quantity].values()])

    def path(layer: str) -> Path:
        made = [m for curve in curves[layer, "I(X;T)"].values() for _, m in curve]
        unfit = any(m.status & UNFIT or math.isnan(m.value) for m in made)
        follows = any(m.receipt.method in following for m in made)
        return Path(values(layer, "I(X;T)"), values(layer, "I(T;Y)"), unfit, follows)

    return Paths(tuple(epochs), {layer: path(layer) for layer in layers})


def _on(curve: Sequence[tuple[int, Measurement]], epochs: Sequence[int]) -> np.ndarray:
    return np.interp(epochs, [epoch for epoch, _ in curve], [m.bits for _, m in curve])
