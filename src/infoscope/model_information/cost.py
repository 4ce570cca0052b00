"""About how long a look will take, from a trial on a few examples."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from infoscope.data.targets import Classes, Tokens
from infoscope.data.task import Task
from infoscope.data.texts import Texts
from infoscope.ensembles.planning import USUAL_EPOCHS
from infoscope.observation.encoder import Encoder, encoder_layers
from infoscope.observation.pooled import Pooling
from infoscope.prequential.encode import Coder, encode, features_of
from infoscope.prequential.frozen import Given
from infoscope.prequential.kernel import Kernel, of_examples
from infoscope.prequential.leave_one_out import leave_one_out, limits
from infoscope.prequential.mixed import Mixed
from infoscope.prequential.replay import Replay
from infoscope.prequential.synced import Synced
from infoscope.training.fit import fit
from infoscope.training.learner import Learner

BUDGET = 0.25
"""Seconds after which a trial is not made larger."""

STEP = 4
"""Times as large as the one before is the next trial of a code."""

FEW, MANY = 8, 32
"""Examples of the two trials of a pass."""

LEFT_OUT = 256
"""Examples of the trial of regressions that leave each out."""

FACTORED = 1000
"""Rows of the matrix that is factored once, to learn how fast this machine is at it."""


def alike(task: Task) -> tuple[Any, ...]:
    """What is equal of tasks of which an example takes equally long, whatever its label."""
    sized = not isinstance(task.x, Texts) and isinstance(task.target, Classes)
    return (str(task.shape), task.classes) if sized else (task.input_fingerprint, task.target)


@dataclass(frozen=True)
class PassTime:
    """How long it takes to look at n examples one after another; equal where step, n and `same` are.

    `some` gives the arguments of the step for the first so many examples.
    """

    step: Callable[..., object]
    n: int
    same: tuple[Any, ...]
    some: Callable[[int], tuple[Any, ...]] = field(compare=False)

    @classmethod
    def of(cls, step: Callable[..., object], task: Task, learner: Learner, *rest: Any) -> PassTime:
        """Of `step(task, learner, *rest)`; where the learner starts does not count."""
        bare = dataclasses.replace(learner, weights=None)
        return cls(step, len(task), (*alike(task), bare), lambda count: (task[:count], bare, *rest))

    def __call__(self) -> float:
        """Seconds, from a few examples and from some more."""
        few, many = min(FEW, self.n), min(MANY, self.n)
        self.step(*self.some(few))  # what only the first pays for
        least, most = (_timed(lambda count=count: self.step(*self.some(count))) for count in (few, many))
        return most + max(most - least, 0.0) * (self.n - many) / max(many - few, 1)


def encoder_time(encoder: Encoder, texts: Texts, layers: tuple[str, ...], pooling: Pooling = "mean") -> PassTime:
    """How long an encoder takes for these texts."""
    words = tuple(texts.words())
    return PassTime(
        encoder_layers, len(words), (encoder, words), lambda count: (encoder, words[:count], layers, pooling, None)
    )


@dataclass(frozen=True)
class LeftOutTime:
    """How long it takes to leave every example out: by some examples, and the inverses by their operations."""

    task: Task
    features: Any
    seed: int

    def __call__(self) -> float:
        """Seconds; an inverse takes n³ operations, a projection on m landmarks 2 n m²."""
        n, few = len(self.task), min(len(self.task), LEFT_OUT)
        kernels = 0

        def some() -> None:
            nonlocal kernels
            kernels = len(leave_one_out(self.task[:few], self.features, self.seed).means)

        each = _timed(some) / few
        matrix = torch.eye(FACTORED, dtype=torch.float64) + 1 / FACTORED
        inverse = min(_timed(lambda: torch.cholesky_inverse(torch.linalg.cholesky(matrix))) for _ in range(2))
        exact, landmarks = limits(self.task.x, of_examples(self.task.target))
        operations = n**3 if n <= exact else 2 * n * landmarks**2
        return each * n + kernels * operations / FACTORED**3 * inverse


@dataclass(frozen=True)
class LearningTime:
    """How long a learner takes for a task; equal for equal work. `stops` says that a training may end early."""

    learner: Learner
    task: Task = field(compare=False)
    stops: bool
    n: int
    same: tuple[Any, ...]

    @classmethod
    def of(cls, learner: Learner, task: Task, stops: bool = False) -> LearningTime:
        """Of a training on a task, whatever its labels, and wherever it starts."""
        return cls(dataclasses.replace(learner, weights=None), task, stops, len(task), alike(task))

    def __call__(self) -> float:
        """Seconds, from one epoch on some of the examples."""
        return seconds_to_learn(self.learner, self.task, len(self.task), self.stops)


def seconds_to_learn(learner: Learner, task: Task, examples: int, stops: bool = False) -> float:
    """Trainings on so many examples in all, from one epoch on a few of the task's; those that stop early are usual."""
    recipe = learner.recipe
    few = task[: min(4 * recipe.batch, len(task))]
    one_epoch = dataclasses.replace(learner, recipe=dataclasses.replace(recipe, epochs=1))
    fit(one_epoch, few[:FEW])  # what only the first pays for
    once = _timed(lambda: fit(one_epoch, few))
    early = stops and recipe.patience is not None
    return once * (min(recipe.epochs, USUAL_EPOCHS) if early else recipe.epochs) * examples / len(few)


