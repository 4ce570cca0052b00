"""A record in the terminal, and as JSON for programs."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from infoscope.record import Record
from infoscope.report import wording
from infoscope.rounding import digits

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


NARROWEST = 64
"""Columns that the numbers and a little text need; a narrower console breaks the lines itself, and nothing is lost."""


def show(record: Record, console: Console | None = None) -> None:
    """Print the measurements in bits, one a row, and their warnings as sentences below.

    Text is wrapped where the console is narrow; numbers never are. Where the coordinates don't fit beside them, they
    stand before the quantity.
    """
    from rich.console import Console
    from rich.segment import Segments
    from rich.text import Text

    console = console or Console()
    table = _table(record, coordinates_apart=True)
    if _narrowest(table, console) > console.width:
        table = _table(record, coordinates_apart=False)
    options = console.options.update_width(max(console.width, NARROWEST))
    console.print(Segments(console.render(table, options)), crop=False, end="")
    for sentence in _warnings(record):
        console.print(Text(sentence, style="yellow"))


def json_text(record: Record) -> str:
    """`{"measurements": [...]}`: coordinates and measurement of every row, values in bits, unknown numbers null.

    >>> json_text(Record())
    '{"measurements": []}'
    """
    return json.dumps(_without_nan({"measurements": record.dicts()}), allow_nan=False)


def _table(record: Record, coordinates_apart: bool) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    names = wording.coordinate_names(record)
    lengths = any(wording.per_example(row.measurement) for row in record)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for name in names if coordinates_apart else []:
        table.add_column(Text(name), overflow="fold", justify="right" if _are_numbers(record, name) else "left")
    table.add_column("quantity", overflow="fold")
    table.add_column("value", justify="right", no_wrap=True)
    if lengths:
        table.add_column("bit/example", justify="right", no_wrap=True)
    table.add_column("bound", no_wrap=True)
    table.add_column("n", justify="right", no_wrap=True)
    for row in record:
        m = row.measurement
        places = [wording.coordinate(row.coordinates.get(name)) for name in names]
        place = places if coordinates_apart else []
        quantity = m.quantity if coordinates_apart else " · ".join(p for p in [*places, m.quantity] if p)
        side = m.bound.value if m.bound.value != "none" else ""
        numbers = [
            _value(m),
            *([wording.per_example(m)] if lengths else []),
            side,
            f"{m.receipt.n:,}" * bool(m.receipt.n),
        ]
        table.add_row(*(Text(cell) for cell in [*place, quantity, *numbers]))
    return table


def _narrowest(table: Table, console: Console) -> int:
    """The width at which every number and every word is whole."""
    from rich.measure import Measurement as Width

    return Width.get(console, console.options.update_width(10_000), table).minimum


def _are_numbers(record: Record, name: str) -> bool:
    return all(isinstance(row.coordinates.get(name), (int, float)) for row in record)


def _value(measurement: Any) -> str:
    value = digits(measurement.printed, measurement.printed_error)
    error = wording.error(measurement)
    return " ".join(part for part in (value, error and f"± {error}", wording.unit(measurement)) if part)


def _warnings(record: Record) -> list[str]:
    """One sentence a warning, naming what it concerns; the same warning once."""
    concerned: dict[tuple[str, str], list[str]] = {}
    for row in record:
        place = [wording.coordinate(value) for value in row.coordinates.values()]
        for warning in wording.warnings(row.measurement):
            concerned.setdefault(warning, []).append(" · ".join(p for p in [*place, row.measurement.quantity] if p))
    return [f"{name}: {advice} ({wording.listed(rows)})." for (name, advice), rows in concerned.items()]


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
