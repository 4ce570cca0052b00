"""Several tasks beside each other: one column a task, one row a quantity and place."""

from __future__ import annotations

from html import escape

from infoscope.measurement import Measurement
from infoscope.record import Record
from infoscope.report import wording
from infoscope.rounding import digits

TASK = "task"
MOST = 6
"""Tasks that fit beside each other."""

_Place = tuple[tuple[str, ...], str]


def side_by_side(record: Record) -> str:
    """The measurements that two tasks or more have in common, as markup; nothing where there are none to compare."""
    tasks = list(dict.fromkeys(task for row in record if (task := row.coordinates.get(TASK)) is not None))
    if not 2 <= len(tasks) <= MOST:
        return ""
    names = [name for name in wording.coordinate_names(record) if name != TASK]
    found: dict[_Place, dict[object, Measurement]] = {}
    for row in record:
        place = tuple(wording.coordinate(row.coordinates.get(name)) for name in names), row.measurement.quantity
        beside, task = found.setdefault(place, {}), row.coordinates.get(TASK)
        if task in beside:  # not one number a task
            return ""
        beside[task] = row.measurement
    shared = {place: beside for place, beside in found.items() if len(beside) > 1}
    if not shared:
        return ""
    heads = [*names, "Quantity", *map(wording.coordinate, tasks)]
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in heads)
    body = "".join(_row(place, [beside.get(task) for task in tasks]) for place, beside in shared.items())
    note = "<caption>± is one standard error; * stands for a warning, told above.</caption>"
    table = f"<table>{note}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="scroll sides" tabindex="0" role="region" aria-label="Tasks side by side">{table}</div>'


def _row(place: _Place, measurements: list[Measurement | None]) -> str:
    coordinates, quantity = place
    cells = "".join(f"<td>{escape(value)}</td>" for value in coordinates)
    cells += f'<th scope="row">{escape(quantity)}</th>'
    return f"<tr>{cells}{''.join(f'<td>{_shown(m)}</td>' for m in measurements)}</tr>"


def _shown(m: Measurement | None) -> str:
    if m is None:
        return ""
    value, error = digits(m.printed, m.printed_error), wording.error(m)
    parts = [value.replace("-", "−"), f"± {error}" if error else "", wording.unit(m), "*" if m.status else ""]
    return " ".join(filter(None, parts))
