"""What the question of the weights comes to: tables, curves and a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from infoscope.figure import Bars, Figure, Line
from infoscope.measurement import NATS_PER_BIT, Measurement
from infoscope.prequential.codelength import codelength
from infoscope.prequential.loss_curve import LossCurve
from infoscope.record import Record, Row
from infoscope.weight_information.weights.curve import WeightCurve


@dataclass(frozen=True)
class TaskWeights:
    """What is found for one task; `moved` is |w − w0| where the start is known, `sent` a code of the labels.

    `blind` is what the labels cost one who knows nothing, nats; None for numbers, whose loss lacks a constant.
    """

    name: str
    model: str
    curve: WeightCurve
    moved: Measurement | None
    sent: tuple[LossCurve, ...]
    blind: float | None = None

    def rows(self) -> tuple[Row, ...]:
        """The reported posterior first, its layers and parameters, other prices, then what stands beside."""
        main, curve = self.curve.main, self.curve
        rows = [self._row(m, main.way, main.beta) for m in curve.measured(main)]
        rows += [self._row(curve.layer(v, main), main.way, main.beta, layer) for layer, v in main.by_layer().items()]
        for name in main.distance:
            for part, held in (("distance", main.distance), ("precision", main.precision)):
                rows.append(self._row(curve.layer(held[name], main), main.way, main.beta, None, name, part))
        others = [point for point in curve.points if point is not main]
        rows += [self._row(m, point.way, point.beta) for point in others for m in curve.measured(point)]
        if self.moved is not None:
            rows.append(Row({"task": self.name}, self.moved))
        if self.sent:
            rows.append(Row({"task": self.name}, codelength(list(self.sent))))
        return tuple(rows)

    def _row(
        self, m: Measurement, way: str, beta: float, layer: str | None = None, name: str | None = None, part: str = ""
    ) -> Row:
        place = {"task": self.name, "posterior": way, "beta": beta, "layer": layer, "parameter": name, "part": part}
        return Row({k: v for k, v in place.items() if v not in (None, "")}, m)


@dataclass(frozen=True)
class WeightAnswer:
    """What `WeightInformation` comes to."""

    beta: float
    found: tuple[TaskWeights, ...]

    @property
    def title(self) -> str:
        """Information in the weights of networks on these tasks."""
        return f"Information in the weights of {self.found[0].model} on {', '.join(one.name for one in self.found)}"

    def record(self) -> Record:
        """All measurements."""
        return Record.of(row for one in self.found for row in one.rows())

    def figures(self) -> list[Figure]:
        """Bits by layer, and the trade-off of loss and information, sampled and predicted."""
        return [figure for one in self.found for figure in (_layers(one), *_trade_off(one))]

    def sentence(self) -> str:
        """How many bits the weights hold, and what they buy."""
        return " ".join(_told(one) for one in self.found)

    def choices(self) -> Mapping[str, str]:
        """How each posterior was made."""
        return {one.name: "; ".join(one.curve.measured(one.curve.main)[0].receipt.notes) for one in self.found}

    def write(self, folder: Path) -> Mapping[str, str]:
        """No file but the report."""
        return {}


def _layers(one: TaskWeights) -> Figure:
    layers = one.curve.main.by_layer()
    bars = Bars("KL(q|p)", list(layers), [v / NATS_PER_BIT for v in layers.values()])
    return Figure(f"Information in the weights by layer, {one.name}", "layer", "KL(q‖p) (bits)", [bars])


def _trade_off(one: TaskWeights) -> list[Figure]:
    if len({p.beta for p in one.curve.points}) < 2:
        return []
    lines = []
    for way in dict.fromkeys(p.way for p in one.curve.points):
        points = one.curve.of(way)
        kl = [p.kl / NATS_PER_BIT for p in points]
        lines.append(Line(f"{way}, sampled", kl, [p.expected[0] / NATS_PER_BIT for p in points]))
        lines.append(Line(f"{way}, predicted", kl, [p.predicted / NATS_PER_BIT for p in points], dash=True))
    title = f"Trade-off of loss and information, {one.name}"
    return [Figure(title, "KL(q‖p) (bits)", "E_q L (bits)", lines)]


def _told(one: TaskWeights) -> str:
    main = one.curve.main
    loss, kl, total = (_bits(v) for v in (main.expected[0], main.kl, main.complexity))
    layers = main.by_layer()
    most = max(layers, key=lambda name: layers[name])
    told = (
        f"The weights of {one.model} hold {kl} bits about {one.name} at β = {main.beta:g}, with which its "
        f"labels cost {loss} bits more: {total} in all. Most are in {most} ({_bits(layers[most])} bits)."
    )
    if one.moved is not None:
        told += f" They lie {one.moved.value:.3g} from where they started."
    if one.sent:
        told += f" A coder without this network sends the labels in {codelength(list(one.sent)).bits:,.0f} bits."
    if one.blind is not None and main.beta == 1 and main.complexity > one.blind:
        told += (
            f" Without any network they cost {_bits(one.blind)} bits, less than with these weights: give "
            "more examples, or a prior nearer to the weights."
        )
    if main.way == "noise":
        told += (
            " That is what these weights hold as they are: the network is too large to move them to where C is least, "
            "so with other weights it may be far less."
        )
    if main.way == "closed" and main.parts_ways:
        told += " Under this noise the loss is far from what its curvature predicts: take posterior rounds."
    if main.floor is not None:
        gap = (main.complexity - main.floor.upper - main.beta * main.price) / NATS_PER_BIT
        told += f" Another distribution of the weights would cost {gap:,.0f} bits less."
    return told


def _bits(nats: float) -> str:
    """Whole bits from a hundred on, else three digits.

    >>> _bits(1000 * NATS_PER_BIT), _bits(0.05 * NATS_PER_BIT)
    ('1,000', '0.05')
    """
    bits = nats / NATS_PER_BIT
    return f"{bits:,.0f}" if abs(bits) >= 100 else f"{bits:.3g}"
