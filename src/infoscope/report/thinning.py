"""Fewer points for the same picture: M4 aggregation (Jugel et al., VLDB 2014)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from infoscope.figure import Figure, Line

COLUMNS = 200
POINTS_PER_COLUMN = 5
MOST_FRAMES = 400
MOST_POINTS = 3000
_COLUMNS = ("x", "y", "lower", "upper", "z", "names")
RULE = f"the first, last, lowest and highest, and the first gap, in each of {COLUMNS} columns"


def thinned(figure: Figure) -> Figure:
    """The same figure with at most about 1000 points a line (see `RULE`), or at most 400 frames."""
    if figure.frames:
        kept = spread(range(len(figure.frames)), most=MOST_FRAMES)
        paths = [_taken(line, kept) for line in figure.lines if isinstance(line, Line)]
        return replace(figure, lines=paths, frames=[figure.frames[i] for i in kept])
    lines = [_thinned(line, figure.log_x) if isinstance(line, Line) else line for line in figure.lines]
    return replace(figure, lines=lines)


def _thinned(line: Line, log_x: bool) -> Line:
    return _taken(line, spread(range(len(line.x)), most=MOST_POINTS) if line.points else thin(line.x, line.y, log_x))


def _taken(line: Line, kept: Sequence[int]) -> Line:
    """These points of a line and of its band."""
    columns = {name: values for name in _COLUMNS if (values := getattr(line, name)) is not None}
    return replace(line, **{name: [values[i] for i in kept] for name, values in columns.items()})


def thin(x: Sequence[float], y: Sequence[float], log_x: bool = False) -> list[int]:
    """Indices of the points of a curve to draw: all of them up to 1000, then those of `RULE`.

    Peaks, gaps and both ends stay. Columns are of equal width on the axis as drawn; a curve that turns back in x is
    cut into stretches of equally many points instead.

    >>> y = [0.0] * 60_000
    >>> y[31_234] = 1.0
    >>> kept = thin(range(60_000), y)
    >>> kept[0], kept[-1], 31_234 in kept, len(kept) <= 1000
    (0, 59999, True, True)
    """
    if len(x) <= COLUMNS * POINTS_PER_COLUMN:
        return list(range(len(x)))
    columns: dict[int, list[int]] = {}
    for i, column in enumerate(_columns(x, log_x)):
        columns.setdefault(column, []).append(i)
    kept = {0, len(x) - 1}
    for members in columns.values():
        drawn = [i for i in members if math.isfinite(y[i])]
        gaps = [i for i in members if not math.isfinite(y[i])]
        kept.update((members[0], members[-1], *gaps[:1]))
        if drawn:
            kept.update((min(drawn, key=y.__getitem__), max(drawn, key=y.__getitem__)))
    return sorted(kept)


def spread(x: Sequence[float], log_x: bool = False, most: int = 12) -> list[int]:
    """Indices of at most a dozen points from the first to the last, evenly spaced on the axis as drawn.

    >>> spread(range(1, 10_001), log_x=True, most=5)
    [0, 9, 99, 999, 9999]
    """
    if len(x) <= most:
        return list(range(len(x)))
    places = [_place(value, log_x) for value in x]
    shown = [i for i, place in enumerate(places) if math.isfinite(place)]
    if not shown or any(places[i] > places[j] for i, j in pairwise(shown)):
        return [round(k * (len(x) - 1) / (most - 1)) for k in range(most)]
    first, last = places[shown[0]], places[shown[-1]]
    wanted = [first + (last - first) * k / (most - 1) for k in range(most)]
    return sorted({min(shown, key=lambda i: abs(places[i] - place)) for place in wanted})


def _columns(x: Sequence[float], log_x: bool) -> list[int]:
    """The column of every point; -1 for those that the axis cannot show."""
    places = [_place(value, log_x) for value in x]
    shown = [p for p in places if math.isfinite(p)]
    if any(a > b for a, b in pairwise(shown)) or not shown or shown[0] == shown[-1]:
        return [i * COLUMNS // len(x) for i in range(len(x))]
    start, width = shown[0], (shown[-1] - shown[0]) / COLUMNS
    return [min(int((p - start) / width), COLUMNS - 1) if math.isfinite(p) else -1 for p in places]


def _place(value: float, log_x: bool) -> float:
    if not log_x:
        return value
    return math.log(value) if value > 0 else math.nan
