"""Tasks as a question is given them: one, several, or their names."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from infoscope.data.task import Task

Tasks = Any
"""A task, or what `Task.of` makes one of (a name, a frame, a pair of arrays …), or a list of such."""


def tasks(data: Tasks) -> tuple[Task, ...]:
    """The tasks, those that are none yet read; a number goes behind a name that another one has too.

    >>> [task.name for task in tasks(["iris", "iris"])]
    ['iris #1', 'iris #2']
    """
    several = isinstance(data, list | tuple) and all(isinstance(one, Task | str) for one in data)
    given = list(data) if several else [data]
    if not given:
        raise ValueError("no data were given; name one or more data sets, such as digits")
    found = [Task.of(one) for one in given]
    times, seen, apart = Counter(task.name for task in found), Counter[str](), []
    for task in found:
        seen[task.name] += 1
        name = task.name if times[task.name] == 1 else f"{task.name} #{seen[task.name]}"
        apart.append(task if name == task.name else dataclasses.replace(task, name=name))
    return tuple(apart)


def training_part(task: Task) -> Task:
    """The examples whose labels are sent: the `train` split where there is one, else all."""
    return task["train"] if "train" in task.splits else task


def measured_part(task: Task) -> Task:
    """The examples that a loss is measured on: the `test` split where there is one, else all."""
    return task["test"] if "test" in task.splits else task


def sample(task: Task, examples: int | None, seed: int) -> Task:
    """So many examples, drawn by the seed, under the same name; all where there are no more.

    >>> len(sample(Task.from_dataset("iris"), 20, seed=0)), len(sample(Task.from_dataset("iris"), None, seed=0))
    (20, 150)
    """
    return task if examples is None or examples >= len(task) else task.shuffled(seed)[:examples]


@dataclass(frozen=True)
class NamedTask:
    """A data set by its name, read when it is asked for, as a name may turn out to stand for something else.

    `asked` are the options of reading that were given.
    """

    name: str
    read: Callable[[], Task]
    asked: tuple[str, ...] = ()


AnyTask = Any
"""A task, a name that stands for one, or what `Task.of` makes one of."""


def task_of(given: AnyTask) -> Task:
    """The task, read if it is none yet."""
    return given.read() if isinstance(given, NamedTask) else Task.of(given)


def check_as_it_is(given: AnyTask, what: str) -> None:
    """ValueError where options say how to read data, and what is named is taken as it is.

    >>> check_as_it_is(NamedTask("layers.npz", lambda: Task.of("iris"), ("--corrupt",)), "a file of features")
    Traceback (most recent call last):
        ...
    ValueError: layers.npz: is a file of features, which is taken as it is; leave out --corrupt
    """
    if isinstance(given, NamedTask) and given.asked:
        raise ValueError(f"{given.name}: is {what}, which is taken as it is; leave out {', '.join(given.asked)}")


def name_of(given: AnyTask) -> str:
    """Its name, without reading it."""
    if isinstance(given, str | PurePath):
        return str(given)
    return given.name if isinstance(given, Task | NamedTask) else type(given).__name__
