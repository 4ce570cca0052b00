"""The ways in which many networks can be computed, and why one may be closed to some of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

WayName = Literal["loop", "vmap", "compiled", "grouped"]

WAYS: tuple[WayName, ...] = ("loop", "vmap", "compiled", "grouped")
"""One after another; stacked by vmap; the same under torch.compile; by batched products and grouped convolutions."""


@dataclass(frozen=True)
class Way:
    """How networks are computed: one after another, or so many at a time stacked.

    >>> print(Way("loop"), Way("grouped", 30), sep=", ")
    loop, grouped × 30
    """

    name: WayName
    stacked: int = 1

    def __str__(self) -> str:
        return self.name if self.name == "loop" else f"{self.name} × {self.stacked}"


class NotStackable(Exception):
    """These networks can't be computed as one stack; the text says why."""


def check_way(name: str | None) -> None:
    """A ValueError unless this is the name of a way, or None."""
    if name is not None and name not in WAYS:
        raise ValueError(f"way is {name!r}; it is one of {', '.join(WAYS)}, or None to have it chosen")


def first_line(error: BaseException, most: int = 160) -> str:
    """What an error says first, in so many characters; its kind where it says nothing."""
    return (str(error).splitlines() or [type(error).__name__])[0][:most]
