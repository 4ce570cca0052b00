"""The figures of an information plane: paths through the epochs, layers joined, both informations against the epoch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from infoscope.dynamics.plane.paths import Paths, paths, sides
from infoscope.figure import Figure, Line
from infoscope.record import Record

QUANTITIES = ("I(X;T)", "I(T;Y)")

JOINED = 120
"""Epochs that are drawn with their layers joined: more hide one another."""


def figures(record: Record) -> list[Figure]:
    """The plane as paths through the epochs and with layers joined, and both informations by epoch; side by side."""
    names = sides(record)
    return [figure for side in names for figure in _of_side(paths(record, side), side if len(names) > 1 else "")]


def _of_side(found: Paths, told: str) -> list[Figure]:
    means = {layer: (path.x_t.mean(0), path.t_y.mean(0)) for layer, path in found.layers.items()}
    if not means:
        return []
    suffix = f", {told}" if told else ""
    lines = [Line(layer, *both) for layer, both in means.items()]
    names = [f"epoch {epoch}" for epoch in found.epochs]
    caption = "A path a layer, from the first epoch to the slider's; the mean over seeds where there are several."
    axes = "I(X;T), bit", "I(T;Y), bit"
    shown = [
        Figure(f"The information plane{suffix}", *axes, lines, caption=caption, frames=names),
        _joined(found, means, f"The layers joined, epoch by epoch{suffix}", axes),
    ]
    for i, quantity in enumerate(QUANTITIES):
        lines = [Line(layer, [epoch + 1 for epoch in found.epochs], both[i]) for layer, both in means.items()]
        shown.append(Figure(f"{quantity} while training{suffix}", "epoch + 1", f"{quantity}, bit", lines, log_x=True))
    return shown


def _joined(found: Paths, means: dict[str, tuple[np.ndarray, np.ndarray]], title: str, axes: tuple[str, str]) -> Figure:
    """A line an epoch through all layers, coloured by the epoch: figures 1.1 and 1.2 of Grabauskas (2019)."""
    layers = list(means)
    chosen = _spread(found.epochs)
    lines = [
        Line(f"epoch {found.epochs[i]}", [means[t][0][i] for t in layers], [means[t][1][i] for t in layers])
        for i in chosen
    ]
    through = f"from {layers[0]} to {layers[-1]}" if len(layers) > 1 else f"{layers[0]} alone"
    caption = f"A line an epoch, through the layers in their order, {through}; the mean over seeds."
    return Figure(
        title, *axes, lines, caption=caption, nodes=layers, shades=[found.epochs[i] + 1 for i in chosen],
        shade_label="epoch + 1", log_shade=True,
    )  # fmt: skip


def _spread(epochs: Sequence[int]) -> list[int]:
    """Places of at most `JOINED` epochs, evenly spread on a logarithmic axis, the first and the last among them.

    >>> found = _spread(range(10_000))
    >>> len(found) <= JOINED, found[:3], found[-1]
    (True, [0, 1, 2], 9999)
    """
    if len(epochs) <= JOINED:
        return list(range(len(epochs)))
    wanted = np.geomspace(epochs[0] + 1, epochs[-1] + 1, JOINED) - 1
    return sorted({int(np.abs(np.asarray(epochs) - one).argmin()) for one in wanted})
