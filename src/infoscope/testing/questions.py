"""The contract of questions: a dry run counts what is then run, and what was interrupted ends as if it had not been."""

from __future__ import annotations

import dataclasses
import json
import pickle
import tempfile
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from infoscope.measurement import Measurement
from infoscope.options import AtLeast
from infoscope.quantities import quantities
from infoscope.record import Record
from infoscope.run import Store, Work
from infoscope.run.context import RunContext
from infoscope.run.question import Answer, Question, Request, ask, units
from infoscope.testing.check import Check, ContractBroken, require
from infoscope.testing.state import changes


def checks_of_question(question: Question[Any]) -> list[Check]:
    """The checks of a question that is small enough to be asked half a dozen times."""
    promises = (
        is_a_frozen_value,
        fields_are_options_with_docstrings,
        bad_options_are_refused_before_anything_runs,
        dry_run_counts_what_is_then_run,
        same_seed_same_bits,
        leaves_the_caller_alone,
        answers_with_record_figures_and_sentence,
        record_goes_through_json,
        interrupted_and_resumed_is_uninterrupted,
    )
    return [Check(question, promise, promise.__name__) for promise in promises]


def check_question(question: Question[Any]) -> None:
    """Hold a question to what every question must keep; `ContractBroken` names the first promise that it breaks.

    It is asked several times: give it little data and a small network. A question of your own is held to the same as
    those of the table, in three lines:

    >>> from infoscope.model_information.codelength import Codelength  # here, yours
    >>> from infoscope.testing import check_question
    >>> check_question(Codelength("iris", examples=20, replicates=2))

    What it can see: a stage that is run but not counted, an answer that depends on how often it was asked or on where
    it was stopped, an option without a docstring or a limit that is not kept, a quantity that the glossary lacks. What
    it cannot see: whether the answer is right.
    """
    for check in checks_of_question(question):
        check()


def is_a_frozen_value(question: Any) -> None:
    """Its fields cannot be changed, and it travels to another process, where it gives the same answer."""
    require(dataclasses.is_dataclass(question), "it is no dataclass; its fields are its options")
    require(question.__dataclass_params__.frozen, "its fields can be changed; make the dataclass frozen")
    copied = pickle.loads(pickle.dumps(question))
    require(_told(copied) == _told(question), "its copy by pickle has other options")


def fields_are_options_with_docstrings(question: Any) -> None:
    """Every field has a type, and a paragraph of its own under `Attributes`: the command line reads them there."""
    kind = type(question)
    text = (kind.__doc__ or "").partition("Attributes\n")[2]
    hints = get_type_hints(kind)
    for field in dataclasses.fields(question):
        require(field.name in hints, f"the option {field.name} has no type")
        require(
            f"\n    {field.name}\n        " in text or f"\n{field.name}\n    " in text,
            f"the option {field.name} has no docstring: its name under `Attributes`, and below it what it is",
        )


def bad_options_are_refused_before_anything_runs(question: Any) -> None:
    """An option below its limit, and NaN, are refused by name when the question is made."""
    for name, hint in get_type_hints(type(question), include_extras=True).items():
        limits = [mark.least for mark in _marks(hint) if isinstance(mark, AtLeast)]
        for wrong in (least - 1 for least in limits):
            try:
                dataclasses.replace(question, **{name: type(limits[0])(wrong)})
            except ValueError as error:
                require(name in str(error), f"{name}={wrong} is refused without its name: {error}")
            else:
                raise ContractBroken(f"{name}={wrong} is taken, and its annotation says at least {limits[0]}")


def dry_run_counts_what_is_then_run(question: Question[Any]) -> None:
    """Units of every kind as the dry run counts them are those that the real run asks for, and finishes."""
    counted = +units(question)
    asked, finished = _run(question).units, _run(question).finished
    require(counted == asked, f"a dry run counts {dict(counted)}, and a run asks for {dict(asked)}")
    total = sum(counted.values())
    require(total == finished, f"a dry run counts {total} units of work, and a run finishes {finished}")


def same_seed_same_bits(question: Question[Any]) -> None:
    """Asked twice, every number of the record is equal to the last bit."""
    first, again = _rows(_run(question).answer.record()), _rows(ask(question).record())
    differ = [a["measurement"]["quantity"] for a, b in zip(first, again, strict=False) if a != b]
    require(not differ, f"asked twice, it gives another {' and another '.join(differ)}")
    require(len(first) == len(again), f"asked twice, it gives {len(first)} rows and {len(again)}")


def leaves_the_caller_alone(question: Question[Any]) -> None:
    """The global random states, threads and modes are after asking what they were before."""
    changed = changes(lambda: ask(question))
    require(not changed, f"it changed {' and '.join(changed)}")


