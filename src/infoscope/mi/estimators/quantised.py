"""Exact information of discrete values: labels, and layers whose activations have finitely many values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from infoscope.mi.method import Claims, Finding, Map
from infoscope.mi.numerics import discrete
from infoscope.mi.numerics.ties import values
from infoscope.mi.sample import Side

BLIND: frozenset[Map] = frozenset({"monotone", "scale", "rows", "sides"})


@dataclass(frozen=True)
class Quantised:
    """Exact I(X;Y) under the empirical distribution: values are equal or they are not, and nothing is binned.

    For labels, and for layers of a quantised network, whose activations have few values. A row of activations is
    told from others by the bits of its numbers, so that for an unquantised layer every row is its own value, I(X;T)
    is log n, and SATURATED says so.

    Of examples that are a sample only, not the whole population, the information between labels comes out too large:
    `corrected` takes that bias off in `mutual_information` (see `discrete.plug_in`), and leaves layers exact.

    >>> import numpy as np
    >>> t = Side(np.array([[0.25], [0.5], [0.25], [0.5]]))
    >>> x_t, t_y = Quantised().layer(t, Side(np.array([0, 1, 0, 1]), 2), 0)
    >>> round(float(x_t.value / np.log(2)), 12), round(float(t_y.value / np.log(2)), 12)
    (1.0, 1.0)
    """

    corrected: bool = False

    takes: ClassVar[tuple[str, ...]] = ("labels-labels", "points-labels", "points-points")
    subsampled: ClassVar[bool] = False

    @property
    def claims(self) -> Claims:
        """As a sample with `corrected`, else of these examples; it sees no more than which values are equal."""
        return Claims(
            estimates="information" if self.corrected else "cells",
            assumes="discrete" if self.corrected else "nothing",
            mixed=True,
            invariant=BLIND,
        )

    def estimate(self, x: Side, y: Side, seed: int) -> Finding:
        """Plug-in information between the values of both sides."""
        return discrete.plug_in(values(x), values(y), self.corrected)

    def cells(self, side: Side) -> Side:
        """Every value a cell of its own."""
        return values(side)

    def layer(self, t: Side, y: Side, seed: int) -> tuple[Finding, Finding]:
        """H(T) and I(T;Y)."""
        return discrete.of_layer(values(t), y)

    def shuffled(self, x: Side, shufflings: Sequence[Side], seed: int) -> list[float]:
        """I(X;Y) for each of these shufflings; the values of X are told apart once."""
        found = values(x)
        return [discrete.plug_in(found, values(y), self.corrected).value for y in shufflings]
