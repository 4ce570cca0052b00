"""What distillation comes to: the gains of a student by each teacher, share and temperature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from infoscope.figure import Bars, Figure, Line
from infoscope.measurement import Measurement
from infoscope.prequential.codelength import codelength, model_information
from infoscope.prequential.loss_curve import LossCurve
from infoscope.prequential.synced import Teaches
from infoscope.record import Record, Row

CONTROLS: tuple[Teaches, ...] = ("random-labels", "label-smoothing")
"""Teachers that know nothing of the inputs."""

READINGS = {"synced": "bits that the synced code saves", "fresh": "bits more about fresh examples"}


@dataclass(frozen=True)
class Setting:
    """The teacher's name, its share α of the loss, and its temperature T."""

    teacher: str
    alpha: float
    temperature: float


@dataclass(frozen=True)
class Gain:
    """What is found at one setting: the codes of D and of fresh examples, before training and after; accuracies.

    `alone` is the student without a teacher; None for itself.
    """

    setting: Setting
    curves: Sequence[LossCurve]
    untrained: Sequence[LossCurve]
    fresh: Sequence[LossCurve]
    accuracy: Measurement
    teacher_accuracy: Measurement | None = None
    alone: Gain | None = None

    def gains(self) -> dict[str, Measurement]:
        """I, eq. (8), in both readings, nats: paired by order and draws."""
        if self.alone is None:
            return {}
        return {
            "synced": distilled(self.alone.curves, self.curves),
            "fresh": distilled(self.alone.fresh, self.fresh),
        }

    def rows(self, task: str) -> tuple[Row, ...]:
        """All quantities at this setting."""
        at = {"task": task, "teacher": self.setting.teacher, "alpha": self.setting.alpha}
        at |= {"temperature": self.setting.temperature}
        gains = [Row({**at, "reading": reading}, one) for reading, one in self.gains().items()]
        own = [Row(at, codelength(self.curves)), Row(at, model_information(self.untrained, self.fresh))]
        right = [Row({**at, "of": "student"}, self.accuracy)]
        right += [Row({**at, "of": "teacher"}, self.teacher_accuracy)] if self.teacher_accuracy is not None else []
        return (*gains, *own, *right)


def distilled(alone: Sequence[LossCurve], taught: Sequence[LossCurve]) -> Measurement:
    """I(distilled), nats: what the student's code saves by its teacher, eq. (8); curves paired by their seeds.

    A difference of two upper bounds, so no bound itself; a teacher may mislead, and it is negative then.

    >>> a, b = ([LossCurve.from_probabilities([[p, 1 - p]] * 4, [0] * 4)] for p in (0.5, 1.0))
    >>> print(distilled(a, b))
    I(distilled) = 4 bit
    """
    return (codelength(alone) - codelength(taught)).named("I(distilled)")


@dataclass(frozen=True)
class DistillationAnswer:
    """What `Distillation` comes to."""

    task: str
    student: str
    found: tuple[Gain, ...]
    notes: tuple[str, ...]

    @property
    def title(self) -> str:
        """Distillation into the student on the task."""
        return f"Distillation into {self.student} on {self.task}"

    def record(self) -> Record:
        """The gains in both readings, their terms and accuracies, at each setting."""
        return Record.of(row for one in self.found for row in one.rows(self.task))

    def gain(self, teacher: str, alpha: float, temperature: float) -> Gain:
        """What was found at this setting."""
        return next(one for one in self.found if one.setting == Setting(teacher, alpha, temperature))

    def figures(self) -> list[Figure]:
        """For both readings the gain against the teacher's share, or a bar a teacher where there is one share."""
        return [self._figure(reading, label) for reading, label in READINGS.items()]

    def _figure(self, reading: str, label: str) -> Figure:
        taught = [one for one in self.found if one.alone is not None]
        title = f"What the student gains, {reading}"
        lines: dict[str, list[tuple[float, Measurement]]] = {}
        for one in taught:
            name = f"{one.setting.teacher}, T = {one.setting.temperature:g}"
            lines.setdefault(name, []).append((one.setting.alpha, one.gains()[reading]))
        if all(len(points) == 1 for points in lines.values()):
            values = [points[0][1] for points in lines.values()]
            bars = Bars(reading, tuple(lines), [v.bits for v in values], *_band(values))
            return Figure(title, "teacher", label, [bars])
        drawn = []
        for name, points in lines.items():
            points = sorted(points, key=lambda point: point[0])
            x, values = [a for a, _ in points], [v for _, v in points]
            drawn.append(Line(name, x, [v.bits for v in values], *_band(values)))
        return Figure(title, "share α of the teacher", label, drawn, caption="The band is one standard error.")

    def sentence(self) -> str:
        """The largest gain by the synced code, and what it is on fresh examples."""
        taught = [one for one in self.found if one.alone is not None]
        real = [one for one in taught if one.setting.teacher not in CONTROLS]
        if not real:
            return "No teacher was given a share."
        best = max(real, key=lambda one: one.gains()["synced"].value)
        synced, fresh = (best.gains()[reading] for reading in READINGS)
        others = [one for one in taught if one.setting.teacher in CONTROLS and _same(one.setting, best.setting)]
        beside = ", ".join(f"{one.setting.teacher} {_told(one.gains()['synced'])}" for one in others)
        return (
            f"The most is told by {best.setting.teacher} at α = {best.setting.alpha:g}, T = "
            f"{best.setting.temperature:g}: {_told(synced)} of the {synced.receipt.n:,} labels that were learned, and "
            f"{_told(fresh)} of {fresh.receipt.n:,} fresh ones"
            f"{f'; teachers that know nothing: {beside}' if beside else ''}."
        )

    def choices(self) -> Mapping[str, str]:
        """The student, and how the task was parted."""
        return {"Student": self.student, self.task: "; ".join(self.notes)}

    def write(self, folder: Path) -> Mapping[str, str]:
        """No file but the report."""
        return {}


def _same(a: Setting, b: Setting) -> bool:
    """Whether two settings differ by the teacher alone."""
    return (a.alpha, a.temperature) == (b.alpha, b.temperature)


def _told(gain: Measurement) -> str:
    return f"{gain.with_error()} bits"


def _band(values: Sequence[Measurement]) -> tuple[list[float] | None, list[float] | None]:
    """One standard error to both sides, where it is known."""
    errors = [v.stderr_bits for v in values]
    if any(e != e for e in errors):
        return None, None
    return [v.bits - e for v, e in zip(values, errors, strict=True)], [
        v.bits + e for v, e in zip(values, errors, strict=True)
    ]
