"""The figures of an information plane: the path through the epochs, and both informations against the epoch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from infoscope.figure import Figure, Line
from infoscope.measurement import Measurement
from infoscope.record import Record

QUANTITIES = ("I(X;T)", "I(T;Y)")


def figures(record: Record) -> list[Figure]:
    """The plane as a path through the epochs, and both informations against the epoch, a side at a time."""
    sides = list(dict.fromkeys(str(row.coordinates["side"]) for row in record))
    return [figure for side in sides for figure in _of_side(record, side, side if len(sides) > 1 else "")]


def _of_side(record: Record, side: str, told: str) -> list[Figure]:
    epochs, layers = _means(record, side)
    if not layers:
        return []
    suffix = f", {told}" if told else ""
    paths = [Line(layer, *both) for layer, both in layers.items()]
    names = [f"epoch {epoch}" for epoch in epochs]
    caption = "A path a layer, from the first epoch to the slider's; the mean over seeds where there are several."
    shown = [
        Figure(f"The information plane{suffix}", "I(X;T), bit", "I(T;Y), bit", paths, caption=caption, frames=names)
    ]
    for i, quantity in enumerate(QUANTITIES):
        lines = [Line(layer, [epoch + 1 for epoch in epochs], both[i]) for layer, both in layers.items()]
        shown.append(Figure(f"{quantity} while training{suffix}", "epoch + 1", f"{quantity}, bit", lines, log_x=True))
    return shown


def _means(record: Record, side: str) -> tuple[list[int], dict[str, tuple[list[float], list[float]]]]:
    """Epochs, and I(X;T) and I(T;Y) of each layer in bits, straight lines between the epochs that a seed measured."""
    curves: dict[tuple[str, str, object], list[tuple[int, Measurement]]] = {}
    for row in record:
        place = row.coordinates
        if place["side"] == side:
            at = str(place["layer"]), row.measurement.quantity, place["seed"]
            curves.setdefault(at, []).append((int(place["epoch"] or 0), row.measurement))
    epochs = sorted({epoch for curve in curves.values() for epoch, _ in curve})
    layers = list(dict.fromkeys(layer for layer, _, _ in curves))

    def mean(layer: str, quantity: str) -> list[float]:
        own = [curve for (name, what, _), curve in curves.items() if (name, what) == (layer, quantity)]
        return np.mean([_on(curve, epochs) for curve in own], axis=0).tolist()

    return epochs, {layer: (mean(layer, "I(X;T)"), mean(layer, "I(T;Y)")) for layer in layers}


def _on(curve: Sequence[tuple[int, Measurement]], epochs: Sequence[int]) -> np.ndarray:
    return np.interp(epochs, [epoch for epoch, _ in curve], [m.bits for _, m in curve])
