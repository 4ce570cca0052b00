"""About how long a look will take, from a trial on a few examples."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from infoscope.data.targets import Classes, Labels, Real, Tokens
from infoscope.data.task import Task
from infoscope.data.texts import Texts
from infoscope.ensembles.planning import USUAL_EPOCHS
from infoscope.model_information.budget import flops_of, own_seconds
from infoscope.observation.encoder import Encoder, encoder_layers
from infoscope.observation.pooled import Pooling
from infoscope.prequential.encode import Coder, encode, features_of
from infoscope.prequential.features import Patches, is_images, learn_patches
from infoscope.prequential.frozen import Given
from infoscope.prequential.kernel import Kernel, of_examples
from infoscope.prequential.leave_one_out import leave_one_out, limits
from infoscope.prequential.mixed import Mixed
from infoscope.prequential.replay import Replay
from infoscope.prequential.synced import Synced
from infoscope.training.fit import fit
from infoscope.training.learner import Learner

BUDGET = 0.15
"""Seconds after which a trial is not made larger."""

FIRST = 8
"""Labels of the first trial of a code; of a network's own, which learns thousands of times from the first few, 2."""

STEP = 4
"""Times as large as the one before is the next."""

SLOW = 3.0
"""Times as long as expected takes a trial that is made again, as what it has loaded is there for all others."""

FEW, MANY = 8, 32
"""Examples of the two trials of a pass."""

NEAR = 2
"""Kernels of all examples in `Kernel`."""

LEARNED = 16
"""Images of the trial of a dictionary."""

EXAMPLES = (Classes, Labels, Real)
"""Targets that the inputs are looked at for, an example at a time."""

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
    """One coding order of n labels, from trials of 8, 32, 128 … until one takes `BUDGET` seconds.

    A network's code grows as its steps and passes are reckoned to, others as the last two trials do: those of inputs by
    no more than evenly, but for two things that no small trial shows and that are added: dictionaries of patches, which
    are learned from so many images and no more, and the factoring of kernels, by its count of operations.
    """
    if isinstance(coder, Synced):
        return seconds_to_send(task, coder.student, learner, n) + _seconds_of_teachers(task, coder, learner, n)
    replay = isinstance(coder, Replay) and not isinstance(task.target, Tokens)
    whole, coder = coder, _without_patches(coder)
    few, least = (min(n, 2), min(n, 1)) if replay else (min(n, FIRST), min(n, 2))
    warm = _sending(task, coder, learner, least) / least if n else 0.0  # what only the first pays for
    expected = math.inf if replay else warm * few
    before, now, half = 0.0, _trial(task, coder, learner, few, expected), 0
    while few < n and now < BUDGET:
        half, few = few, min(n, STEP * few)
        before, now = now, _trial(task, coder, learner, few, now * few / half)
    apart = _seconds_of_patches(task, whole, n)
    if few == n:
        return now + apart
    if replay and learner is not None:
        flops = flops_of(learner, task)
        return now * own_seconds(coder, flops, task.x, n) / own_seconds(coder, flops, task.x, few)
    kernels, slope = _kernels(task, coder), max(now - before, 0.0) / (few - half)
    if not kernels:
        power = math.log(now / before) / math.log(few / half) if half and before > 0 else 0.0
        steep = now * (n / few) ** min(1.3, power) if power > 1 else 0.0
        return max(now + slope * (n - few), steep)
    return now + slope * (n - few) + apart + _seconds_of_factors(coder, kernels, n)


class _MixedWithoutPatches(Mixed):
    """The same with dictionaries that are learned from a single image."""

    patches = Patches(sample=1)


def _without_patches(coder: Coder) -> Coder:
    """A coder that sends as fast and learns next to no dictionary."""
    if isinstance(coder, Mixed):
        return _MixedWithoutPatches(coder.features, coder.noisy, coder.soft)
    if isinstance(coder, Kernel):
        return dataclasses.replace(coder, patches=dataclasses.replace(coder.patches, sample=1))
    return coder


def _seconds_of_patches(task: Task, coder: Coder, n: int) -> float:
    """Those of learning the dictionaries of n images, from a trial on a few."""
    if not isinstance(coder, Mixed | Kernel) or not is_images(task.x) or not isinstance(task.target, EXAMPLES):
        return 0.0
    some, most = task[: min(n, LEARNED)].array, list[int]()
    once = _timed(lambda: most.append(learn_patches(some, coder.patches)))
    return once * min(n, *most) / min(len(some), *most)


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
    """Seconds of one; of two where the first is much longer than expected."""
    once = _sending(task, coder, learner, n)
    return once if once < max(BUDGET, SLOW * expected) else min(once, _sending(task, coder, learner, n))


def _seconds_of_factors(coder: Coder, kernels: int, n: int) -> float:
    """Those of the kernels' Cholesky factors, n³/3 operations each; on m landmarks those of their features and what is
    learned of these, 4 n m² (of the kernels of images; others have landmarks of their own).
    """
    preset = coder if isinstance(coder, Kernel) else Kernel()
    each = n * n / 3 if n <= preset.exact else preset.landmarks**2 * (4 if kernels == NEAR else 1 / 3)
    operations = kernels * n * each
    some = torch.eye(FACTORED) + 1 / FACTORED
    torch.linalg.cholesky(some)
    return operations / (FACTORED**3 / 3) * min(_timed(lambda: torch.linalg.cholesky(some)) for _ in range(3))


def _kernels(task: Task, coder: Coder) -> int:
    """How many kernels of all examples a coder factors."""
    if isinstance(task.target, Tokens) or not isinstance(coder, Kernel | Mixed):
        return 0
    return NEAR if isinstance(coder, Kernel) or len(task.shape) == 3 else 8


def _timed(work: Callable[[], object]) -> float:
    start = time.process_time()  # a look has one thread, and others may be at work on this machine
    work()
    return time.process_time() - start
