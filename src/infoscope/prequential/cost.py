"""About how long a look will take, from a trial on a few hundred examples."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable

from infoscope.data.task import Task
from infoscope.prequential.encode import Coder, send
from infoscope.training.fit import fit
from infoscope.training.learner import Learner

TRIAL = 400
"""Examples in a trial."""

USUAL_EPOCHS = 30
"""Epochs after which early stopping has usually ended a training."""


def seconds_to_send(task: Task, coder: Coder, learner: Learner | None, n: int) -> float:
    """One coding order of n labels: two trials, and a power law through them."""
    few = min(n, TRIAL // 2), min(n, TRIAL)
    first, second = (_timed(lambda m=m: send(task[:m], coder, learner, 0)) for m in few)
    power = min(2.0, max(1.0, math.log2(second / first))) if few[0] < few[1] else 1.0
    return second * (n / few[1]) ** power


def seconds_to_train(task: Task, learner: Learner) -> float:
    """One training with early stopping: an epoch on a few examples, scaled to all and to the usual epochs."""
    epoch = Learner(learner.factory, dataclasses.replace(learner.recipe, epochs=1), learner.weights)
    few = task[: min(len(task), TRIAL)]
    return _timed(lambda: fit(epoch, few)) * len(task) / len(few) * min(learner.recipe.epochs, USUAL_EPOCHS)


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
