"""How many epochs a study measures, and about how long it takes."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

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


def told(schedule: Schedule, epochs: int) -> str:
    """The same in words.

    >>> from infoscope.dynamics.schedule import Every
    >>> told(Every(10), 100)
    '11 of the epochs 0 to 100 are measured.'
    """
    count, guess = expected(schedule, epochs)
    about, why = ("About ", ": the schedule decides while it runs") if guess else ("", "")
    return f"{about}{count:,} of the epochs 0 to {epochs:,} are measured{why}."


def seconds_of_training(learner: Learner, train: Task, study: PlaneStudy) -> float:
    """One training and its measured epochs, by a trial of one epoch on a few examples and of one point."""
    few, epochs = train[:TRIAL], learner.recipe.epochs
    once = dataclasses.replace(learner, recipe=dataclasses.replace(learner.recipe, epochs=1))
    fit(once, few[: learner.recipe.batch])  # what the first step alone pays for
    training = seconds(lambda: fit(once, few)) * len(train) / len(few) * epochs
    network = learner.network(train.shape, train.target.outputs, 0)
    plane_point(study.specification, network)
    point = seconds(lambda: plane_point(study.specification, network))
    return training + point * expected(study.schedule, epochs)[0]


def seconds(work: Callable[[], object]) -> float:
    """How long it takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
