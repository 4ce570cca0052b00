"""Figures as plain values: what is drawn, not how. Answers give them; the report draws them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from infoscope.measurement import finite_or_none


@dataclass(frozen=True)
class Line:
    """A curve y(x), with a band from `lower` to `upper` if both are given; NaN is a gap. Dashed: a reference.

    With `points` there is no curve: each point stands for a thing, and a figure of nothing else has equal axes. `z` is
    a third coordinate, for a figure whose axes turn; from `origin`, a place like theirs, a thin line leads to each.
    `names` say what each point stands for, beside it where they are few.

    >>> Line("uniform", range(3), [0, 2, 4]).y
    (0.0, 2.0, 4.0)
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    lower: Sequence[float] | None = None
    upper: Sequence[float] | None = None
    dash: bool = False
    points: bool = False
    z: Sequence[float] | None = None
    origin: Sequence[float] | None = None
    names: Sequence[str] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "x", _floats(self.x))
        _settle(self)
        if self.names is not None:
            object.__setattr__(self, "names", tuple(map(str, self.names)))
            if not self.points or len(self.names or ()) != len(self.x):
                raise ValueError(f"{self.name!r} has names; give them to points, one each")
        if self.z is not None and not self.points:
            raise ValueError(f"{self.name!r} is a curve with a third coordinate; only points have one")
        if self.origin is not None:
            object.__setattr__(self, "origin", _floats(self.origin))
            if not self.points or len(self.origin) != (2 if self.z is None else 3):
                raise ValueError(f"{self.name!r} has an origin; give it to points, and as many coordinates")


@dataclass(frozen=True)
class Bars:
    """One bar for each name in `x`, with error bars from `lower` to `upper` if both are given."""

    name: str
    x: Sequence[str]
    y: Sequence[float]
    lower: Sequence[float] | None = None
    upper: Sequence[float] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "x", tuple(str(name) for name in self.x))
        _settle(self)


