"""The figures of several difficulties: tasks side by side, and one task under growing noise; what label noise costs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from infoscope.data.corruption import CORRUPTIONS, Corruption, Massart
from infoscope.data.task import Task
from infoscope.figure import Bars, Figure, Line
from infoscope.measurement import Measurement

SHOWN = {"L(M,D)": "bits", "accuracy": "share right", "confidence": "lead of the first class"}
"""What is drawn of each task, as in Figures 1 and 3 of "Model Information as an Analysis Tool", and its axis."""


@dataclass(frozen=True)
class Place:
    """A task's name, its noise if it has any, and what was measured, by quantity."""

    name: str
    noise: Corruption | None
    measured: Mapping[str, Measurement]


def noise_of(task: Task) -> Corruption | None:
    """The corruption that a task was made by, whatever part of it this is; None for a task as it came."""
    origins = [task.origin]
    for origin in origins:
        if isinstance(origin.step, tuple(CORRUPTIONS.values())):
            return origin.step
        origins += origin.parents
    return None


def label_noise(wrong: float, classes: int) -> float:
    """h(p) + p log(C − 1), nats a label: what one pays who knows all but which labels are wrong, a share p of them.

    >>> [round(label_noise(p, 10) / math.log(2), 5) for p in (0.05, 0.1, 0.2)]
    [0.44489, 0.78599, 1.35591]
    """
    parts = [(1 - wrong, 1.0), (wrong, classes - 1.0)]
    return sum(-p * math.log(p / ways) for p, ways in parts if p > 0)


def massart_noise(task: Task) -> float | None:
    """Nats a label that `Massart` noise costs who knows the true classes: of what is drawn anew one in C hits."""
    noise = noise_of(task)
    if not isinstance(noise, Massart):
        return None
    return label_noise(noise.level * (1 - 1 / task.classes), task.classes)


def side_by_side(places: Sequence[Place]) -> list[Figure]:
    """A bar a task, for each quantity that all of them have; nothing of a single task."""
    if len(places) < 2:
        return []
    return [_bars(quantity, places) for quantity in SHOWN if all(quantity in one.measured for one in places)]


def against_noise(places: Sequence[Place]) -> list[Figure]:
    """A line a task and kind of noise against its level, for each quantity; nothing where no kind has two levels."""
    lines: dict[str, dict[float, Place]] = {}
    for one in places:
        level = getattr(one.noise, "level", None)
        if one.noise is not None and level is not None:
            base = one.name.partition("~")[0]
            lines.setdefault(f"{base}, {one.noise.kind}", {})[level] = one
    swept = {name: dict(sorted(points.items())) for name, points in lines.items() if len(points) > 1}
    if not swept:
        return []
    return [
        _curves(quantity, swept)
        for quantity in SHOWN
        if all(quantity in one.measured for points in swept.values() for one in points.values())
    ]


def _bars(quantity: str, places: Sequence[Place]) -> Figure:
    found = [one.measured[quantity] for one in places]
    bars = Bars(quantity, [one.name for one in places], [m.printed for m in found], *_band(found))
    return Figure(f"{quantity} of each task", "task", SHOWN[quantity], [bars])


def _curves(quantity: str, swept: Mapping[str, Mapping[float, Place]]) -> Figure:
    lines = []
    for name, points in swept.items():
        found = [one.measured[quantity] for one in points.values()]
        lines.append(Line(name, list(points), [m.printed for m in found], *_band(found)))
    caption = "The band is one standard error."
    return Figure(f"{quantity} as noise grows", "level of noise", SHOWN[quantity], lines, caption=caption)


def _band(found: Sequence[Measurement]) -> tuple[list[float] | None, list[float] | None]:
    """One standard error to both sides, where it is known of all."""
    errors = [m.stderr_bits if m.unit == "nat" else m.stderr for m in found]
    if not all(map(math.isfinite, errors)):
        return None, None
    return (
        [m.printed - e for m, e in zip(found, errors, strict=True)],
        [m.printed + e for m, e in zip(found, errors, strict=True)],
    )
