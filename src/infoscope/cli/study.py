"""`infoscope study NAME`: a table or figure of a paper made again, with its verdict and its page."""

from __future__ import annotations

import importlib
import inspect
import shlex
import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from cyclopts import Parameter

from infoscope import __version__
from infoscope.cli.command import Option, dressed, options
from infoscope.cli.options import DataOptions, Run
from infoscope.cli.session import Session, print_config, tell_cost
from infoscope.cli.source import options_of
from infoscope.report.page import page
from infoscope.run.question import ask
from infoscope.run.study import Study, StudyAnswer
from infoscope.studies import STUDIES, folder

Scale = Literal["small", "paper"]


@Parameter(name="*")
@dataclass(frozen=True)
class StudyRun:
    """How large a study is, and what it leaves.

    Attributes
    ----------
    scale
        small is for two cores and minutes, paper is the paper's own setting, for a GPU.
    store
        Where trainings are kept, so that several studies share them. Default: the run directory.
    page
        Write the page to this file too; it is always in the run directory, as page.md.
    """

    scale: Scale = "small"
    store: Path | None = None
    page: Path | None = None


def study_of(name: str) -> type[Study]:
    """The class of a study in the table, from its file."""
    module, _, attribute = STUDIES[name].partition(":")
    home = folder()
    sys.path.insert(0, str(home))  # studies import one another by their bare names
    try:
        found = importlib.import_module(module)
    finally:
        sys.path.remove(str(home))
        if str(home) not in sys.path:
            sys.path.append(str(home))  # where workers, and a late import, find them again
    if Path(found.__file__ or "").parent != home:
        raise ValueError(f"{found.__file__} has the name of the study {module!r}; rename it, or run from elsewhere")
    return getattr(found, attribute)


def __getattr__(name: str) -> Callable[..., None]:
    if name not in STUDIES:
        raise AttributeError(name)
    return command(name)


def command(name: str) -> Callable[..., None]:
    """The function that the command line calls for a study."""
    kind = study_of(name)
    fields = options(kind)

    def run(*, how: StudyRun = StudyRun(), run: Run = Run(), **given: Any) -> None:
        _run(name, kind, fields, {k: v for k, v in given.items() if v is not None}, how, run)

    return dressed(run, name, kind, [_parameter(option, kind) for option in fields], how=StudyRun, run=Run)


def _parameter(option: Option, kind: type[Study]) -> inspect.Parameter:
    """An option that says its default at both scales; None where it was not given."""
    hint, *_, told = get_args(option.parameter.annotation)
    default, here = option.parameter.default, kind.paper.get(option.name)
    required = default is inspect.Parameter.empty
    at_paper = f", at the paper's scale {here}" if option.name in kind.paper else ""
    words = told.help if required or default is None else f"{told.help} Default: {_shown(default)}{at_paper}."
    told = Parameter.combine(told, Parameter(help=words, consume_multiple=True))
    return option.parameter.replace(
        kind=inspect.Parameter.KEYWORD_ONLY,
        annotation=Annotated[hint if required else hint | None, told],
        default=inspect.Parameter.empty if required else None,
    )


def _shown(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _run(name: str, kind: type[Study], fields: list[Option], given: Mapping[str, Any], how: StudyRun, run: Run) -> None:
    values = {one.name: one.value(given[one.name], DataOptions()) for one in fields if one.name in given}
    question = kind(**{**(kind.paper if how.scale == "paper" else {}), **values})
    if run.print_config:
        return print_config(f"study.{name}", {**given, **vars(how)}, run)
    if run.dry_run:
        return tell_cost(question, run)
    session = Session(f"study-{name}", {**given, "scale": how.scale}, run, how.store)
    with session.progress(question), redirect_stdout(sys.stderr):
        answer = ask(question, session.context())
    text = page(answer, options_of(kind.__doc__ or "")[0], _line(name, given, how.scale), _facts(run))
    session.finish(answer)
    _show(answer, run)
    for path in [*([session.root / "page.md"] if session.writable else []), *([how.page] if how.page else [])]:
        path.write_text(text, encoding="utf-8")


def _show(answer: StudyAnswer, run: Run) -> None:
    if not run.json and not run.quiet:
        print(*answer.lines, sep="\n", end="\n" if answer.lines else "")


def _facts(run: Run) -> dict[str, str]:
    import torch

    return {"infoscope": __version__, "torch": torch.__version__.partition("+")[0], "device": run.device}


def _line(name: str, given: Mapping[str, Any], scale: str) -> str:
    """The command as anybody may type it: what decides the numbers, and a place by the name of its option.

    Of several places the last parts stand, which are names of data sets.
    """
    words = ["infoscope", "study", name, "--scale", scale]
    for option, value in given.items():
        words.append(f"--{option.replace('_', '-')}")
        several = value if isinstance(value, tuple) else [value]
        named = option.upper() if isinstance(value, Path) else None
        words += [named or (one.name if isinstance(one, Path) else str(one)) for one in several]
    return shlex.join(words)
