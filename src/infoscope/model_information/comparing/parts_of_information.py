"""What two sources tell of a task, taken apart: unique to each, and shared; below 0 a synergy."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from infoscope.figure import Bars, Figure
from infoscope.measurement import Measurement, Status
from infoscope.model_information.ratio import ratio
from infoscope.prequential.codelength import model_information
from infoscope.prequential.loss_curve import LossCurve
from infoscope.record import Row


@dataclass(frozen=True)
class Parts:
    """The codes of a task by the untrained network, and by those that were trained on A, on B, and on both.

    With L the information of each, eq. (2): unique to A is L_AB − L_B, unique to B is L_AB − L_A, shared is
    L_A + L_B − L_AB; all three together are L_AB.
    """

    task: str
    a: str
    b: str
    initial: Sequence[LossCurve]
    of_a: Sequence[LossCurve]
    of_b: Sequence[LossCurve]
    of_both: Sequence[LossCurve]
    status: frozenset[Status] = frozenset()
    notes: tuple[str, ...] = ()

    @property
    def known(self) -> tuple[Measurement, Measurement, Measurement]:
        """L(M_A, T), L(M_B, T), L(M_AB, T)."""
        a, b, both = (model_information(self.initial, curves) for curves in (self.of_a, self.of_b, self.of_both))
        return a, b, both

    @property
    def unique(self) -> tuple[Measurement, Measurement]:
        """What A, and B, tells that the other does not."""
        a, b, both = self.known
        return (both - b).named("unique"), (both - a).named("unique")

    @property
    def shared(self) -> Measurement:
        """What both tell; below 0 what only both together tell."""
        a, b, both = self.known
        return (a + b - both).named("shared")

    def rows(self) -> tuple[Row, ...]:
        """Each part with its share of all that both together tell, and what each network knows."""
        return tuple(Row({"task": self.task, "part": part}, self._told(one)) for part, one in self._each())

    def _each(self) -> Iterator[tuple[str, Measurement]]:
        *_, both = self.known
        for part, one in zip((self.a, self.b, "both"), (*self.unique, self.shared), strict=True):
            yield part, one
            for each in ratio(one, both, f"{one.quantity} share").measurements():
                yield part, each
        for part, one in zip((self.a, self.b, f"{self.a} and {self.b}"), self.known, strict=True):
            yield part, one

    def _told(self, one: Measurement) -> Measurement:
        receipt = dataclasses.replace(one.receipt, notes=tuple(dict.fromkeys((*one.receipt.notes, *self.notes))))
        return dataclasses.replace(one, status=one.status | self.status, receipt=receipt)

    def figure(self) -> Figure:
        """The three parts as bars."""
        parts = [*self.unique, self.shared]
        names = [f"only {self.a}", f"only {self.b}", "both"]
        errors = [0.0 if math.isnan(one.stderr) else one.stderr_bits for one in parts]
        values = [one.bits for one in parts]
        ends = ([v + sign * e for v, e in zip(values, errors, strict=True)] for sign in (-1, 1))
        caption = (
            "Below 0, what both tell is a synergy: together they tell more than the sum. Errors are standard errors."
        )
        return Figure(
            f"What is told about {self.task}", "by", "bits", [Bars("bits", names, values, *ends)], caption=caption
        )

    def sentence(self) -> str:
        """The parts in words."""
        first, second, both = (one.with_error() for one in (*self.unique, self.known[2]))
        shared = self.shared
        told = (shared if shared.value >= 0 else -shared).with_error()
        joint = f"{told} are told by both" if shared.value >= 0 else f"{told} only by both together"
        each = f"{first} are told by {self.a} alone, {second} by {self.b} alone"
        return f"Of {both} bits about {self.task}, {each}, {joint}."
