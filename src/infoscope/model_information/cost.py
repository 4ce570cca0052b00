"""About how long a look will take, from a trial on a few hundred examples."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from infoscope.data.task import Task
from infoscope.prequential.encode import Coder, encode
from infoscope.training.learner import Learner

TRIAL = 400
"""Examples in a trial."""


def seconds_to_send(task: Task, coder: Coder, learner: Learner | None, n: int) -> float:
    """One coding order of n labels: two trials, and a power law through them."""
    few = min(n, TRIAL // 2), min(n, TRIAL)
    first, second = (_timed(lambda m=m: encode(task[:m], coder, learner, 0)) for m in few)
    power = min(2.0, max(1.0, math.log2(second / first))) if few[0] < few[1] else 1.0
    return second * (n / few[1]) ** power


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
