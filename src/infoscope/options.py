"""Checks of a method's options, told as fact, place and remedy."""

from __future__ import annotations

from typing import Any


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


def share(method: Any, field: str) -> None:
    """ValueError unless this option lies between 0 and 1."""
    value = getattr(method, field)
    if not 0 < value < 1:
        raise ValueError(f"{type(method).__name__}({field}={value}): {field} is a share between 0 and 1")
