"""What the question of the learning coefficient comes to: λ of the whole and of layers, curves over b, a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from infoscope.figure import Bars, Figure, Line
from infoscope.measurement import Measurement, Status
from infoscope.record import Record, Row
from infoscope.weight_information.learning_coefficients.gibbs_curve import GibbsCurve

POINTS = (0.1, 10**-0.5, 1.0)
"""Shares of b at which the curve is sampled."""


@dataclass(frozen=True)
class TaskCoefficient:
    """What is found for one task: the curve of all weights, and those of single layers with all others held."""

    name: str
    model: str
    b: float
    curve: GibbsCurve
    layers: Mapping[str, GibbsCurve] = field(default_factory=dict)

    def rows(self) -> tuple[Row, ...]:
        """All quantities at the inverse temperatures that were sampled for it, b itself first; then of each layer."""
        rows = list(self._rows(self.curve, {"task": self.name}))
        for layer, curve in self.layers.items():
            rows += self._rows(curve, {"task": self.name, "layer": layer})
        return tuple(rows)

    def by_layer(self) -> dict[str, Measurement]:
        """λ_E of each layer at b."""
        return {layer: curve.at(self.b)[0] for layer, curve in self.layers.items()}

    def _rows(self, curve: GibbsCurve, place: Mapping[str, str]) -> tuple[Row, ...]:
        places = [self.b * share for share in reversed(POINTS)]
        return tuple(Row({**place, "b": b}, m) for b in places for m in curve.at(b))


@dataclass(frozen=True)
class LearningCoefficientAnswer:
    """What `LearningCoefficient` comes to."""

    found: tuple[TaskCoefficient, ...]

    @property
    def title(self) -> str:
        """Learning coefficient of networks on these tasks."""
        return f"Learning coefficient of {self.found[0].model} on {', '.join(one.name for one in self.found)}"

    def record(self) -> Record:
        """One row a task, layer, temperature and quantity."""
        return Record.of(row for one in self.found for row in one.rows())

    def figures(self) -> list[Figure]:
        """Both coefficients over b, of every task; and those of layers."""
        lines = []
        for one in self.found:
            by_mean, by_variance = one.curve.coefficients()
            above = one.curve.b > 0
            for name, values in (("λ_E", by_mean), ("λ_H", by_variance)):
                lines.append(Line(f"{name}, {one.name}", one.curve.b[above].tolist(), values[above].tolist()))
        over_b = Figure("Learning coefficient", "b", "λ (bits a halving of the loss)", lines, log_x=True)
        return [over_b, *(_of_layers(one) for one in self.found if one.layers)]

    def sentence(self) -> str:
        """How many bits a halving costs."""
        return " ".join(_told(one) for one in self.found)

    def choices(self) -> Mapping[str, str]:
        """How the chains went."""
        return {one.name: "; ".join(one.curve.at(one.b)[0].receipt.notes) for one in self.found}

    def write(self, folder: Path) -> Mapping[str, str]:
        """No file but the report."""
        return {}


def _of_layers(one: TaskCoefficient) -> Figure:
    found = one.by_layer()
    lower, upper = ([m.value + side * m.stderr for m in found.values()] for side in (-1, 1))
    bars = Bars("λ_E", list(found), [m.value for m in found.values()], lower, upper)
    caption = "One layer moves, all others are held where they are; layers need not add up to the whole."
    return Figure(f"Learning coefficient of layers, {one.name}", "layer", "λ_E", [bars], caption=caption)


def _told(one: TaskCoefficient) -> str:
    by_mean, by_variance = one.curve.at(one.b)[:2]
    doubt = ""
    if Status.NOT_AT_A_MINIMUM in by_mean.status:
        doubt = " The weights are no minimum of the loss: read λ_H, and train on."
    elif Status.NOT_MIXED in by_mean.status:
        doubt = " The chains have not come together: take more steps."
    return (
        f"On {one.name} every halving of the tolerated loss costs {one.model} {by_mean.value:.3g} bits by the mean of "
        f"the loss, {by_variance.value:.3g} by its variance (b = {one.b:.3g}).{doubt}{_told_of_layers(one)}"
    )


def _told_of_layers(one: TaskCoefficient) -> str:
    found = one.by_layer()
    if not found:
        return ""
    places = [max(found, key=lambda name: found[name].value), min(found, key=lambda name: found[name].value)]
    told = " and ".join(f"{found[name].value:.3g} in {name}" for name in dict.fromkeys(places))
    doubtful = [name for name, m in found.items() if m.status]
    doubt = f" Of these {', '.join(doubtful)} can't be trusted yet." if doubtful else ""
    return f" Of one layer that moves while all others are held it is {told}; layers need not add up.{doubt}"
