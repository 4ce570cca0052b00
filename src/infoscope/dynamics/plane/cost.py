"""How many epochs a study measures, and about how long it takes."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from infoscope.data.task import Task
from infoscope.dynamics.plane.point import PlanePoint, plane_point
from infoscope.dynamics.plane.specification import PlaneSpecification, PlaneStudy
from infoscope.dynamics.schedule import DeltaSkipApproximate, DeltaSkipExact, Schedule, distance
from infoscope.training.fit import Moment, fit
from infoscope.training.learner import Learner, Weights, copy_weights

SHARE = 0.03
"""Of the epochs of a long run that delta skip measures: 1.5 to 13 % in `studies/delta_skip.py`, as delta goes."""

FEWEST = 15
"""Epochs that it measures of a short one, about."""

TRIAL = 2000
"""Examples of the epochs that are tried, at most."""

TRIED = 8
"""Epochs that are tried."""

BUDGET = 0.5
"""Seconds in which they are trained, about."""


def expected(schedule: Schedule, epochs: int, drift: float | None = None) -> tuple[int, bool]:
    """How many of the states 0 … epochs a schedule measures, and whether that is a guess.

    The plane is taken to move as what diffuses, p(t) ≈ `drift` · √t, so its steps fall below delta at √t* = drift /
    2 delta. Until then delta skip measures every epoch, and from there on (drift / delta) (√epochs − √t*) of them.

    >>> from infoscope.dynamics.schedule import Every
    >>> expected(Every(10), 100), expected(DeltaSkipExact(), 8000), expected(DeltaSkipExact(0.01), 200, drift=0.1)
    ((11, False), (240, True), (116, True))
    """
    if isinstance(schedule, DeltaSkipExact | DeltaSkipApproximate):
        count = SHARE * epochs
        if drift is not None:
            pace = drift / schedule.delta
            turn = (pace / 2) ** 2
            count = turn + pace * (epochs**0.5 - turn**0.5) if epochs > turn else epochs + 1
        return min(epochs + 1, max(FEWEST, round(count))), True
    run, count = schedule.start(), 0
    while wanted := run.wanted(epochs, True):
        for state in wanted:
            run.update(state, ())
            count += 1
    return count, False


def told(schedule: Schedule, epochs: int, drift: float | None = None) -> str:
    """The same in words.

    >>> from infoscope.dynamics.schedule import Every
    >>> told(Every(10), 100)
    '11 of the epochs 0 to 100 are measured.'
    """
    count, guess = expected(schedule, epochs, drift)
    about, why = ("About ", ": the schedule decides while it runs") if guess else ("", "")
    return f"{about}{count:,} of the epochs 0 to {epochs:,} are measured{why}."


@dataclass(frozen=True)
class TrainingCost:
    """What one training takes: the seconds of an epoch and of a point, and how far the plane moves (see `expected`)."""

    epoch: float
    point: float
    drift: float

    def seconds(self, schedule: Schedule, epochs: int) -> float:
        """All epochs, and those of them that the schedule measures."""
        return self.epoch * epochs + self.point * expected(schedule, epochs, self.drift)[0]


def tried(learner: Learner, train: Task, study: PlaneStudy) -> TrainingCost:
    """What a training takes, by a few epochs on a few examples, after which the plane is measured twice."""
    batch, specification = learner.recipe.batch, study.specification
    once = dataclasses.replace(learner, recipe=dataclasses.replace(learner.recipe, epochs=1, patience=None))
    fit(once, train[:batch])  # what the first step alone pays for
    step = seconds(lambda: fit(once, train[:batch]))
    few = train[: min(TRIAL, max(2, int(BUDGET / TRIED / step)) * batch)]
    several = dataclasses.replace(once, recipe=dataclasses.replace(once.recipe, epochs=TRIED))
    seen = _Seen()
    epoch = seconds(lambda: fit(several, few, observers=[seen])) / TRIED * len(train) / len(few)
    network = learner.network(train.shape, train.target.outputs, 0)
    points = []
    point = math.nan
    for weights in seen.weights:
        network.load_state_dict(dict(weights))
        start = time.perf_counter()
        points.append(_scaled(plane_point(specification, network), specification))
        point = time.perf_counter() - start
    return TrainingCost(epoch, point, distance(*points) / (TRIED**0.5 - (TRIED // 2) ** 0.5))


@dataclass
class _Seen:
    """An observer that keeps the weights after half of the tried epochs and after all."""

    weights: list[Weights] = field(default_factory=list)

    def observe(self, moment: Moment) -> None:
        if moment.end_of_epoch and moment.epoch + 1 in (TRIED // 2, TRIED):
            self.weights.append(copy_weights(moment.network))


def _scaled(point: PlanePoint, specification: PlaneSpecification) -> list[float]:
    """In units of H(X) and H(Y), as a schedule sees it."""
    scaled = ((one, *specification.scales[one.side]) for one in point.layers)
    return [value for one, h_x, h_y in scaled for value in (one.x_t.value / h_x, one.t_y.value / h_y)]


def seconds(work: Callable[[], object]) -> float:
    """How long it takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