def answers_with_record_figures_and_sentence(question: Question[Any]) -> None:
    """A title, measurements that the glossary explains, figures, a sentence, choices; and no file that nobody named."""
    answer = _run(question).answer
    require(bool(answer.title.strip()), "its answer has no title")
    rows = list(answer.record())
    require(bool(rows), "its record has no row")
    known = {q.symbol for q in quantities()}
    unknown = sorted({row.measurement.quantity for row in rows} - known)
    require(not unknown, f"it reports {', '.join(unknown)}, of which the glossary knows nothing")
    require(len(answer.sentence().split()) > 2, f"its sentence is {answer.sentence()!r}")
    require(len(list(answer.figures())) == len(list(answer.figures())), "its figures change from call to call")
    for name, words in answer.choices().items():
        require(isinstance(name, str) and isinstance(words, str), f"the choice {name!r} is told as {words!r}, not text")
    with tempfile.TemporaryDirectory() as folder:
        files = answer.write(Path(folder))
        require(isinstance(files, Mapping), f"`write` gives {files!r}, not what it wrote, by name")


def record_goes_through_json(question: Question[Any]) -> None:
    """Written as JSON and read back, every measurement is the same, and no coordinate hides one of its columns."""
    for row in _run(question).answer.record():
        hides = sorted(row.coordinates.keys() & row.measurement.as_dict().keys())
        require(not hides, f"its coordinate {', '.join(hides)} is a column of every measurement; call it otherwise")
        text = json.dumps(row.measurement.to_json(), allow_nan=False)
        back = Measurement.from_json(json.loads(text))
        require(_same(back, row.measurement), f"{row.measurement} comes back from JSON as {back}")
        json.dumps(row.coordinates, allow_nan=False)


def _same(a: Measurement, b: Measurement) -> bool:
    """Every field, an unknown number being equal to itself, and a set whatever its order."""
    first, second = (repr(dataclasses.replace(one, status=frozenset())) for one in (a, b))
    return first == second and a.status == b.status


def interrupted_and_resumed_is_uninterrupted(question: Question[Any]) -> None:
    """Stopped by Ctrl-C after every unit of work in turn, and asked again each time, it answers to the last bit."""
    whole = _run(question)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        done: set[str] = set()
        while len(done) <= whole.finished:
            try:
                answer = ask(question, RunContext(store=store, on_done=_Stop(done)))
            except KeyboardInterrupt:
                continue
            else:
                break
        else:
            raise ContractBroken(f"stopped {len(done)} times, it still has work to do; {whole.finished} units are all")
        require(
            _rows(answer.record()) == _rows(whole.answer.record()),
            f"stopped {len(done)} times and asked again, it gives another record",
        )


class _Stop:
    """Ctrl-C as soon as a unit of work is finished and kept that was not before."""

    def __init__(self, done: set[str]) -> None:
        self.done = done

    def __call__(self, unit: Work) -> None:
        if unit.key not in self.done:
            self.done.add(unit.key)
            raise KeyboardInterrupt


@dataclasses.dataclass(frozen=True, eq=False)
class Ran:
    """What came of asking once: the answer, the units that its requests count, and how many units were finished."""

    answer: Answer
    units: Counter[str]
    finished: int


def _run(question: Question[Any]) -> Ran:
    """The question asked once; the same for all checks of this very value."""
    return _ran(_Once(question))


@lru_cache(maxsize=8)
def _ran(once: _Once) -> Ran:
    finished: list[Work] = []
    context = RunContext(on_done=finished.append)
    stages, counted, came = once.question.stages(), Counter[str](), None
    while True:
        try:
            request: Request = stages.send(came)
        except StopIteration as end:
            return Ran(end.value, +counted, len(finished))
        counted.update(request.units())
        came = request.take(context)


@dataclasses.dataclass(frozen=True, eq=False)
class _Once:
    """A question by its identity: data sets in its fields need not be hashable."""

    question: Question[Any]

    def __hash__(self) -> int:
        return id(self.question)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Once) and self.question is other.question


def _marks(hint: Any) -> list[Any]:
    """What `Annotated` says of a type, in any part of it."""
    own = list(getattr(hint, "__metadata__", ()))
    return own + [mark for part in get_args(hint) if get_origin(hint) is not Annotated for mark in _marks(part)]


def _rows(record: Record) -> list[dict[str, Any]]:
    return [{"coordinates": row.coordinates, "measurement": row.measurement.to_json()} for row in record]


def _told(question: Any) -> list[str]:
    """The options in words: data sets by their fingerprints."""
    values = (getattr(question, field.name) for field in dataclasses.fields(question))
    return [getattr(value, "fingerprint", None) or repr(value) for value in values]
