"""Binned mutual information: cells are cut by a rule, and the information between cells is exact.

"30 bins" is several estimators in the literature, so the rule is part of the method's name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
from jaxtyping import Float, Int

from infoscope.measurement import Bound, Status
from infoscope.mi.method import Claims, Finding
from infoscope.mi.numerics import discrete
from infoscope.mi.numerics.codes import as_labels, row_codes
from infoscope.mi.sample import Side
from infoscope.options import above_zero, at_least

TILE = 1 << 17
"""Values that are cut at a time: they and their codes stay in the processor's cache."""

FARTHEST = 2.0**62
"""Cells further out than this fall together: they are the last that an integer can number."""

Cut = Callable[[Float[np.ndarray, "m d"]], Int[np.ndarray, "m d"]]


class Binning(Protocol):
    """A rule that cuts points into cells; all the rest follows from the cells.

    Under the empirical distribution of n distinct patterns, I(X;T) = H(bin T) and
    I(T;Y) = H(bin T) − Σ_y p(y) H(bin T | y), and both are exact. They say how much of the layer the bins let through:
    other bins, other values (Saxe et al. 2018).
    """

    takes: ClassVar[tuple[str, ...]] = ("points-labels", "points-points")
    subsampled: ClassVar[bool] = False
    claims: Claims = Claims(estimates="cells", invariant=frozenset({"rows", "sides"}))

    @property
    def reach(self) -> tuple[float, float]:
        """The least and the largest value that the cells are for: what lies beyond falls together with others."""
        return -math.inf, math.inf

    def cut(self, points: Float[np.ndarray, "n d"]) -> Cut:
        """What numbers the cells of rows of these points."""
        ...

    def estimate(self, x: Side, y: Side, seed: int) -> Finding:
        """Plug-in information between the cells of both sides."""
        return told_of_range(self, discrete.plug_in(cells(self, x), cells(self, y)), x, y)

    def cells(self, side: Side) -> Side:
        """The cell of every row as a label."""
        return cells(self, side)

    def layer(self, t: Side, y: Side, seed: int) -> tuple[Finding, Finding]:
        """H(bin T) and I(bin T; Y)."""
        x_t, t_y = discrete.of_layer(cells(self, t), y)
        return told_of_range(self, x_t, t), told_of_range(self, t_y, t)

    def shuffled(self, x: Side, shufflings: Sequence[Side], seed: int) -> list[float]:
        """I(bin X;Y) for each of these shufflings of the labels; the points are cut once."""
        cut = cells(self, x)
        return [discrete.plug_in(cut, cells(self, y)).value for y in shufflings]


