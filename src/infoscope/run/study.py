"""A study as a value: a question that repeats a table or a figure of a paper, and judges what the paper claims.

A module of `studies/` holds one frozen dataclass, and `infoscope.studies` a row with its name. Its docstring says what
it repeats, its fields are its options, as those of any question: their defaults are the small scale (two cores,
minutes), and `paper` says which of them the paper has otherwise. `stages` takes other questions as they are:

    @dataclass(frozen=True)
    class Widths:
        '''Table 7 of Zhang et al. (2020): capacity of four widths.

Attributes
----------
        data
            A folder with tiny_imagenet in Hub layout.
        k
            Examples to code.
        '''

        data: Path
        k: Annotated[int, AtLeast(1)] = 200

        paper: ClassVar[Mapping[str, Any]] = {"k": 10_000}

        def stages(self, device: str = "cpu") -> Stages[StudyAnswer]:
            answer = yield from Capacity((...), k=self.k).stages(device)
            table = Table("Table 7", ("width", "paper, kbit", "here"), [("1", 5.9, answer.of("1")), ...])
            claim = Claim("capacity grows with the parameters", Verdict.DIFFERENT_SCALE, "in 3 of 3 steps, by ...")
            return StudyAnswer("Capacity", tuple(answer.record()), (table,), (claim,), figures=answer.figures())

`infoscope study widths --data FOLDER --scale paper --page docs/results/widths.md` does the rest: the run directory,
resuming, the dry run, the record, the report, and the page.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar, Protocol

from infoscope.figure import Figure
from infoscope.measurement import Measurement
from infoscope.record import Record, Row
from infoscope.run.context import RunContext
from infoscope.run.question import Cost, Question

Cell = str | float | Measurement | None
"""Of a table: words, a number, a measurement (shown with its error, in bits), or nothing."""


class Verdict(Enum):
    """What has become of a paper's claim; the values are the words that are shown."""

    REPRODUCED = "reproduced"
    NOT_REPRODUCED = "not reproduced"
    UNDECIDED = "undecided: within the errors"
    DIFFERENT_SCALE = "holds at a different scale"
    DIFFERENT_DATA = "holds on different data"
    NOT_RUN = "not run"


@dataclass(frozen=True)
class Claim:
    """What the paper says, what has become of it, and the numbers that decide."""

    text: str
    verdict: Verdict
    why: str


def judged(effect: float, error: float, held: Verdict = Verdict.REPRODUCED) -> Verdict:
    """The verdict on "this is above 0": `held` where it lies two errors above, refuted two below, else undecided.

    >>> judged(3.0, 1.0), judged(-3.0, 1.0), judged(1.0, 1.0), judged(1.0, float("nan"))  # doctest: +ELLIPSIS
    (<Verdict.REPRODUCED...>, <Verdict.NOT_REPRODUCED...>, <Verdict.UNDECIDED...>, <Verdict.UNDECIDED...>)
    """
    if effect > 2 * error:
        return held
    return Verdict.NOT_REPRODUCED if effect < -2 * error else Verdict.UNDECIDED


@dataclass(frozen=True)
class Table:
    """The paper's numbers beside ours: a title, the columns' names, and as many cells in every row; then remarks."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    notes: Sequence[str] = ()

    def __post_init__(self) -> None:
        odd = [len(row) for row in self.rows if len(row) != len(self.columns)]
        if odd:
            raise ValueError(f"{self.title!r} has {len(self.columns)} columns and a row of {odd[0]}; give every cell")


@dataclass(frozen=True)
class StudyAnswer:
    """What a study comes to: an answer as that of any question, with tables, claims judged, and remarks for its page.

    `lines` are shown as they are; `files` are written to the run directory under their names.
    """

    title: str
    rows: Sequence[Row]
    tables: Sequence[Table] = ()
    claims: Sequence[Claim] = ()
    notes: Sequence[str] = ()
    drawn: Sequence[Figure] = ()
    lines: Sequence[str] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    chosen: Mapping[str, str] = field(default_factory=dict)

    def record(self) -> Record:
        """All measurements."""
        return Record.of(self.rows)

    def figures(self) -> Sequence[Figure]:
        """What is drawn."""
        return self.drawn

    def sentence(self) -> str:
        """Each claim and its verdict.

        >>> StudyAnswer("", (), claims=[Claim("B is harder than A", Verdict.REPRODUCED, "4 ± 1 bits")]).sentence()
        'B is harder than A: reproduced (4 ± 1 bits).'
        """
        return " ".join(f"{one.text}: {one.verdict.value} ({one.why})." for one in self.claims)

    def choices(self) -> Mapping[str, str]:
        """What was chosen for the caller."""
        return self.chosen

    def write(self, folder: Path) -> Mapping[str, str]:
        """The study's own files."""
        for name, text in self.files.items():
            (folder / name).write_text(text, encoding="utf-8")
        return {name: str(folder / name) for name in self.files}


class Study(Question[StudyAnswer], Protocol):
    """A question whose answer has a page. Its defaults are the small scale; `paper` has what the paper's differs in."""

    paper: ClassVar[Mapping[str, Any]]


class Uncountable(ValueError):
    """What this is going to take is not known before it is done."""


@dataclass(frozen=True)
class Doing:
    """A need that can't be told beforehand: work that is done by calling, and can't be counted by a dry run."""

    work: Callable[[RunContext], Any]

    def take(self, context: RunContext) -> Any:
        """Do it; what it keeps, it keeps in the context's store."""
        return self.work(context)

    def units(self) -> Mapping[str, int]:
        """Unknown, so none."""
        return {}

    def cost(self, context: RunContext) -> Cost:
        """Unknown."""
        return Cost(remarks=("how long this takes is not known beforehand",))

    def stand_in(self) -> Any:
        """None can be made."""
        raise Uncountable(
            "this study can't be counted before it runs; leave out --dry-run, it goes on where it stopped"
        )
