"""A command made from a question: the fields are its options, the docstring its help."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from functools import cache
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from cyclopts import Parameter
from cyclopts.validators import Number

from infoscope.cli.options import DATA_OF_FILES, DataOptions, Run
from infoscope.cli.session import Session, print_config, tell_cost
from infoscope.cli.source import options_of
from infoscope.cli.words import WORDS, Word
from infoscope.options import AtLeast
from infoscope.questions import QUESTIONS
from infoscope.run.question import Question, Unfinished, ask

POSITIONAL = ("folder", "checkpoint", "checkpoints", "data", "on", "networks")
"""The fields whose words stand without a name."""


@dataclasses.dataclass(frozen=True)
class Option:
    """One field of a question as an option: its name, its type and default on the command line, and how it is read."""

    name: str
    parameter: inspect.Parameter
    word: Word | None

    def value(self, given: Any, reading: DataOptions) -> Any:
        """The field's value for what was given."""
        return given if self.word is None or given is None else self.word.read(given, reading)


@cache
def question_of(name: str) -> type:
    """The class of a question in the table."""
    module, _, attribute = QUESTIONS[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def options(kind: type, named: bool = False) -> list[Option]:
    """The fields of a question as options; `named` says that a file names the data already."""
    _, told = options_of(kind.__doc__ or "")
    hints = get_type_hints(kind, include_extras=True)
    fields = dataclasses.fields(kind)
    many = next((field.name for field in fields if _takes_many(field)), None)
    found = [_option(one, hints[one.name], told[one.name], named, one.name == many) for one in fields]
    kinds = [option.parameter.kind for option in found]
    last = kinds.index(inspect.Parameter.VAR_POSITIONAL) if inspect.Parameter.VAR_POSITIONAL in kinds else len(found)
    return [*found[:last], *map(_by_name, found[last:])]


def _takes_many(field: dataclasses.Field[Any]) -> bool:
    """Whether it may take all words that stand without a name."""
    word = _word(field)
    return field.name in POSITIONAL and word is not None and word.kind == tuple[str, ...]


def _word(field: dataclasses.Field[Any]) -> Word | None:
    return WORDS.get(str(field.type).replace(" | None", ""))


def _by_name(option: Option) -> Option:
    """Behind an option that takes all words without a name, others have theirs."""
    if option.parameter.kind is not inspect.Parameter.POSITIONAL_OR_KEYWORD:
        return option
    return dataclasses.replace(option, parameter=option.parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))


def _option(field: dataclasses.Field[Any], hint: Any, told: str, named: bool, many: bool) -> Option:
    word = _word(field)
    required = field.default is dataclasses.MISSING
    default = inspect.Parameter.empty if required else field.default
    if word is not None:
        hint = word.kind if required or field.default is not None else word.kind | None
        default = default if required or default is None else word.shown(default)
    limits = [Number(gte=m.least) for m in getattr(hint, "__metadata__", ()) if isinstance(m, AtLeast)]
    takes_several = any(get_origin(each) is tuple for each in (hint, *get_args(hint)))
    several = True if takes_several else None  # `--option a b`, not only `--option a --option b`
    annotation = Annotated[hint, Parameter(help=told, validator=limits, consume_multiple=several)]
    if many:
        annotation = Annotated[str, Parameter(help=told, required=required and not named)]
    kind = (
        inspect.Parameter.VAR_POSITIONAL
        if many
        else inspect.Parameter.POSITIONAL_OR_KEYWORD
        if field.name in POSITIONAL
        else inspect.Parameter.KEYWORD_ONLY
    )
    given = inspect.Parameter.empty if many else default
    return Option(field.name, inspect.Parameter(field.name, kind, annotation=annotation, default=given), word)


def __getattr__(name: str) -> Callable[..., None]:
    if name.startswith("_") or name not in QUESTIONS:
        raise AttributeError(name)
    return command(name)


def command(name: str) -> Callable[..., None]:
    """The function that the command line calls for a question: it reads words, asks, and shows."""
    kind = question_of(name)
    named = DATA_OF_FILES.get(name, [])
    fields = options(kind, bool(named))

    def run(*data: str, **given: Any) -> None:
        words = _placed(fields, data, named)
        reading: DataOptions = given.pop("reading", DataOptions())
        how: Run = given.pop("run", Run())
        words |= given
        _run(name, kind, fields, words, reading, how)

    reads = any(option.word is not None and option.word.reads_data for option in fields)
    groups = {"reading": DataOptions, "run": Run} if reads else {"run": Run}
    return dressed(run, name, kind, [option.parameter for option in fields], **groups)


def dressed(
    called: Callable[..., None], name: str, kind: type, parameters: Sequence[inspect.Parameter], **groups: type
) -> Callable[..., None]:
    """`called` as a command: `kind`'s docstring is its help, its options are parameters, then groups of options."""
    parameters = [*parameters, *(_group(*each) for each in groups.items())]
    called.__name__, called.__doc__ = name, options_of(kind.__doc__ or "")[0]
    called.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportFunctionMemberAccess]
    called.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return called


def _group(name: str, kind: type) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=kind())


def _placed(fields: list[Option], data: tuple[str, ...], named: list[str]) -> dict[str, Any]:
    """The words that stand without a name, each for its field; what is left over for the one that takes many."""
    words: dict[str, Any] = {}
    for place, field in enumerate(fields):
        if field.parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            words[field.name] = list(data[place:]) or (named if field.name == "data" else [])
            break
        if place < len(data):
            words[field.name] = data[place]
    return words


def _check_reading(name: str, fields: list[Option], words: Mapping[str, Any], reading: DataOptions) -> None:
    """ValueError where options say how data are read, and no data are named."""
    readers = [option.name for option in fields if option.word is not None and option.word.reads_data]
    if reading != DataOptions() and not any(words[one] for one in readers):
        given = [f"--{key}" for key, value in vars(reading).items() if value != getattr(DataOptions(), key)]
        raise ValueError(f"{', '.join(given)}: how data are read, and {name} was given none; name some as {readers[0]}")


def _run(name: str, kind: type, fields: list[Option], words: Mapping[str, Any], reading: DataOptions, how: Run) -> None:
    words = {option.name: words.get(option.name, option.parameter.default) for option in fields}
    reads = any(option.word is not None and option.word.reads_data for option in fields)
    given = {**words, **(vars(reading) if reads else {})}
    if how.print_config:
        return print_config(name, given, how)
    _check_reading(name, fields, words, reading)
    question: Question[Any] = kind(**{option.name: option.value(words[option.name], reading) for option in fields})
    if how.dry_run:
        return tell_cost(question, how)
    session = Session(name, given, how)
    # Standard output is for the answer: what a caller's model prints goes beside it.
    with session.progress(question), redirect_stdout(sys.stderr):
        answer = ask(question, session.context())
    session.finish(answer)
    if isinstance(answer, Unfinished) and answer.stopped:
        raise ValueError(f"{answer.stopped}. What was measured before it is shown, and kept in {session.root}")
