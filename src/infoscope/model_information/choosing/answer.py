"""What choosing comes to: every network's bits, how surely the best is the best, and from how many labels on."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from infoscope.data.task import Task
from infoscope.figure import Bars, Figure
from infoscope.measurement import Bound, Measurement, Receipt
from infoscope.model_information import figures
from infoscope.model_information.codelength import about_labels
from infoscope.model_information.heads import HEADS, Head
from infoscope.model_information.ranking import Crossing, best, crossing
from infoscope.model_information.starts import Candidate
from infoscope.prequential.codelength import codelength
from infoscope.prequential.loss_curve import LossCurve
from infoscope.record import Record, Row

WHOLE, FROZEN, OF_DATA = "whole", "frozen", "data"
"""Values of the coordinate `use`: the network goes on learning, or its head alone is solved for, or there is none."""

DATA = "no network"
"""The coordinate `network` of the code that needs none."""

SURE = 0.9
"""P(best) from which on a network is called the best."""

Named = tuple[str, str]
"""A network and its use."""


@dataclass(frozen=True)
class ChoosingAnswer:
    """What `Choosing` comes to."""

    task: Task
    starts: tuple[Candidate, ...]
    curves: Mapping[Named, Sequence[LossCurve]]
    frozen: bool
    head: Head

    def with_curves(self, found: Mapping[Named, Sequence[LossCurve]]) -> ChoosingAnswer:
        """The same with more codes."""
        return dataclasses.replace(self, curves={**self.curves, **found})

    @property
    def title(self) -> str:
        """Where to start for these data."""
        return f"Which network to start from for {self.task.name}"

    @property
    def use(self) -> str:
        """By which the networks are ranked."""
        return FROZEN if self.frozen else WHOLE

    def of_use(self, use: str) -> dict[str, Sequence[LossCurve]]:
        """The curves of all networks in this use."""
        return {name: curves for (name, how), curves in self.curves.items() if how == use}

    def length(self, name: str, use: str) -> Measurement:
        """L(y|x)."""
        return codelength(self.curves[name, use])

    @cached_property
    def ranked(self) -> list[str]:
        """The networks, the fewest bits first."""
        return sorted(self.of_use(self.use), key=lambda name: self.length(name, self.use).value)

    @cached_property
    def shares(self) -> dict[str, dict[str, float]]:
        """P(best) of every network by use."""
        return {use: best(self.of_use(use)) for use in self._uses}

    @property
    def _uses(self) -> tuple[str, ...]:
        return (FROZEN,) if self.frozen else (WHOLE, FROZEN)

    @cached_property
    def crossings(self) -> dict[str, Crossing]:
        """From how many labels on the best is ahead of each of the others."""
        first, *others = self.ranked
        curves = self.of_use(self.use)
        return {name: crossing(curves[first], curves[name]) for name in others}

    def rows_of(self, name: str) -> tuple[Row, ...]:
        """Its lengths, whole and frozen, and its size."""
        rows = [Row({"network": name, "use": use}, self.length(name, use)) for use in self._uses]
        size = next(one.parameters for one in self.starts if one.name == name)
        receipt = Receipt("count of parameters, the head for this task among them", n=len(self.task))
        return (
            *rows,
            Row(
                {"network": name, "use": WHOLE}, Measurement("parameters", size, 0.0, "1", Bound.EXACT, receipt=receipt)
            ),
        )

    def record(self) -> Record:
        """The lengths, P(best), and where the best takes the lead; beside them what needs no network."""
        rows = [Row({"network": DATA, "use": OF_DATA}, m) for m in about_labels(self.task, self.curves[DATA, OF_DATA])]
        for one in self.starts:
            rows += self.rows_of(one.name)
        for use in self._uses:
            for name, share in self.shares[use].items():
                receipt = dataclasses.replace(
                    self.length(name, use).receipt, over="orders and groups of examples", method="rank of the networks"
                )
                rows.append(
                    Row({"network": name, "use": use}, Measurement("P(best)", share, unit="1", receipt=receipt))
                )
        for name, place in self.crossings.items():
            rows.append(Row({"network": name, "use": self.use}, self._place(place)))
        return Record.of(rows)

    def _place(self, place: Crossing) -> Measurement:
        told = (
            f"from here on {self.ranked[0]} is ahead",
            *([] if math.isnan(place.lower) else [f"90 %: {place.lower:.0f} to {place.upper:.0f}"]),
            f"in {place.turned:.0%} of the draws it is not ahead in the end",
        )
        receipt = Receipt(
            "cumulative lengths drawn again", n=len(self.task), over="orders and groups of examples", notes=told
        )
        return Measurement("crossing", place.n, unit="1", receipt=receipt)

    def figures(self) -> list[Figure]:
        """Bits of every network, whole and frozen; bits sent, and the cost of a label, as more are known."""
        names = [one.name for one in self.starts]
        bars = [_bars(use, names, [self.length(name, use) for name in names]) for use in self._uses]
        named = [figures.NamedCurves(name, curves) for name, curves in self.of_use(self.use).items()]
        named.append(figures.NamedCurves(DATA, self.curves[DATA, OF_DATA]))
        caption = "Fewer bits: the better start. ± one standard error over orders, if known."
        return [Figure("What the labels cost", "start from", "bits", bars, caption=caption), *figures.codes(named)]

    def sentence(self) -> str:
        """Where to start, how surely, from how many labels on, and whether no network would do as well."""
        first, second = self.ranked[:2]
        best, next_best = (self.length(name, self.use) for name in (first, second))
        share, data = self.shares[self.use][first], self.length(DATA, OF_DATA)
        sure = share >= SURE
        labels = f"the {len(self.task):,} labels of {self.task.name}"
        start = f"For {labels} start from {first}" if sure else f"Which network to start from for {labels} is open"
        said = (
            f"{start}: {first} needs {best.with_error()} bits and {second} {next_best.with_error()}; {first} is the "
            f"best with a probability of {share:.2f}"
        )
        if data.value < best.value:
            said += f". Without any network the labels cost {data.with_error()} bits: fewer"
        return f"{said}{self._lead(first, second) if sure else ''}."

    def _lead(self, first: str, second: str) -> str:
        place = self.crossings[second]
        if not place.n:
            return f". {first} is ahead from the first label on"
        if math.isnan(place.lower):
            return f". {first} is ahead from {place.n:,} labels on"
        return f". {first} is ahead from {place.n:,} labels on (90 %: {place.lower:,.0f} to {place.upper:,.0f})"

    def choices(self) -> Mapping[str, str]:
        """What became of heads, what size alone would choose, and the head in closed form."""
        largest = max(self.starts, key=lambda one: one.parameters)
        told = {
            "Head": "in closed form, the networks as they stand" if self.frozen else HEADS[self.head],
            "By size alone": f"{largest.name}, {largest.parameters:,} parameters",
        }
        if not self.frozen:
            heads = self.shares[FROZEN]
            winner = max(heads, key=lambda name: heads[name])
            told["By a head in closed form"] = f"{winner}, with a probability of {heads[winner]:.2f}"
        return told

    def write(self, folder: Path) -> Mapping[str, str]:
        """No file but the report."""
        return {}


def _bars(name: str, names: Sequence[str], lengths: Sequence[Measurement]) -> Bars:
    errors = [0.0 if math.isnan(m.stderr) else m.stderr_bits for m in lengths]
    lower, upper = ([m.bits + side * e for m, e in zip(lengths, errors, strict=True)] for side in (-1, 1))
    return Bars(name, names, [m.bits for m in lengths], lower, upper)
