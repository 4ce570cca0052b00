"""The curve over β walked from below and from above: between two kinds of posterior, each walk is caught in its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from infoscope import Task
from infoscope.record import Row
from infoscope.run.question import Stages
from infoscope.training.learner import Learner
from infoscope.weight_information.weights.curve import Point
from infoscope.weight_information.weights.question import WeightInformation


@dataclass(frozen=True)
class BothWays:
    """Posteriors at rising β: from the dearest weights on (up), from the cheapest on (down), and the better of the two.

    `closed` are those in closed form around the trained weights.
    """

    up: tuple[Point, ...]
    down: tuple[Point, ...]
    closed: tuple[Point, ...]

    @property
    def best(self) -> tuple[Point, ...]:
        """At every β the one of lower C."""
        return tuple(min(pair, key=lambda point: point.complexity) for pair in zip(self.up, self.down, strict=True))


def both_ways(
    task: Task, model: Learner | Any, betas: Sequence[float], rows: list[Row], place: dict[str, Any], **options: Any
) -> Stages[BothWays]:
    """Two questions of the weights; their measurements are added to `rows`, at this place."""
    rising, found = sorted(betas), {}
    for walk, first in (("up", rising[0]), ("down", rising[-1])):
        asked = WeightInformation(task, model, beta=first, curve=tuple(b for b in rising if b != first), **options)
        (one,) = (yield from asked.stages("cpu")).found
        found[walk] = {way: one.curve.of(way) for way in ("closed", "rounds")}
        for point in one.curve.points:
            if walk == "down" and point.way == "closed":
                continue
            at = {**place, "walk": walk, "posterior": point.way, "beta": point.beta}
            rows += [Row(at, m) for m in one.curve.measured(point)]
    return BothWays(found["up"]["rounds"], found["down"]["rounds"], found["up"]["closed"])
