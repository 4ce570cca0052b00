"""Tasks as a question is given them: one, several, or their names."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable

from infoscope.data.task import Task

Tasks = Task | str | Iterable[Task | str]


def tasks(data: Tasks) -> tuple[Task, ...]:
    """The tasks, named ones read; a number goes behind a name that another one has too.

    >>> [task.name for task in tasks(["iris", "iris"])]
    ['iris #1', 'iris #2']
    """
    given = [data] if isinstance(data, Task | str) else list(data)
    if not given:
        raise ValueError("no data were given; name one or more data sets, such as digits")
    found = [one if isinstance(one, Task) else Task.from_dataset(one) for one in given]
    times, seen, apart = Counter(task.name for task in found), Counter[str](), []
    for task in found:
        seen[task.name] += 1
        name = task.name if times[task.name] == 1 else f"{task.name} #{seen[task.name]}"
        apart.append(task if name == task.name else dataclasses.replace(task, name=name))
    return tuple(apart)


def training_part(task: Task) -> Task:
    """The examples whose labels are sent: the `train` split where there is one, else all."""
    return task["train"] if "train" in task.splits else task
