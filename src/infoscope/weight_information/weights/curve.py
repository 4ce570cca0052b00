"""The structure function of a network: what its labels and its weights cost at every exchange rate β."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass

from infoscope.measurement import Bound, Measurement, Receipt, Status

APART = 0.05
"""Of C, by which the expected loss may lie beside what the curvature predicts; and three standard errors."""


@dataclass(frozen=True)
class Floor:
    """C* from above and from below, nats, with errors; `mixed` says whether the chains came together."""

    upper: float
    upper_stderr: float
    lower: float
    lower_stderr: float
    mixed: bool
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Point:
    """A posterior at one β: `way` is "closed", "rounds" or "noise", `scale` the prior's λ, `price` nats for its choice.

    `losses` are those of weights drawn from q, summed over examples, nats; `predicted` is their mean if the loss were
    quadratic. `distance` and `precision` are the parts of KL by parameter: |m − m0|²/2λ² and ½ Σ (v/λ² − 1 − log v/λ²).
    """

    way: str
    beta: float
    scale: float
    price: float
    losses: tuple[float, ...]
    predicted: float
    distance: Mapping[str, float]
    precision: Mapping[str, float]
    floor: Floor | None = None

    @property
    def kl(self) -> float:
        """KL(q‖p), nats, with the price of λ."""
        return sum(self.distance.values()) + sum(self.precision.values()) + self.price

    @property
    def expected(self) -> tuple[float, float]:
        """E_q L as sampled, and its standard error."""
        n, mean = len(self.losses), sum(self.losses) / len(self.losses)
        if n < 2:
            return mean, math.nan
        return mean, math.sqrt(sum((one - mean) ** 2 for one in self.losses) / (n - 1) / n)

    @property
    def complexity(self) -> float:
        """C = E_q L + β KL, nats."""
        return self.expected[0] + self.beta * self.kl

    @property
    def parts_ways(self) -> bool:
        """Whether the loss under the noise is another than the curvature says, or nobody can tell for its spread."""
        mean, error = self.expected
        apart = abs(mean - self.predicted)
        most = min(APART * abs(self.complexity), abs(mean) / 4)  # C may be all KL
        return not (error <= most and apart <= max(3 * error, most))

    def by_layer(self) -> dict[str, float]:
        """KL by layer: parameters whose names differ in the last part only; the choice of λ belongs to none."""
        found: dict[str, float] = {}
        for name in self.distance:
            layer = name.rpartition(".")[0] or name
            found[layer] = found.get(layer, 0.0) + self.distance[name] + self.precision[name]
        return found


@dataclass(frozen=True)
class WeightCurve:
    """What was found at every β, and how. The first point of each way is at the β that was asked about."""

    points: tuple[Point, ...]
    receipt: Receipt

    @property
    def main(self) -> Point:
        """The posterior that is reported: the last way's at the first β."""
        return next(p for p in self.points if p.way == self.points[-1].way)

    def of(self, way: str) -> tuple[Point, ...]:
        """The points of one way, in order of β."""
        return tuple(sorted((p for p in self.points if p.way == way), key=lambda p: p.beta))

    def measured(self, point: Point) -> tuple[Measurement, ...]:
        """KL(q|p), E_q L as sampled and as predicted, C, and C* where it was sought; nats."""
        receipt = dataclasses.replace(self.receipt, notes=(*self.receipt.notes, *_told(point)))
        mean, error = point.expected
        apart = frozenset({Status.NOT_QUADRATIC}) if point.parts_ways else frozenset[Status]()
        # The closed form rests on the quadratic loss, the rounds do not.
        own = apart if point.way == "closed" else frozenset[Status]()
        facts = {"receipt": receipt, "status": own}
        replicates = dict(enumerate(point.losses))
        rows = (
            Measurement("KL(q|p)", point.kl, 0.0, bound=Bound.EXACT, **facts),
            Measurement("E_q L", mean, error, replicates=replicates, **facts),
            Measurement("E_q L quadratic", point.predicted, 0.0, receipt=receipt, status=apart),
            Measurement("C", point.complexity, error, bound=Bound.UPPER, **facts),
        )
        return (*rows, *self._floor(point, receipt))

    def _floor(self, point: Point, receipt: Receipt) -> tuple[Measurement, ...]:
        floor = point.floor
        if floor is None:
            return ()
        notes = (*receipt.notes, *floor.notes)
        receipt = dataclasses.replace(receipt, method="annealed importance sampling", over="chains", notes=notes)
        doubt = frozenset[Status]() if floor.mixed else frozenset({Status.NOT_MIXED})
        price = point.beta * point.price  # C* of the same prior
        upper = Measurement("C*", floor.upper + price, floor.upper_stderr, bound=Bound.UPPER, receipt=receipt)
        lower = Measurement(
            "C*", floor.lower + price, floor.lower_stderr, bound=Bound.LOWER, status=doubt, receipt=receipt
        )
        return upper, lower

    def layer(self, nats: float, point: Point) -> Measurement:
        """A part of KL as a measurement."""
        receipt = dataclasses.replace(self.receipt, notes=(*self.receipt.notes, *_told(point)))
        return Measurement("KL(q|p)", nats, 0.0, bound=Bound.EXACT, receipt=receipt)

    def to_bytes(self) -> bytes:
        """As JSON."""
        return json.dumps(dataclasses.asdict(self)).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> WeightCurve:
        """The value that `to_bytes` wrote."""
        held = json.loads(data)
        receipt = held["receipt"] | {k: tuple(held["receipt"][k]) for k in ("seeds", "notes")}
        return cls(tuple(_point(p) for p in held["points"]), Receipt(**receipt))


def _point(held: dict) -> Point:
    floor = held.pop("floor")
    losses = tuple(held.pop("losses"))
    return Point(
        **held, losses=losses, floor=None if floor is None else Floor(**floor | {"notes": tuple(floor["notes"])})
    )


def _told(point: Point) -> tuple[str, ...]:
    paid = f", chosen for {point.price:.3g} nats" if point.price else ""
    return (f"posterior: {point.way}", f"β = {point.beta:g}", f"λ = {point.scale:.4g}{paid}")
