"""About how long a look at a task by a probe takes, from trials on a few examples."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

from infoscope.data.combine import union
from infoscope.data.targets import Classes
from infoscope.data.task import Task
from infoscope.model_information.cost import PassTime, alike
from infoscope.prequential.closed_form import ClosedForm
from infoscope.prequential.encode import encode
from infoscope.task_space.filter_noise import FilterNoise
from infoscope.task_space.probe import Probe

WIDTH = 64
"""Features of the code that is tried."""


def embedding_time(step: Callable[..., object], task: Task, probe: Probe, way: Any, *rest: Any) -> PassTime:
    """How long `step(task, probe, way, *rest)` takes: by examples, or of trained noise by its steps."""
    same = (*alike(task), probe.learner.factory, way)
    if isinstance(way, FilterNoise):
        return PassTime(
            step, way.steps, same, lambda count: (task, probe, dataclasses.replace(way, steps=max(2, count)), *rest)
        )
    mixed = _every_class_first(task)
    return PassTime(step, len(task), same, lambda count: (mixed[:count], probe, way, *rest))


def trial_time(step: Callable[..., object], task: Task, held_out: Task, expert: Probe, device: str) -> PassTime:
    """How long `step(task, held_out, expert, device)` takes."""
    same = (*alike(task), expert.learner.factory)
    mixed = _every_class_first(union(task, held_out))
    some = lambda count: (mixed[: count // 2], mixed[count // 2 : count], expert, device)  # noqa: E731
    return PassTime(step, len(mixed), same, some)


@dataclass(frozen=True)
class CodeTime:
    """How long a head in closed form takes to send a task's labels, and the probe to look at its inputs."""

    passes: PassTime
    n: int
    outputs: int

    @classmethod
    def of(cls, look: Callable[..., object], task: Task, probe: Probe, device: str) -> CodeTime:
        """Of `look(task, probe, device)` and the code."""
        same = (str(task.shape), probe.learner.factory)
        passes = PassTime(look, len(task), same, lambda count: (task[:count], probe, device))
        return cls(passes, len(task), task.target.outputs if isinstance(task.target, Classes) else 2)

    def __call__(self) -> float:
        """Seconds."""
        return self.passes() + _code_seconds(self.n, self.outputs)


@cache
def _code_seconds(n: int, outputs: int) -> float:
    """Of as many labels that nothing tells."""
    draws = torch.Generator().manual_seed(0)
    y = torch.arange(n) % max(2, outputs)
    task = Task.from_arrays(torch.randn(n, WIDTH, generator=draws), y, as_is=True)
    start = time.perf_counter()
    encode(task, ClosedForm(), None, 0)
    return time.perf_counter() - start


def _every_class_first(task: Task) -> Task:
    """The same examples, one of each class before the others, so that a few are of several classes."""
    if not isinstance(task.target, Classes):
        return task
    seen, first, rest = set[int](), list[int](), list[int]()
    for i, label in enumerate(task.labels.tolist()):
        (rest if label in seen else first).append(i)
        seen.add(label)
    return task[[*first, *rest]]
