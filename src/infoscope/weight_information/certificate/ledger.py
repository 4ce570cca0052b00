"""The ledger of δ: what of the probability that a certificate fails went where."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from decimal import Decimal


@dataclass(frozen=True)
class Spent:
    """One entry: for what, how much of δ, and over how many choices it is shared by a union bound."""

    what: str
    delta: float
    choices: int = 1

    @property
    def each(self) -> float:
        """The δ at which the bound of every single choice holds."""
        return self.delta / self.choices

    def __str__(self) -> str:
        shared = f", {self.each:g} for each of {self.choices}" if self.choices > 1 else ""
        return f"{self.what}: {self.delta:g}{shared}"


@dataclass(frozen=True)
class Ledger:
    """Where each part of δ went. What was spent never exceeds `delta`; every bound names what it takes.

    A parameter (β, λ, a prior's variance) that is chosen after the data were seen is paid for by a union bound over
    all values that it might have taken: `choices` says how many.

    >>> ledger = Ledger(0.05).spend("kl bound", 0.03, choices=6).spend("draws of the weights", 0.01)
    >>> ledger.each("kl bound"), ledger.left
    (0.005, 0.01)
    >>> print(*ledger.told(), sep="; ")
    kl bound: 0.03, 0.005 for each of 6; draws of the weights: 0.01; not spent: 0.01
    """

    delta: float
    entries: tuple[Spent, ...] = ()

    def __post_init__(self) -> None:
        if not 0 < self.delta < 1:
            raise ValueError(f"δ is {self.delta}; the probability that a certificate fails lies between 0 and 1")
        if self._left() < 0:
            raise ValueError(f"{' + '.join(f'{e.delta:g}' for e in self.entries)} is more than δ = {self.delta:g}")

    def spend(self, what: str, delta: float, choices: int = 1) -> Ledger:
        """The ledger with one more entry; a ValueError if δ does not suffice, or the name is taken."""
        if not delta > 0 or choices < 1:
            raise ValueError(
                f"{what!r} is to take {delta} over {choices} choices; give a δ above 0 and 1 choice or more"
            )
        if any(entry.what == what for entry in self.entries):
            raise ValueError(f"{what!r} has been paid for; name what is new")
        if Decimal(repr(delta)) > self._left():
            raise ValueError(f"{what!r} asks for {delta:g}, and of δ = {self.delta:g} only {self.left:g} is left")
        return replace(self, entries=(*self.entries, Spent(what, delta, choices)))

    def spend_rest(self, what: str, choices: int = 1) -> Ledger:
        """The ledger with all that is left spent on this.

        >>> Ledger(0.05).spend("draws of the weights", 0.01).spend_rest("kl bound").left
        0.0
        """
        rest = self.left
        return self.spend(what, rest if Decimal(repr(rest)) <= self._left() else math.nextafter(rest, 0.0), choices)

    @property
    def left(self) -> float:
        """What is not spent."""
        return float(self._left())

    def each(self, what: str) -> float:
        """The δ of one choice under this entry."""
        for entry in self.entries:
            if entry.what == what:
                return entry.each
        raise ValueError(f"nothing was spent on {what!r}; the ledger has {', '.join(e.what for e in self.entries)}")

    def told(self) -> tuple[str, ...]:
        """A line an entry."""
        rest = (f"not spent: {self.left:g}",) if self.left else ()
        return (*map(str, self.entries), *rest)

    def _left(self) -> Decimal:
        """In decimals as they were written: 0.1 + 0.2 are 0.3."""
        return Decimal(repr(self.delta)) - sum((Decimal(repr(entry.delta)) for entry in self.entries), Decimal(0))
