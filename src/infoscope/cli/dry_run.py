"""`--dry-run`: how many trainings and codes a command would take, and about how long."""

from __future__ import annotations

import json
from dataclasses import dataclass

from infoscope.cli.app import Run
from infoscope.cli.session import cores
from infoscope.cli.wording import duration
from infoscope.data.partition import Partition
from infoscope.data.task import Task
from infoscope.prequential.cost import seconds_to_send, seconds_to_train
from infoscope.prequential.encode import Coder
from infoscope.training.learner import Learner


@dataclass(frozen=True)
class Cost:
    """So many trainings and codes, and the seconds they take together on one process."""

    trainings: int = 0
    codes: int = 0
    seconds: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.trainings + other.trainings, self.codes + other.codes, self.seconds + other.seconds)


def of_codes(task: Task, coder: Coder, learner: Learner | None, orders: int, n: int) -> Cost:
    """Sending n labels in several orders."""
    return Cost(codes=orders, seconds=orders * seconds_to_send(task, coder, learner, n))


def of_knowledge(parts: Partition, coder: Coder, learner: Learner, orders: int) -> Cost:
    """Both terms of eq. (2), and the trainings before them."""
    both = of_codes(parts.coded, coder, learner, 2 * orders, len(parts.coded))
    return both + Cost(orders, seconds=orders * seconds_to_train(parts.train, learner))


def tell(cost: Cost, run: Run) -> None:
    """Say it, in words or as JSON."""
    jobs = min(run.jobs or cores(), max(cost.trainings, cost.codes, 1))
    seconds = cost.seconds / jobs
    if run.json:
        told = {"trainings": cost.trainings, "codes": cost.codes, "seconds": round(seconds, 1), "jobs": jobs}
        print(json.dumps({"dry_run": told}))
    else:
        print(
            f"This takes {cost.trainings or 'no'} trainings and {cost.codes} codes: "
            f"{duration(seconds)} with {jobs} jobs, by a short trial."
        )
