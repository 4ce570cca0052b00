"""A record as a picture for a notebook."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from infoscope.measurement import mean_and_stderr

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Rows = Sequence[tuple[Mapping[str, Any], Any]]
"""Coordinates and the measurement that stands there."""


def plot(rows: Rows, x: str | None = None) -> list[Axes]:
    """One panel a quantity, in bits or without unit: curves along the coordinate `x`, or a point a place.

    Without `x` it is the numeric coordinate with the most values; where none has two, each place is a point. Other
    numeric coordinates (seed, order) are averaged over, with the standard error of the mean for a bar, as a value that
    stands alone has its own. Texts (layer, side, task) name the curves.
    """
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError("a plot needs matplotlib: pip install 'infoscope[plot]'") from error
    if not rows:
        raise ValueError("the record is empty; there is nothing to plot")
    numeric = _numeric(rows)
    along = x if x is not None else max(numeric, key=lambda name: numeric[name], default=None)
    if x is not None and x not in numeric:
        raise ValueError(f"no coordinate {x!r} has two numbers; there are {', '.join(numeric) or 'none'}")
    quantities = list(dict.fromkeys(m.quantity for _, m in rows))
    size = (7, 2.6 * len(quantities))
    panels = list(plt.subplots(len(quantities), squeeze=False, figsize=size, layout="constrained")[1][:, 0])
    for quantity, panel in zip(quantities, panels, strict=True):
        some = [(place, m) for place, m in rows if m.quantity == quantity]
        _panel(panel, some, along, set(numeric))
        panel.set_ylabel(f"{quantity}, bit" if some[0][1].unit == "nat" else quantity)
    if along is not None:
        panels[-1].set_xlabel(along)
    return panels


def _numeric(rows: Rows) -> dict[str, int]:
    """The coordinates whose values are numbers, of which they have two or more; how many."""
    values: dict[str, set[Any]] = {}
    for place, _ in rows:
        for name, value in place.items():
            values.setdefault(name, set()).add(value)
    return {
        name: len(found)
        for name, found in values.items()
        if len(found) > 1 and all(isinstance(v, int | float) and not isinstance(v, bool) for v in found)
    }


def _panel(panel: Axes, rows: Rows, along: str | None, numeric: set[str]) -> None:
    """The curves of one quantity."""
    curves: dict[str, dict[Any, list[Any]]] = {}
    for place, m in rows:
        name = " · ".join(str(v) for k, v in place.items() if k not in numeric and v is not None)
        at = name if along is None else place.get(along)
        if at is not None:
            curves.setdefault("" if along is None else name, {}).setdefault(at, []).append(m)
    for name, points in curves.items():
        at = list(points) if along is None else sorted(points)
        means, errors = zip(*(_mean(points[i]) for i in at), strict=True)
        style = "" if along is None else "-"
        panel.errorbar(at, means, errors, marker="o", markersize=3, linestyle=style, label=name)
    if any(curves):
        panel.legend(fontsize="small")


def _mean(measurements: Sequence[Any]) -> tuple[float, float]:
    """Their mean and its standard error as they are printed; 0 where it is unknown, which draws no bar."""
    mean, stderr = mean_and_stderr(m.printed for m in measurements)
    if len(measurements) == 1:
        stderr = measurements[0].stderr_bits if measurements[0].unit == "nat" else measurements[0].stderr
    return mean, 0.0 if math.isnan(stderr) else stderr
