"""Repeated values: which examples share one, how many there are, and what they tell of information."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from infoscope.mi.numerics.codes import as_labels, row_codes
from infoscope.mi.sample import Side

ROUNDED = 0.01
"""Share of repeated values that single precision makes of continuous ones; more are ties."""


ALONE = 0.05
"""Share of a column's values that may occur once where it holds symbols: the rare ones."""


def values(side: Side) -> Side:
    """A side's distinct values as labels."""
    if side.labels:
        return side
    # Adding 0 turns −0 into 0; splitting into 16-bit words keeps differences of bit patterns free of high powers of 2.
    words = np.ascontiguousarray(side.values + side.values.dtype.type(0)).view(np.uint16)
    return Side(*as_labels(row_codes(words)))


def atoms(x: Side, y: Side) -> Float[np.ndarray, " n"]:
    """The term log(m N / m_x m_y) of every example, from the counts of examples with the same values."""
    joint = np.unique(x.values * y.classes + y.values, return_inverse=True)[1]
    m, m_x, m_y = (np.bincount(codes)[codes].astype(float) for codes in (joint, x.values, y.values))
    return np.log(m * len(x) / (m_x * m_y))


def is_discrete(side: Side) -> bool:
    """Whether points are symbols: in every column nearly all examples have a value that others have, too.

    Whole rows may all differ, as those of 12 bits do.

    >>> bits = np.array([[0.0, 1.0], [1.0, 0.0], [0.0, 0.0], [1.0, 1.0]])
    >>> is_discrete(Side(bits)), is_discrete(Side(np.sqrt(np.arange(4.0))[:, None]))
    (True, False)
    """
    return side.labels or all(_single(column) <= ALONE * len(column) for column in side.values.T)


def _single(column: Float[np.ndarray, " n"]) -> int:
    """How many values occur once."""
    ordered = np.sort(column)
    steps = np.concatenate([[True], ordered[1:] != ordered[:-1], [True]])
    return int((steps[1:] & steps[:-1]).sum())


def repeats(side: Side) -> bool:
    """Whether over 1 % of the examples repeat another's value: more than rounding makes of continuous ones."""
    return values(side).classes < (1 - ROUNDED) * len(side)