def cells(rule: Binning, side: Side) -> Side:
    """The cell of every row as a label; labels are their own cells."""
    if side.labels:
        return side
    points, cut = side.values, rule.cut(side.values)
    step = max(1, TILE // points.shape[1])
    codes = [row_codes(cut(points[i : i + step])) for i in range(0, len(points), step)]
    return Side(*as_labels(np.concatenate(codes)))


def told_of_range(rule: Binning, found: Finding, *sides: Side) -> Finding:
    """The finding; OUT_OF_RANGE, and no longer exact, if points lie where the rule has no cells of their own.

    >>> beyond = Side(np.array([[0.5], [7.0]]))
    >>> x_t, _ = IDNNS().layer(beyond, Side(np.array([0, 1]), 2), 0)
    >>> x_t.notes
    ('50.0 % of the values lie outside [-1, 1], from 0.5 to 7, and share cells with others',)
    """
    low, high = rule.reach
    for points in (side.values for side in sides if not side.labels):
        least, largest = float(points.min()), float(points.max())
        if low <= least and largest <= high:
            continue
        share = float(((points < low) | (points > high)).mean())
        beyond = f"{100 * share:.1f} % of the values lie outside [{low:g}, {high:g}], from {least:g} to {largest:g}"
        status = found.status | {Status.OUT_OF_RANGE}
        found = replace(
            found, bound=Bound.NONE, status=status, notes=(*found.notes, f"{beyond}, and share cells with others")
        )
    return found


@dataclass(frozen=True)
class IDNNS(Binning):
    """The rule of Shwartz-Ziv & Tishby (2017), bit for bit, for layers in [−1, 1].

    A value is the index `digitize(value, linspace(−1, 1, bins))` − 1 in single precision, and index −1 is the last
    one: values below −1 fall together with those from 1 up. `bins` counts edges, so there are bins − 1 cells inside.
    """

    bins: int = 30

    def __post_init__(self) -> None:
        at_least(self, "bins", 2)

    @property
    def reach(self) -> tuple[float, float]:
        """[−1, 1]: both ends have cells of their own."""
        return -1.0, 1.0

    def cut(self, points: Float[np.ndarray, "n d"]) -> Cut:
        """Index of the edge below, counted around the corner."""
        edges = np.append(np.linspace(-1, 1, self.bins).astype(np.float32), np.float32(np.inf))

        def number(rows: Float[np.ndarray, "m d"]) -> Int[np.ndarray, "m d"]:
            # The cell by division is wrong by one at most, which the edges put right: a fifth of a search's time.
            guess = ((rows.clip(-1, 1) + 1) * ((self.bins - 1) / 2)).astype(np.int64)
            return (guess - (rows < edges[guess]) + (rows >= edges[guess + 1])) % self.bins

        return number


@dataclass(frozen=True)
class Saxe(Binning):
    """The rule of Saxe et al. (2018): ⌊t / width⌋ in the layer's own precision; 0.07 for tanh, 0.5 for ReLU layers."""

    width: float = 0.07

    def __post_init__(self) -> None:
        above_zero(self, "width")

    @property
    def reach(self) -> tuple[float, float]:
        """Where cells can be numbered."""
        return -FARTHEST * self.width, FARTHEST * self.width

    def cut(self, points: Float[np.ndarray, "n d"]) -> Cut:
        """Floor of the quotient."""
        return lambda rows: _floor(rows / rows.dtype.type(self.width))


@dataclass(frozen=True)
class Uniform(Binning):
    """Exactly `n` equal cells, closed at the right end, over a fixed range, the layer's, or each neuron's own.

    "fixed" is [−1, 1]. Values outside a fixed range belong to the cell at its end, and OUT_OF_RANGE says that there are
    some.

    >>> Uniform(4, (0.0, 1.0)).cut(np.zeros((1, 1)))(np.array([[0.0, 0.25, 0.99, 1.0]])).tolist()
    [[0, 1, 3, 3]]
    """

    n: int = 30
    range: tuple[float, float] | Literal["fixed", "layer", "neuron"] = (-1.0, 1.0)

    def __post_init__(self) -> None:
        at_least(self, "n", 1)
        given: Any = self.range
        if given == "fixed":
            given = (-1.0, 1.0)
            object.__setattr__(self, "range", given)
        if given in ("layer", "neuron"):
            return
        if isinstance(given, str) or len(given) != 2 or not given[0] < given[1]:
            raise ValueError(f"Uniform(range={given!r}): give (low, high), 'fixed' for (-1, 1), 'layer' or 'neuron'")

    @property
    def reach(self) -> tuple[float, float]:
        """The fixed range, if there is one."""
        return (-math.inf, math.inf) if isinstance(self.range, str) else self.range

    def cut(self, points: Float[np.ndarray, "n d"]) -> Cut:
        """Floor of the position in the range, the right end in the last cell."""
        low, high = self._ends(points)
        size = np.where(high > low, high - low, 1.0)
        return lambda rows: ((rows - low) / size * self.n).clip(0, self.n - 1).astype(np.int64)

    def _ends(self, points: Float[np.ndarray, "n d"]) -> tuple[Any, Any]:
        if self.range == "layer":
            return np.float64(points.min()), np.float64(points.max())
        if self.range == "neuron":
            return points.min(0).astype(np.float64), points.max(0).astype(np.float64)
        low, high = self.reach
        return np.float64(low), np.float64(high)


@dataclass(frozen=True)
class Adaptive(Binning):
    """`n` cells a neuron that hold equally many examples each: the cuts are the neuron's quantiles.

    Equal values share a cell, so there are fewer cells where values repeat.

    >>> values = np.arange(8.0)[:, None]
    >>> Adaptive(4).cut(values)(values)[:, 0].tolist()
    [0, 0, 1, 1, 2, 2, 3, 3]
    """

    n: int = 30

    claims = Claims(estimates="cells", invariant=frozenset({"rows", "sides", "scale", "monotone"}))

    def __post_init__(self) -> None:
        at_least(self, "n", 1)

    def cut(self, points: Float[np.ndarray, "n d"]) -> Cut:
        """Number of the neuron's inner quantiles at or below the value."""
        ordered = np.sort(points, axis=0)
        ranks = np.arange(1, self.n) * len(points) // self.n
        edges = ordered[ranks]
        return lambda rows: np.stack(
            [np.searchsorted(edges[:, j], rows[:, j], side="right") for j in range(rows.shape[1])], axis=1
        )


def _floor(positions: Float[np.ndarray, "m d"]) -> Int[np.ndarray, "m d"]:
    np.floor(positions, out=positions)
    if max(float(positions.max()), -float(positions.min())) > FARTHEST:
        np.clip(positions, -FARTHEST, FARTHEST, out=positions)
    return positions.astype(np.int64)
