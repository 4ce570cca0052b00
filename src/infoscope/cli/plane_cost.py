"""`infoscope plane --dry-run`: how many trainings, epochs and measured epochs, and about how long."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass

from infoscope.data.task import Task
from infoscope.dynamics.plane_point import plane_point
from infoscope.dynamics.schedule import DeltaSkipApproximate, DeltaSkipExact, Schedule
from infoscope.dynamics.specification import PlaneStudy
from infoscope.training.fit import fit
from infoscope.training.learner import Learner

SHARE = 0.03
"""Of the epochs of a long run that delta skip measures: 1.5 to 13 % in `studies/delta_skip.py`, as delta goes."""

FEWEST = 15
"""Epochs that it measures of a short one, about."""

TRIAL = 2000
"""Examples of the epoch that is tried."""


@dataclass(frozen=True)
class Cost:
    """So many trainings of so many epochs, measured epochs over all of them, and seconds on one process.

    `decided` says that the schedule chooses while it runs, so that `measured` is a guess.
    """

    trainings: int = 0
    epochs: int = 0
    measured: int = 0
    decided: bool = False
    seconds: float = 0.0


def of_training(
    schedule: Schedule,
    epochs: int,
    point: Callable[[], object] | None,
    learner: Learner | None = None,
    train: Task | None = None,
    study: PlaneStudy | None = None,
    trainings: int = 0,
) -> Cost:
    """The cost of trainings that are studied; of measuring alone, by `point`, where there is no learner."""
    measured, decided = expected(schedule, epochs)
    seconds = 0.0
    if learner is not None and train is not None and study is not None:
        few = train[:TRIAL]
        once = dataclasses.replace(learner, recipe=dataclasses.replace(learner.recipe, epochs=1))
        fit(once, few[: learner.recipe.batch])  # what the first step alone pays for
        seconds = _timed(lambda: fit(once, few)) * len(train) / len(few) * epochs
        network = learner.network(train.shape, train.classes, 0)
        point = lambda: plane_point(study.specification, network)  # noqa: E731
    if point is not None:
        point()
        seconds += _timed(point) * measured
    runs = max(trainings, 1)
    return Cost(trainings, epochs if trainings else 0, measured * runs, decided, seconds * runs)


def expected(schedule: Schedule, epochs: int) -> tuple[int, bool]:
    """How many of the states 0 … epochs a schedule measures, and whether that is a guess.

    >>> from infoscope.dynamics.schedule import Every
    >>> expected(Every(10), 100), expected(DeltaSkipExact(), 8000)
    ((11, False), (240, True))
    """
    if isinstance(schedule, DeltaSkipExact | DeltaSkipApproximate):
        return min(epochs + 1, max(FEWEST, round(SHARE * epochs))), True
    run, count = schedule.start(), 0
    while wanted := run.wanted(epochs, True):
        for state in wanted:
            run.update(state, ())
            count += 1
    return count, False


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
