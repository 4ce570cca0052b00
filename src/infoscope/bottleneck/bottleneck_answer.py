"""What the bottleneck comes to: what codes tell of the input and of the label at every price, the curve, a sentence."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from infoscope.bottleneck.invariance import FEWEST, nuisance_information
from infoscope.bottleneck.learned_code import LearnedCode
from infoscope.bottleneck.rates import draw, rates, total_correlation
from infoscope.figure import Figure, Line
from infoscope.measurement import NATS_PER_BIT, Bound, Measurement, Receipt, Status
from infoscope.mi.estimate import SATURATION
from infoscope.record import Record, Row

NOTHING = 0.05
"""Of H(Y): a code that tells no more of the label is called one that tells nothing."""


@dataclass(frozen=True, eq=False)
class Point:
    """The codes of one price, by seed."""

    beta: float
    codes: Mapping[int, LearnedCode]
    receipt: Receipt

    def rows(self) -> tuple[Row, ...]:
        """All measurements, what is told of the input first."""
        return tuple(Row({"beta": self.beta}, m) for m in self._measurements)

    def measured(self, quantity: str) -> Measurement:
        """The one of this name."""
        found = [m for m in self._measurements if m.quantity == quantity]
        if not found:
            raise ValueError(f"there is no {quantity!r}; there are {', '.join(m.quantity for m in self._measurements)}")
        return found[0]

    @cached_property
    def label_entropy(self) -> float:
        """H(Y) of the frequencies among the held-out examples, nats."""
        share = next(iter(self.codes.values())).y.bincount().double()
        share = share[share > 0] / share.sum()
        return float(-(share * share.log()).sum())

    @cached_property
    def _measurements(self) -> tuple[Measurement, ...]:
        found = {seed: rates(code.mean, code.sd, seed, code.mixture) for seed, code in self.codes.items()}
        shared = {seed: total_correlation(code.mean, code.sd, seed, code.mixture) for seed, code in self.codes.items()}
        n = self.receipt.n
        above = self._of("I(Z;X)", Bound.UPPER, lambda seed: found[seed].above.value)
        below = self._of("I(Z;X), at least", Bound.LOWER, lambda seed: found[seed].all.value)
        if below.value > SATURATION * math.log(n):
            below = _flagged(below, Status.SATURATED)
        label = self._of("I(Z;Y)", Bound.LOWER, lambda seed: self.label_entropy - float(self.codes[seed].nats.mean()))
        if any(code.overfit for code in self.codes.values()):
            label = _flagged(label, Status.OVERFIT)
        rows = [
            above,
            below,
            self._of("rate", Bound.UPPER, lambda seed: found[seed].marginal.value),
            label,
            self._of("H(Y|Z)", Bound.UPPER, lambda seed: float(self.codes[seed].nats.mean())),
            self._of("accuracy", Bound.NONE, lambda seed: float(self.codes[seed].right.mean()), "1"),
            above - label,
            self._of("TC(Z)", Bound.UPPER, lambda seed: shared[seed][1].value),
            self._of("TC(Z), at least", Bound.LOWER, lambda seed: shared[seed][0].value),
        ]
        return (*rows, *self._nuisance())

    def _nuisance(self) -> list[Measurement]:
        first = next(iter(self.codes.values()))
        if len(first.nuisance) < FEWEST:
            return []
        told = {
            seed: nuisance_information(draw(code.mean, code.sd, seed), code.nuisance, seeds=(seed,), strict=False)
            for seed, code in self.codes.items()
        }
        found = self._of("I(Z;N)", Bound.LOWER, lambda seed: told[seed].value)
        return [_flagged(found, *(status for one in told.values() for status in one.status))]

    def _of(self, quantity: str, bound: Bound, value: Callable[[int], float], unit: str = "nat") -> Measurement:
        status = frozenset(() if all(code.converged for code in self.codes.values()) else {Status.NOT_CONVERGED})
        replicates = {seed: value(seed) for seed in self.codes}
        return Measurement.from_replicates(
            quantity, replicates, unit=unit, bound=bound, status=status, receipt=self.receipt
        )


@dataclass(frozen=True, eq=False)
class BottleneckAnswer:
    """What `InformationBottleneck` comes to."""

    name: str
    model: str
    points: tuple[Point, ...]
    notes: tuple[str, ...]

    @property
    def title(self) -> str:
        """The bottleneck of this task."""
        return f"Information bottleneck of {self.name} by {self.model}"

    def record(self) -> Record:
        """One row a price and quantity."""
        return Record.of(row for point in self.points for row in point.rows())

    def figures(self) -> list[Figure]:
        """The curve; and everything over the price."""
        points = sorted(self.points, key=lambda point: point.beta)
        label = [point.measured("I(Z;Y)") for point in points]
        above, below = ([p.measured(name) for p in points] for name in ("I(Z;X)", "I(Z;X), at least"))
        entropy = points[0].label_entropy / NATS_PER_BIT
        far = max(m.bits for m in above)
        curve = Figure(
            "The information-bottleneck curve", "I(Z;X) (bits)", "I(Z;Y) (bits)",
            [
                _line("I(Z;X) from above", [m.bits for m in above], label),
                Line("I(Z;X) from below", [m.bits for m in below], [m.bits for m in label]),
                Line("no code is above", [0.0, entropy, max(far, entropy)], [0.0, entropy, entropy], dash=True),
            ],
            caption="Held-out examples; I(Z;Y) from below. Nothing tells more of the label than of the input.",
        )  # fmt: skip
        named = [m.quantity for m in points[0]._measurements if m.unit == "nat" and m.quantity not in _OF_THE_CURVE]
        priced = [p for p in points if p.beta > 0]
        lines = [self._over_price(priced, name) for name in ("I(Z;X)", "I(Z;Y)", *named)]
        return [curve, Figure("What a code tells, by its price", "β", "bits", lines, log_x=True)]

    def _over_price(self, points: list[Point], name: str) -> Line:
        found = [point.measured(name) for point in points]
        return _line(name, [point.beta for point in points], found)

    def sentence(self) -> str:
        """What the cheapest code that tells most of the label keeps, and from where on nothing is told."""
        best = max(self.points, key=lambda point: point.measured("I(Z;Y)").value)
        above, label = best.measured("I(Z;X)"), best.measured("I(Z;Y)")
        most = f"{best.label_entropy / NATS_PER_BIT:.3g} bits of its label"
        if label.value <= 0:
            prices = "this price" if len(self.points) == 1 else "any of these prices"
            return f"A code of {self.name} tells nothing of the {most} at {prices}, on examples that it has not seen."
        told = (
            f"At β = {best.beta:g} a code of {self.name} keeps at most {above.bits:.3g} bits of an input and tells "
            f"{label.bits:.3g} of the {most} ({100 * best.measured('accuracy').value:.3g} % right)."
        )
        if self._has("I(Z;N)"):
            nuisance = best.measured("I(Z;N)").bits
            told += f" It tells {nuisance:.3g} bits or more" if nuisance > 0 else " It shows nothing"
            told += " of the nuisance."
        empty = [p.beta for p in self.points if p.measured("I(Z;Y)").value < NOTHING * p.label_entropy]
        return told + (f" At β = {min(empty):g} it tells nothing of the label." if empty else "")

    def _has(self, quantity: str) -> bool:
        return any(m.quantity == quantity for m in self.points[0]._measurements)

    def choices(self) -> Mapping[str, str]:
        """The code, and how the task was parted."""
        return {"Network": self.model, "Code": self.points[0].receipt.notes[0], "Data": "; ".join(self.notes)}

    def write(self, folder: Path) -> Mapping[str, str]:
        """No file but the report."""
        return {}


_OF_THE_CURVE = ("I(Z;X)", "I(Z;Y)", "H(Y|Z)", "I(Z;X) − I(Z;Y)", "rate")


def _line(name: str, x: list[float], found: list[Measurement]) -> Line:
    """With one error to both sides; without where it is not known."""
    y = [m.bits for m in found]
    if any(math.isnan(m.stderr) for m in found):
        return Line(name, x, y)
    low, high = ([m.bits + sign * m.stderr_bits for m in found] for sign in (-1, 1))
    return Line(name, x, y, low, high)


def _flagged(m: Measurement, *status: Status) -> Measurement:
    return dataclasses.replace(m, status=m.status | set(status))