@dataclass(frozen=True)
class Grid:
    """A number for each pair of a row and a column, drawn as a heat map; NaN is an empty cell.

    `errors` are of the numbers' form, NaN where unknown. `name` says what the numbers are, with their unit.

    >>> Grid("S", ["a", "b"], ["a", "b"], [[1, 0.5], [0.2, 1]]).values[1]
    (0.2, 1.0)
    """

    name: str
    rows: Sequence[str]
    columns: Sequence[str]
    values: Sequence[Sequence[float]]
    errors: Sequence[Sequence[float]] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", tuple(map(str, self.rows)))
        object.__setattr__(self, "columns", tuple(map(str, self.columns)))
        for name in ("values", "errors"):
            numbers = getattr(self, name)
            if numbers is None:
                continue
            object.__setattr__(self, name, tuple(_floats(row) for row in numbers))
            if len(numbers) != len(self.rows) or any(len(row) != len(self.columns) for row in numbers):
                raise ValueError(
                    f"grid {self.name!r} has {len(self.rows)} rows and {len(self.columns)} columns; give its {name} "
                    "a number for each pair"
                )

    def as_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary; a number that is not finite is None."""
        errors = None if self.errors is None else [_drawn(row) for row in self.errors]
        values = [_drawn(row) for row in self.values]
        return {"name": self.name, "rows": self.rows, "columns": self.columns, "values": values, "errors": errors}


@dataclass(frozen=True)
class Tile:
    """One thing of a gallery: a picture (the bytes of a PNG) or a text, or neither, and words below it."""

    words: str
    text: str = ""
    png: bytes = b""


@dataclass(frozen=True)
class Gallery:
    """Things side by side, pictures or texts with words below: nothing is drawn on axes."""

    title: str
    tiles: Sequence[Tile]
    caption: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "tiles", tuple(self.tiles))


@dataclass(frozen=True)
class Figure:
    """Lines (or bars) that share their axes; the labels say the unit.

    With `frames`, a name for each point of every line ("epoch 12"), the lines are paths that a slider walks along. With
    `shades`, a number for each line, they are coloured by it on a scale that `shade_label` names; `nodes` then name the
    points that every line goes through. With a `z_label` all lines are points with a third coordinate, whose axes turn.
    A `grid` stands alone, its columns along x and its rows down y. `x_names` stand along the x axis at 0, 1, 2 …
    """

    title: str
    x_label: str
    y_label: str
    lines: Sequence[Line | Bars] = ()
    log_x: bool = False
    log_y: bool = False
    caption: str = ""
    frames: Sequence[str] = ()
    shades: Sequence[float] = ()
    shade_label: str = ""
    log_shade: bool = False
    nodes: Sequence[str] = ()
    z_label: str = ""
    grid: Grid | None = None
    x_names: Sequence[str] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "lines", tuple(self.lines))
        object.__setattr__(self, "x_names", tuple(map(str, self.x_names)))
        if self.grid is not None and (self.lines or self.log_x or self.log_y or self.z_label):
            raise ValueError(f"figure {self.title!r} has a grid and lines or their axes; a grid stands alone")
        kinds = {type(line) for line in self.lines}
        if len(kinds) > 1:
            raise ValueError(f"figure {self.title!r} has lines and bars; make one figure of each")
        if Bars in kinds and self.log_x:
            raise ValueError(f"figure {self.title!r} has bars, whose axis carries names; drop log_x")
        object.__setattr__(self, "frames", tuple(map(str, self.frames)))
        if self.frames and any(len(line.x) != len(self.frames) or isinstance(line, Bars) for line in self.lines):
            raise ValueError(f"figure {self.title!r} has {len(self.frames)} frames; give lines with a point for each")
        object.__setattr__(self, "shades", _floats(self.shades))
        object.__setattr__(self, "nodes", tuple(map(str, self.nodes)))
        if self.shades and (Bars in kinds or self.frames or len(self.shades) != len(self.lines)):
            raise ValueError(
                f"figure {self.title!r} has {len(self.shades)} shades; give one a line, no bars, no frames"
            )
        if self.shades and any(len(line.x) != len(self.nodes) for line in self.lines):
            raise ValueError(f"figure {self.title!r} has {len(self.nodes)} nodes; give shaded lines a point for each")
        deep = [isinstance(line, Line) and line.z is not None for line in self.lines]
        if self.grid is None and (any(deep) != bool(self.z_label) or any(deep) != all(deep)):
            raise ValueError(f"figure {self.title!r} has three axes for some; give a z_label, and a z to every line")

    def as_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary; a number that is not finite is None, a gap."""
        return {
            "title": self.title,
            "x_label": self.x_label,
            "y_label": self.y_label,
            "log_x": self.log_x,
            "log_y": self.log_y,
            "lines": [_line_dict(line) for line in self.lines],
            "frames": self.frames,
            "shades": _drawn(self.shades),
            "shade_label": self.shade_label,
            "log_shade": self.log_shade,
            "nodes": self.nodes,
            "z_label": self.z_label,
            "grid": None if self.grid is None else self.grid.as_dict(),
            **({"x_names": self.x_names} if self.x_names else {}),
        }


def _settle(line: Line | Bars) -> None:
    """Make the numbers of a frozen line its own tuples and check that they belong together."""
    for name in ("y", "lower", "upper", "z"):
        values = getattr(line, name, None)
        if values is None:
            continue
        object.__setattr__(line, name, _floats(values))
        if len(values) != len(line.x):
            raise ValueError(f"{line.name!r} has {len(line.x)} x and {len(values)} {name}; give one for every x")
    if (line.lower is None) != (line.upper is None):
        raise ValueError(f"{line.name!r} has one side of a band only; give both lower and upper, or neither")


def _floats(values: Sequence[float]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _line_dict(line: Line | Bars) -> dict[str, Any]:
    shown: dict[str, Any] = {"name": line.name, "y": _drawn(line.y)}
    if line.lower is not None and line.upper is not None:
        shown |= {"lower": _drawn(line.lower), "upper": _drawn(line.upper)}
    if isinstance(line, Bars):
        return shown | {"kind": "bars", "x": line.x}
    shown |= {"kind": "line", "x": _drawn(line.x), "dash": line.dash, "points": line.points}
    deep = {} if line.z is None else {"z": _drawn(line.z)}
    named = {} if line.names is None else {"names": line.names}
    return shown | deep | named | ({} if line.origin is None else {"origin": _drawn(line.origin)})


def _drawn(values: Sequence[float]) -> list[float | None]:
    """Eight significant digits are finer than any screen."""
    return [finite_or_none(float(f"{value:.8g}")) for value in values]
