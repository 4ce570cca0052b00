"""How a measurement reads: its digits, its error, its side, its warnings."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

from infoscope.measurement import Bound, Measurement
from infoscope.quantities import terms
from infoscope.rounding import digits

SIDES = {Bound.LOWER: "lower bound", Bound.UPPER: "upper bound", Bound.EXACT: "exact", Bound.NONE: "estimate"}


def unit(measurement: Measurement) -> str:
    """The unit that is printed: "bit", or nothing when dimensionless."""
    return "bit" if measurement.unit == "nat" else ""


def error(measurement: Measurement) -> str:
    """The standard error to two significant digits, "" when it is unknown.

    >>> error(Measurement("accuracy", 0.9, 0.0123, unit="1"))
    '0.012'
    """
    stderr = measurement.printed_error
    return "" if math.isnan(stderr) else digits(stderr, stderr)


def why_unknown(measurement: Measurement) -> str:
    """Why a measurement has no standard error."""
    return "one replicate: unknown" if len(measurement.replicates) < 2 else "unknown"


def per_example(measurement: Measurement) -> str:
    """Bits per example of a codelength whose n is known, else "".

    >>> from infoscope.measurement import Receipt
    >>> per_example(Measurement("uniform code", 100 * math.log(10), receipt=Receipt("uniform", n=100)))
    '3.3219'
    """
    n = measurement.receipt.n
    if not (n and measurement.unit == "nat" and is_codelength(measurement.quantity)):
        return ""
    value, stderr = measurement.printed, measurement.printed_error
    return digits(value / n, stderr / n)


def is_codelength(quantity: str) -> bool:
    """Whether a quantity is the length of a message, which has a length per example; a difference of two is not.

    >>> [is_codelength(q) for q in ("L(y|x)", "L_init(y|x)", "n log C", "L(M,D)", "L(y|x) − L(y|z)")]
    [True, True, True, False, False]
    """
    return re.match(r"L(_\w+)?\(y\|x\)|n (log C|H\(Y\))|uniform code", quantity) is not None and " − " not in quantity


def full_name(quantity: str) -> str:
    """The name in words of a quantity that is known by its symbol, else "".

    >>> full_name("L(y|x)")
    'prequential codelength'
    """
    name = terms().get(quantity, "")
    return "" if name == quantity else name


def warnings(measurement: Measurement) -> list[tuple[str, str]]:
    """Each status in words, with its advice.

    >>> from infoscope.measurement import Status
    >>> warnings(Measurement("I(X;Y)", 1.0, status=frozenset({Status.TIES})))[0][0]
    'Ties'
    """
    return [
        (status.name.replace("_", " ").capitalize(), status.value)
        for status in sorted(measurement.status, key=lambda s: s.name)
    ]


def coordinate_names(rows: Iterable[Any]) -> list[str]:
    """The names of all coordinates in the order in which they first appear."""
    return list(dict.fromkeys(name for row in rows for name in row.coordinates))


def coordinate(value: object) -> str:
    """A coordinate as text, nothing for one that a row does not have."""
    return "" if value is None else str(value)


def listed(names: Iterable[str], most: int = 4) -> str:
    """Names in one line, each once, the rest counted.

    >>> listed("abcdef")
    'a; b; c; d and 2 more'
    """
    distinct = list(dict.fromkeys(names))
    more = f" and {len(distinct) - most} more" if len(distinct) > most else ""
    return "; ".join(distinct[:most]) + more


def duration(seconds: float) -> str:
    """How long, in words.

    >>> duration(5), duration(400), duration(9000)
    ('under 10 seconds', 'about 7 minutes', 'about 2.5 hours')
    """
    if seconds < 10:
        return "under 10 seconds"
    if seconds < 90:
        return f"about {round(seconds)} seconds"
    return f"about {round(seconds / 60)} minutes" if seconds < 5400 else f"about {seconds / 3600:.1f} hours"