def seconds_to_send(task: Task, coder: Coder, learner: Learner | None, n: int) -> float:
    """One coding order of n labels, from trials of 8, 32, 128 … until one takes `BUDGET` seconds, and again.

    A network's code grows with its gradients, others as the last two trials do, that of tables by no more than evenly,
    as trees are fitted ever more seldom; what grows with a power of n that no small trial shows, the factoring of
    kernels, is added by its count of operations.
    """
    if isinstance(coder, Synced):
        return seconds_to_send(task, coder.student, learner, n) + _seconds_of_teachers(task, coder, learner, n)
    few, least = min(n, 8), min(n, 2)
    warm = _sending(task, coder, learner, least) / least if n else 0.0  # what only the first pays for
    before, now, half = 0.0, _trial(task, coder, learner, few, warm * few), 0
    while few < n and now < BUDGET:
        half, few = few, min(n, STEP * few)
        before, now = now, _trial(task, coder, learner, few, now * few / half)
    if few == n:
        return now
    if isinstance(coder, Replay) and not isinstance(task.target, Tokens):
        return now * coder.gradients(n) / coder.gradients(few)
    slope = max(now - before, 0.0) / (few - half)
    power = math.log(now / before) / math.log(few / half) if half and before > 0 else 0.0
    steep = now * (n / few) ** min(1.3, power) if power > 1 and not _of_tables(task, coder) else 0.0
    return max(now + slope * (n - few), steep) + _seconds_of_factors(task, coder, n)


def _seconds_of_teachers(task: Task, coder: Synced, learner: Learner | None, n: int) -> float:
    """Those of all trainings of the teacher, each on a prefix that has grown enough."""
    if not coder.alpha or coder.teaches == "label-smoothing" or n < coder.first:
        return 0.0
    teacher = coder.teacher or (learner and dataclasses.replace(learner, recipe=coder.recipe))
    if teacher is None:
        return 0.0
    trainings = int(math.log(n / coder.first) / math.log(coder.refit))
    learned = coder.first * sum(coder.refit**i for i in range(trainings + 1)) * (1 - coder.held_out)
    return seconds_to_learn(teacher, task[:n], int(learned), stops=coder.held_out > 0)


def _sending(task: Task, coder: Coder, learner: Learner | None, n: int) -> float:
    given: Any = coder
    if isinstance(features := features_of(coder), Given):
        given = dataclasses.replace(given, features=Given(features.values[:n]))
    return _timed(lambda: encode(task[:n], given, learner, 0))


def _trial(task: Task, coder: Coder, learner: Learner | None, n: int, expected: float) -> float:
    """Seconds of one; of two where the first is longer than expected, as what it has loaded is there for all others."""
    once = _sending(task, coder, learner, n)
    return once if once < max(BUDGET, 1.5 * expected) else min(once, _sending(task, coder, learner, n))


def _of_tables(task: Task, coder: Coder) -> bool:
    return isinstance(coder, Mixed) and isinstance(task.shape, tuple) and len(task.shape) == 1


def _seconds_of_factors(task: Task, coder: Coder, n: int) -> float:
    """Those of the kernels' Cholesky factors and the products with them, n³/3 operations each."""
    preset = coder if isinstance(coder, Kernel) else Kernel()
    operations = _kernels(task, coder) * n * min(n, preset.exact if n <= preset.exact else preset.landmarks) ** 2 / 3
    if not operations:
        return 0.0
    some = torch.eye(FACTORED) + 1 / FACTORED
    torch.linalg.cholesky(some)
    return operations / (FACTORED**3 / 3) * min(_timed(lambda: torch.linalg.cholesky(some)) for _ in range(3))


def _kernels(task: Task, coder: Coder) -> int:
    """How many kernels of all examples a coder factors."""
    if isinstance(task.target, Tokens) or not isinstance(coder, Kernel | Mixed):
        return 0
    return 2 if isinstance(coder, Kernel) or len(task.shape) == 3 else 8


def _timed(work: Callable[[], object]) -> float:
    start = time.process_time()  # a look has one thread, and others may be at work on this machine
    work()
    return time.process_time() - start
