"""Checks of a method's options, told as fact, place and remedy."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any, get_type_hints


def at_least(method: Any, field: str, least: int) -> None:
    """ValueError unless this option is a number from `least` on."""
    value = getattr(method, field)
    if not value >= least:
        raise ValueError(f"{type(method).__name__}({field}={value}): {field} is at least {least}")


def above_zero(method: Any, *fields: str) -> None:
    """ValueError unless these options are above 0."""
    for field in fields:
        value = getattr(method, field)
        if not value > 0:
            raise ValueError(f"{type(method).__name__}({field}={value}): {field} is above 0")


def positive(method: Any, *fields: str) -> None:
    """ValueError unless these options, as far as they are given, are above 0 and finite; of several numbers each is."""
    for field in fields:
        value = getattr(method, field)
        for one in value if isinstance(value, tuple) else (value,):
            if one is not None and not 0 < one < math.inf:
                raise ValueError(f"{field} is {one}; it is above 0 and finite")


def weights_or_epochs(method: Any) -> None:
    """ValueError where weights are given, of which nothing is trained, and epochs too."""
    if method.weights is not None and method.epochs is not None:
        raise ValueError("epochs are of a training, and with weights there is none; leave one of them out")


def share(method: Any, field: str) -> None:
    """ValueError unless this option lies between 0 and 1."""
    value = getattr(method, field)
    if not 0 < value < 1:
        raise ValueError(f"{type(method).__name__}({field}={value}): {field} is a share between 0 and 1")


@dataclass(frozen=True)
class AtLeast:
    """Said of a field, as in `Annotated[int, AtLeast(1)]`: its value is no smaller, or None. See `check_fields`."""

    least: float


def check_fields(value: Any) -> None:
    """ValueError unless every field of a dataclass keeps what its annotation says of it."""
    for name, least in _limits(type(value)).items():
        given = getattr(value, name)
        if given is not None and not given >= least:
            raise ValueError(f"{name} is {given}; it is at least {least:g}")


@cache
def _limits(kind: type) -> dict[str, float]:
    hints = get_type_hints(kind, include_extras=True)
    found = {
        name: [m for m in getattr(hint, "__metadata__", ()) if isinstance(m, AtLeast)] for name, hint in hints.items()
    }
    return {name: marks[0].least for name, marks in found.items() if marks}
