"""A question as a value: stage by stage it says what it needs, and from what it is sent it makes its answer.

Whoever runs it does what a stage asks for, keeps it, and sends it back; a dry run counts it and sends stand-ins.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

from infoscope.figure import Figure, Gallery
from infoscope.record import Record, Row
from infoscope.run.context import RunContext


@dataclass(frozen=True)
class Cost:
    """How many units of each kind ("trainings", "codes"), the seconds that they take on one process, and remarks.

    `trials` are seconds that are still to be measured, with how often they are needed; equal ones are one trial.
    `memory` is how many bytes the largest unit fills at most, 0 where none says.
    """

    units: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    remarks: tuple[str, ...] = ()
    trials: Mapping[Callable[[], float], int] = field(default_factory=dict)
    memory: int = 0

    def __add__(self, other: Cost) -> Cost:
        units = dict(Counter(self.units) + Counter(other.units))
        trials = dict(Counter(self.trials) + Counter(other.trials))
        memory = max(self.memory, other.memory)
        return Cost(units, self.seconds + other.seconds, self.remarks + other.remarks, trials, memory)

    def measured(self) -> Cost:
        """The same after the trials."""
        seconds = self.seconds + sum(trial() * count for trial, count in self.trials.items())
        return Cost(self.units, seconds, self.remarks, memory=self.memory)


class Request(Protocol):
    """What a stage needs: looks, trainings."""

    def take(self, context: RunContext) -> Any:
        """Do it, or read what is kept of it."""
        ...

    def units(self) -> Mapping[str, int]:
        """How many units of each kind it is, known without doing anything."""
        ...

    def cost(self, context: RunContext) -> Cost:
        """What it would take, by a short trial, or with the trial that would tell."""
        ...

    def stand_in(self) -> Any:
        """A value of the form that `take` gives, made at once: what a dry run goes on with."""
        ...


class Answer(Protocol):
    """What a question comes to; reports see nothing else."""

    @property
    def title(self) -> str:
        """A heading for it."""
        ...

    def record(self) -> Record:
        """All measurements."""
        ...

    def figures(self) -> Sequence[Figure | Gallery]:
        """What is drawn of it."""
        ...

    def sentence(self) -> str:
        """The result as a person wants to read it."""
        ...

    def choices(self) -> Mapping[str, str]:
        """What was chosen for the caller, and what was left out."""
        ...

    def write(self, folder: Path) -> Mapping[str, str]:
        """Write the files besides the report, those that name no place to `folder`; what they are, and where."""
        ...


@runtime_checkable
class Unfinished(Protocol):
    """An answer that may have broken off: `stopped` says why, empty where it is whole."""

    @property
    def stopped(self) -> str:
        """What could not be measured."""
        ...


A_co = TypeVar("A_co", bound=Answer, covariant=True)
A = TypeVar("A", bound=Answer)
R = TypeVar("R")

Stages = Generator[Request, Any, R]
"""Yields what it needs, is sent what came of it, and returns the answer."""


class Question(Protocol[A_co]):
    """A frozen value whose fields are its options. Asking it twice gives the same answer."""

    def stages(self, device: str = "cpu") -> Generator[Request, Any, A_co]:
        """What is needed, one request a stage, and in the end the answer. Bad options raise before the first."""
        ...


@dataclass(frozen=True)
class Rows:
    """Not a need but news: measurements that are already made, which a run shows and keeps while the rest goes on."""

    rows: tuple[Row, ...]

    def take(self, context: RunContext) -> None:
        """Tell whoever listens."""
        if context.on_rows is not None:
            context.on_rows(self.rows)

    def units(self) -> Mapping[str, int]:
        """None."""
        return {}

    def cost(self, context: RunContext) -> Cost:
        """Nothing."""
        return Cost()

    def stand_in(self) -> None:
        """Nothing is sent back."""


def ask(question: Question[A], context: RunContext = RunContext()) -> A:
    """The answer; what the context's store has already is not done again."""
    return walk(question.stages(context.device), context)


def walk(stages: Generator[Request, Any, R], context: RunContext = RunContext()) -> R:
    """Do what the stages ask for, one after another; what they return."""
    came: Any = None
    while True:
        try:
            request = stages.send(came)
        except StopIteration as end:
            return end.value
        came = request.take(context)


def requests(question: Question[Any], device: str = "cpu") -> list[Request]:
    """All that a question needs, found by walking through it with stand-ins: nothing is trained, hooked or sent."""
    stages = question.stages(device)
    found: list[Request] = []
    came: Any = None
    while True:
        try:
            found.append(stages.send(came))
        except StopIteration:
            return found
        came = found[-1].stand_in()


def units(question: Question[Any], device: str = "cpu") -> Counter[str]:
    """How many units of each kind a question is."""
    return sum((Counter(request.units()) for request in requests(question, device)), Counter())


def cost(question: Question[Any], context: RunContext = RunContext()) -> Cost:
    """What a question would take, by short trials: one for all that takes equally long, in whatever stages it is."""
    return sum((request.cost(context) for request in requests(question, context.device)), Cost()).measured()
