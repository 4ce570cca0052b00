"""Algorithms of continual learning: what each keeps of tasks that were learned, and adds to the loss of the next."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Protocol

from torch import Tensor

from infoscope.data.targets import Classes, Tokens
from infoscope.data.task import Task
from infoscope.options import above_zero, at_least
from infoscope.training.learner import Weights
from infoscope.training.penalties import Anchored, Distilled, Memory, Rehearsed, Together
from infoscope.training.recipe import Loss, Penalty

Importance = Literal["", "fisher", "path"]
"""What an algorithm asks of a task that was learned: nothing, the Fisher information of the weights, or what each of
them did on the way."""


@dataclass(frozen=True, eq=False)
class Lesson:
    """What there is of a task when it has been learned.

    Its examples, the `columns` of the outputs that are its own, the loss of these, the `weights` then, and how much
    each mattered, by Fisher information and by what it did on its `path`, as far as it was asked for.
    """

    task: Task
    columns: tuple[int, int]
    loss: Loss
    weights: Weights
    fisher: Mapping[str, Tensor] = field(default_factory=dict)
    path: Mapping[str, Tensor] = field(default_factory=dict)
    converged: bool = True


class Algorithm(Protocol):
    """How a network is kept from forgetting.

    `asks` is what it wants to know of the weights of a task that was learned. `candidates` are the strengths among
    which one is chosen where `strength` is None; without any there is nothing to choose.
    """

    asks: ClassVar[Importance]
    candidates: ClassVar[tuple[float, ...]]

    @property
    def strength(self) -> float | None:
        """How hard it holds on to the past."""
        ...

    def penalty(self, lessons: Sequence[Lesson]) -> Penalty | None:
        """What is added to the loss of the next task."""
        ...


def _check_strength(algorithm: Algorithm) -> None:
    if algorithm.strength is not None:
        at_least(algorithm, "strength", 0)


def _chosen(algorithm: Algorithm) -> float:
    if algorithm.strength is None:
        raise ValueError(f"{algorithm} has no strength yet; give it one")
    return algorithm.strength


def _times(importance: Mapping[str, Tensor], factor: float) -> dict[str, Tensor]:
    return {name: factor * t for name, t in importance.items()}


@dataclass(frozen=True)
class Plain:
    """Fine-tuning: nothing is kept."""

    asks: ClassVar[Importance] = ""
    candidates: ClassVar[tuple[float, ...]] = ()

    @property
    def strength(self) -> float | None:
        """None: there is nothing to weigh."""
        return None

    def penalty(self, lessons: Sequence[Lesson]) -> Penalty | None:
        """None."""
        return None


@dataclass(frozen=True)
class EWC:
    """Elastic weight consolidation (Kirkpatrick et al. 2017): ½ λ Σ_t Σ_j F_tj (θ_j − θ_tj)².

    θ_t are the weights at the end of task t, F_t the diagonal of the Fisher information there, a mean over examples.
    """

    strength: float | None = None
    asks: ClassVar[Importance] = "fisher"
    candidates: ClassVar[tuple[float, ...]] = (10.0, 100.0, 1e3, 1e4)

    def __post_init__(self) -> None:
        _check_strength(self)

    def penalty(self, lessons: Sequence[Lesson]) -> Penalty | None:
        """An anchor for each task."""
        return Together(tuple(Anchored(one.weights, _times(one.fisher, _chosen(self))) for one in lessons))


@dataclass(frozen=True)
class SI:
    """Synaptic intelligence (Zenke, Poole & Ganguli 2017): c Σ_j Ω_j (θ_j − θ*_j)².

    θ* are the weights after the last task; Ω is summed over tasks: by how much a weight lowered the loss on its way,
    over the square of how far it went plus `damping`.
    """

    strength: float | None = None
    damping: float = 0.1
    asks: ClassVar[Importance] = "path"
    candidates: ClassVar[tuple[float, ...]] = (1.0, 10.0, 100.0, 1e3)

    def __post_init__(self) -> None:
        _check_strength(self)
        above_zero(self, "damping")

    def penalty(self, lessons: Sequence[Lesson]) -> Penalty | None:
        """One anchor, by all that was done."""
        total = dict(lessons[0].path)
        for one in lessons[1:]:
            total = {name: t + one.path[name] for name, t in total.items()}
        return Anchored(lessons[-1].weights, _times(total, 2 * _chosen(self)))


@dataclass(frozen=True)
class LwF:
    """Learning without forgetting (Li & Hoiem 2017): what was said of the new inputs before is still to be said.

    λ times the divergence from it at a `temperature`, summed over the heads of earlier tasks.
    """

    strength: float | None = None
    temperature: float = 2.0
    asks: ClassVar[Importance] = ""
    candidates: ClassVar[tuple[float, ...]] = (0.3, 1.0, 3.0, 10.0)

    def __post_init__(self) -> None:
        _check_strength(self)
        above_zero(self, "temperature")

    def penalty(self, lessons: Sequence[Lesson]) -> Penalty | None:
        """The outputs of earlier tasks are distilled; of classes and tokens alone."""
        for one in lessons:
            if not isinstance(one.task.target, Classes | Tokens):
                raise ValueError(
                    f"lwf distils probabilities, and {one.task.name!r} has {one.task.target}; leave it out"
                )
        return Distilled(tuple(dict.fromkeys(one.columns for one in lessons)), _chosen(self), self.temperature)


@dataclass(frozen=True)
class Rehearsal:
    """Rehearsal, or experience replay (Ratcliff 1990): the losses on earlier tasks are brought down too.

    The first `examples` of each training set are kept; every step draws `batch` of them, as many from each task.
    """

    examples: int = 200
    batch: int = 64
    asks: ClassVar[Importance] = ""
    candidates: ClassVar[tuple[float, ...]] = ()

    @property
    def strength(self) -> float | None:
        """None: there is nothing to weigh."""
        return None

    def __post_init__(self) -> None:
        at_least(self, "examples", 1)
        at_least(self, "batch", 1)

    def penalty(self, lessons: Sequence[Lesson]) -> Penalty | None:
        """The memories of all earlier tasks."""
        kept = tuple(Memory(one.task[: min(self.examples, len(one.task))], one.loss) for one in lessons)
        return Rehearsed(kept, self.batch)


ALGORITHMS: dict[str, Algorithm] = {
    "plain": Plain(),
    "ewc": EWC(),
    "si": SI(),
    "lwf": LwF(),
    "rehearsal": Rehearsal(),
}
"""The algorithms by the name that `--algorithm` takes."""


def candidates(algorithm: Algorithm) -> tuple[Algorithm, ...]:
    """What is to be tried: the algorithm itself where its strength is given or it has none.

    >>> [one.strength for one in candidates(EWC())], candidates(EWC(5.0)), candidates(Plain())
    ([10.0, 100.0, 1000.0, 10000.0], (EWC(strength=5.0),), (Plain(),))
    """
    if algorithm.strength is not None or not algorithm.candidates:
        return (algorithm,)
    return tuple(dataclasses.replace(algorithm, strength=s) for s in algorithm.candidates)  # pyright: ignore[reportArgumentType]
