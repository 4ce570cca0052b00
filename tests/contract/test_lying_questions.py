"""Each way in which a question can lie about what it needs or does breaks its contract, where it does."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Annotated, Any

import pytest

from infoscope.data.task import Task
from infoscope.model_information.codelength import Codelength, CodelengthAnswer
from infoscope.options import AtLeast
from infoscope.record import Record, Row
from infoscope.run.context import RunContext
from infoscope.run.question import Request, Stages
from infoscope.testing import check_question

IRIS = Task.from_dataset("iris")[:30]


@dataclass(frozen=True)
class Honest(Codelength):
    """In how few bits can these labels be sent?

    Attributes
    ----------
    data
        The data sets.
    coder
        How they are sent.
    model
        The network of such a coder.
    replicates
        Coding orders.
    seed
        The first of their seeds.
    examples
        The first so many.
    write
        A file of labels.
    per_example
        A file of code lengths.
    features
        What a frozen network says of the inputs.
    """

    data: Any = IRIS
    replicates: Annotated[int, AtLeast(1)] = 2

    def stages(self, device: str = "cpu") -> Stages[Any]:
        """Those of the codelength, each need and the answer as this class will have them."""
        stages, came = super().stages(device), None
        while True:
            try:
                request = stages.send(came)
            except StopIteration as end:
                return self.answer(end.value)
            came = yield self.need(request)

    def need(self, request: Request) -> Request:
        return request

    def answer(self, honest: CodelengthAnswer) -> Any:
        return honest


@dataclass(frozen=True)
class Need:
    """A need that is passed on."""

    honest: Request

    def take(self, context: RunContext) -> Any:
        return self.honest.take(context)

    def units(self) -> Mapping[str, int]:
        return self.honest.units()

    def cost(self, context: RunContext) -> Any:
        return self.honest.cost(context)

    def stand_in(self) -> Any:
        return self.honest.stand_in()


class Uncounted(Need):
    def units(self) -> Mapping[str, int]:
        return {kind: n - 1 for kind, n in self.honest.units().items()}


class NoStandIn(Need):
    def stand_in(self) -> Any:
        return None


class OtherWhereKept(Need):
    def take(self, context: RunContext) -> Any:
        found = self.honest.take(context)
        return found if context.store is None or not found else found[::-1]


class Drawing(Need):
    def take(self, context: RunContext) -> Any:
        random.random()
        return self.honest.take(context)


@dataclass(frozen=True)
class Answered:
    """An answer with something else in its place."""

    honest: CodelengthAnswer
    rest: Mapping[str, Any] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Any:
        rest = object.__getattribute__(self, "rest")
        return rest[name] if name in rest else getattr(object.__getattribute__(self, "honest"), name)


def rows(record: Record, **coordinates: Any) -> Record:
    return Record.of(Row(row.coordinates | coordinates, row.measurement) for row in record)


def renamed(record: Record) -> Record:
    return Record.of(Row(row.coordinates, row.measurement.named("my quantity")) for row in record)


CALLS = count()


def lying(need: type[Need] | None = None, **answer: Any) -> type[Honest]:
    """A question whose needs or answer are of this sort."""

    class Liar(Honest):
        __doc__ = Honest.__doc__

        def need(self, request: Request) -> Request:
            return need(request) if need is not None and request.units() else request

        def answer(self, honest: CodelengthAnswer) -> Any:
            return Answered(honest, {name: make(honest) for name, make in answer.items()}) if answer else honest

        def __reduce__(self) -> Any:
            return _made, (type(self),)

    return Liar


def _made(kind: type[Honest]) -> Honest:
    return kind()


@dataclass(frozen=True)
class WithoutDocstring(Honest):
    """In how few bits?"""


@dataclass(frozen=True)
class Unlimited(Honest):
    __doc__ = Honest.__doc__

    def __post_init__(self) -> None:
        pass


@dataclass
class Changeable:
    """Nothing is frozen here."""

    def stages(self, device: str = "cpu") -> Stages[Any]:
        return (yield from Honest().stages(device))


def twice(honest: CodelengthAnswer) -> Any:
    n = next(CALLS)
    return lambda: rows(honest.record(), call=n)


LIARS: dict[str, tuple[Any, str]] = {
    "a need that is not counted": (lying(Uncounted)(), "dry_run_counts_what_is_then_run"),
    "nothing to go on with in a dry run": (lying(NoStandIn)(), "dry_run_counts_what_is_then_run"),
    "another answer where a store is": (lying(OtherWhereKept)(), "interrupted_and_resumed_is_uninterrupted"),
    "the global random state": (lying(Drawing)(), "leaves_the_caller_alone"),
    "another answer each time": (lying(record=twice)(), "same_seed_same_bits"),
    "a quantity that nobody knows": (
        lying(record=lambda a: lambda: renamed(a.record()))(),
        "answers_with_record_figures_and_sentence",
    ),
    "no rows": (lying(record=lambda a: Record)(), "answers_with_record_figures_and_sentence"),
    "no sentence": (lying(sentence=lambda a: lambda: "42")(), "answers_with_record_figures_and_sentence"),
    "no title": (lying(title=lambda a: " ")(), "answers_with_record_figures_and_sentence"),
    "a coordinate that is no JSON": (
        lying(record=lambda a: lambda: rows(a.record(), where=Path("here")))(),
        "record_goes_through_json",
    ),
    "a coordinate that hides a column": (
        lying(record=lambda a: lambda: rows(a.record(), bound="kl"))(),
        "record_goes_through_json",
    ),
    "options without docstrings": (WithoutDocstring(), "fields_are_options_with_docstrings"),
    "limits that are not kept": (Unlimited(), "bad_options_are_refused_before_anything_runs"),
    "options that change": (Changeable(), "is_a_frozen_value"),
}


@pytest.mark.parametrize("name", LIARS)
def test_a_liar_is_caught_where_it_lies(name, broken):
    liar, check = LIARS[name]
    found = broken(liar)
    assert check in found, found
    assert f"breaks {check!r}" in found[check]


def test_an_honest_question_breaks_nothing():
    check_question(Honest())
    check_question(replace(Honest(), replicates=1))
