"""A study's page in Markdown: its command, its verdicts, the paper's numbers beside ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from infoscope.measurement import Measurement, sorted_status
from infoscope.rounding import digits
from infoscope.run.study import Cell, Claim, StudyAnswer, Table


def page(answer: StudyAnswer, about: str, command: str, facts: Mapping[str, str]) -> str:
    """The page; `about` says what is repeated, `facts` how it was made. The same run writes the same page."""
    parts = [
        f"# {answer.title}",
        about,
        f"    {command}",
        "; ".join(f"{name} {value}" for name, value in facts.items()) + ". Values in bits, ± one standard error.",
        *_claims(answer.claims),
        *(part for table in answer.tables for part in _table(table)),
        *(["```text\n" + "\n".join(answer.lines) + "\n```"] if answer.lines else []),
        *answer.notes,
        *(f"{what}: {chosen}" for what, chosen in answer.choices().items() if chosen),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _claims(claims: Sequence[Claim]) -> list[str]:
    if not claims:
        return []
    rows = [f"- **{one.text}**: {one.verdict.value} ({one.why})." for one in claims]
    return ["## In short", "\n".join(rows)]


def _table(table: Table) -> list[str]:
    lines = [_row(table.columns), _row(["---", *["---:"] * (len(table.columns) - 1)])]
    return [f"## {table.title}", "\n".join([*lines, *(_row(row) for row in table.rows)]), *table.notes]


def _row(cells: Sequence[Cell]) -> str:
    return "| " + " | ".join(cell(one) for one in cells) + " |"


def cell(value: Cell) -> str:
    """One cell as it is shown.

    >>> cell(Measurement("accuracy", 0.9, 0.0123, unit="1")), cell(None), cell(0.25)
    ('0.900 ± 0.012', '—', '0.25')
    """
    if value is None:
        return "—"
    if isinstance(value, str):
        return value.replace("|", "\\|")
    if isinstance(value, Measurement):
        number, error = value.printed, value.printed_error
        flags = "".join(f" [{status.name}]" for status in sorted_status(value.status))
        return f"{digits(number, error)}{f' ± {digits(error, error)}' if error == error else ''}{flags}"
    return digits(value)
