"""The sections of the HTML report, as markup that reads well without JavaScript."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape

from infoscope.figure import Bars, Figure, Gallery, Grid, Line, Tile
from infoscope.measurement import Bound, Measurement
from infoscope.record import Record, Row
from infoscope.report import wording
from infoscope.report.thinning import RULE, spread
from infoscope.rounding import digits

RECEIPT_FIELDS = ("method", "data", "model", "coder", "seeds", "version", "device", "threads", "notes")

FEW = 8
"""Rows of a table that is roomy, and stands before the figures."""


def section(name: str, heading: str, content: str) -> str:
    """A headed section, or nothing when it would be empty."""
    if not content:
        return ""
    return f'<section aria-labelledby="{name}">\n<h2 id="{name}">{heading}</h2>\n{content}\n</section>'


def numbers(record: Record, glossary: Mapping[str, str]) -> str:
    """The table of measurements; a coordinate that all rows share stands in its caption."""
    if not len(record):
        return "<p>No measurement was made.</p>"
    names = wording.coordinate_names(record)
    shared = [name for name in names if len({repr(row.coordinates.get(name)) for row in record}) == 1]
    columns = [name for name in names if name not in shared]
    lengths = any(wording.per_example(row.measurement) for row in record)
    heads = [(name, "place") for name in columns] + [("Quantity", "quantity"), ("Value", "value")]
    heads += [("Standard error", "error")] + [("Per example", "each")] * lengths + [("Side", "side"), ("n", "n")]
    head = "".join(f'<th scope="col" class="{kind}" role="columnheader">{escape(name)}</th>' for name, kind in heads)
    over = _shared_over(record)
    bodies = "\n".join(_measurement(row, columns, lengths, over, glossary) for row in record)
    size = "roomy" if len(record) <= FEW else "dense"
    return (
        f'<table class="numbers {size}" role="table">\n<caption>{_caption(record, shared, over)}</caption>\n'
        f'<thead role="rowgroup"><tr role="row">{head}</tr></thead>\n{bodies}\n</table>'
    )


def _caption(record: Record, shared: Sequence[str], over: str) -> str:
    coordinates = next(iter(record)).coordinates
    places = [f"{escape(name)}: <b>{escape(wording.coordinate(coordinates[name]))}</b>" for name in shared]
    bounds = {row.measurement.bound for row in record}
    words = ["± is one standard error" + (f", over {escape(over)}." if over else ".")]
    words += ["An upper bound: the true value is at most this."] * (Bound.UPPER in bounds)
    words += ["A lower bound: the true value is at least this."] * (Bound.LOWER in bounds)
    place = f'<span class="shared">{", ".join(places)}.</span> ' if places else ""
    return place + " ".join(words)


def _shared_over(record: Record) -> str:
    """What every standard error is taken over if it is the same for all that are known and not 0, else ""."""
    overs = {row.measurement.receipt.over for row in record if row.measurement.stderr > 0}
    return overs.pop() if len(overs) == 1 else ""


def _measurement(row: Row, columns: Sequence[str], lengths: bool, over: str, glossary: Mapping[str, str]) -> str:
    m = row.measurement
    n = f"{m.receipt.n:,}" if m.receipt.n else ""
    cells = [_cell("place", name, escape(wording.coordinate(row.coordinates.get(name)))) for name in columns]
    cells += [
        f'<th scope="row" class="quantity" role="rowheader">{_quantity(m, glossary)}</th>',
        _cell("value", "Value", _value(m)),
        _cell("error", "Standard error", _error(m, over)),
    ]
    if lengths:
        each = wording.per_example(m)
        cells.append(_cell("each", "Per example", f'{each} <span class="unit">bit</span>' if each else ""))
    cells += [_cell("side", "Side", wording.SIDES[m.bound]), _cell("n", "n", n)]
    warned = _warnings(m, len(cells))
    return f'<tbody role="rowgroup"><tr role="row">{"".join(cells)}</tr>{warned}</tbody>'


def _cell(kind: str, label: str, content: str) -> str:
    return f'<td class="{kind}" data-label="{escape(label)}" role="cell">{content}</td>'


def _quantity(m: Measurement, glossary: Mapping[str, str]) -> str:
    """The symbol, led to its place in the glossary if it has one, and its name in words."""
    symbol, name = escape(m.quantity), wording.full_name(m.quantity)
    if m.quantity in glossary:
        symbol = f'<a href="#{term_id(list(glossary).index(m.quantity))}">{symbol}</a>'
    return symbol + (f' <span class="name">{escape(name)}</span>' if name else "")


def _value(m: Measurement) -> str:
    value, stderr = m.printed, m.printed_error
    unit = f'<span class="unit">{wording.unit(m)}</span>'
    return f'<data value="{value!r}">{_minus(digits(value, stderr))}</data> {unit}'


def _error(m: Measurement, shared_over: str) -> str:
    error = wording.error(m)
    if not error:
        why = wording.why_unknown(m)
        return f'<span title="{why}">—<span class="spoken">{why}</span></span>'
    own = m.receipt.over if m.receipt.over != shared_over else ""
    over = f' <span class="over">over {escape(own)}</span>' if own else ""
    return f'± <data value="{m.printed_error!r}">{error}</data>{over}'


def _warnings(m: Measurement, width: int) -> str:
    if not m.status:
        return ""
    items = "".join(f"<li><b>{name}:</b> {escape(advice)}.</li>" for name, advice in wording.warnings(m))
    return f'<tr class="warned" role="row"><td colspan="{width}" role="cell"><ul>{items}</ul></td></tr>'


def gallery(whole: Gallery) -> str:
    """Tiles in rows; the pictures stand in the page itself."""
    tiles = "".join(map(_tile, whole.tiles))
    caption = f"<figcaption><p>{escape(whole.caption)}</p></figcaption>" if whole.caption else ""
    return f'<figure class="gallery">\n<h3>{escape(whole.title)}</h3>\n<ul>{tiles}</ul>\n{caption}</figure>'


def _tile(tile: Tile) -> str:
    picture = ""
    if tile.png:
        data = base64.b64encode(tile.png).decode()
        picture = f'<img src="data:image/png;base64,{data}" alt="">'
    text = f"<q>{escape(tile.text)}</q>" if tile.text else ""
    return f"<li>{picture}{text}<span>{escape(tile.words)}</span></li>"


def figure(number: int, whole: Figure, drawn: Figure) -> str:
    """A figure's place on the page, and its values as a table for those who don't see it."""
    caption = f"<p>{escape(whole.caption)}</p>" if whole.caption else ""
    tables = "".join(_figure_tables(whole))
    title = escape(whole.title)
    return (
        f'<figure id="figure-{number}" data-figure="{number}">\n<h3>{title}</h3>\n<ul class="legend" hidden></ul>\n'
        f"{_y_label(whole)}"
        '<p class="undrawn">Drawing needs JavaScript; the values stand in the table.</p>\n'
        f'<div class="plot" role="img" aria-label="{title}. Its values stand in the table below."></div>\n'
        f"{_player(drawn)}{_turner(drawn)}"
        f"<figcaption>{caption}{_thinning_note(whole, drawn)}</figcaption>\n"
        '<div class="tools"><details><summary>Values as a table</summary>\n'
        f'<div class="scroll" tabindex="0" role="region" aria-label="Values of {title}">{tables}</div></details>\n'
        '<button type="button" class="save" hidden>Save as SVG</button></div>\n</figure>'
    )


def _y_label(whole: Figure) -> str:
    """Above the plot; axes that turn carry their names themselves."""
    return "" if whole.z_label else f'<p class="axis">{escape(whole.y_label)}</p>\n'


def _player(drawn: Figure) -> str:
    """The slider of a figure with frames."""
    if not drawn.frames:
        return ""
    last = len(drawn.frames) - 1
    return (
        '<div class="player" hidden><button type="button">Play</button>'
        f'<input type="range" min="0" max="{last}" value="{last}" aria-label="frame"><output></output></div>\n'
    )


def _turner(drawn: Figure) -> str:
    """The sliders that turn three axes."""
    if not drawn.z_label:
        return ""
    sliders = "".join(
        f'<label>{name} <input type="range" min="-{most}" max="{most}" value="{at}" aria-valuetext="{at}°"></label>'
        for name, most, at in (("Turn", 180, 30), ("Tilt", 90, 20))
    )
    return f'<div class="turner" hidden>{sliders}</div>\n'


def _thinning_note(whole: Figure, drawn: Figure) -> str:
    if len(drawn.frames) < len(whole.frames):
        return f'<p class="note">Drawn with {len(drawn.frames)} of {len(whole.frames):,} frames, evenly spread.</p>'
    pairs = [(len(b.x), len(a.x)) for a, b in zip(whole.lines, drawn.lines, strict=True) if len(b.x) < len(a.x)]
    if not pairs:
        return ""
    kept, points = max(pairs, key=lambda pair: pair[1])
    return f'<p class="note">Drawn with {kept:,} of {points:,} points a line: {RULE}.</p>'


def _figure_tables(whole: Figure) -> Iterable[str]:
    """One table for lines that share their x, else one for each set of x; frames and shaded lines are rows."""
    if whole.grid is not None:
        yield _table_of_grid(whole, whole.grid)
        return
    if whole.frames or whole.shades:
        yield _table_of_places(whole)
        return
    if whole.z_label:
        yield _table_of_points(whole)
        return
    groups: dict[Sequence[float] | Sequence[str], list[Line | Bars]] = {}
    for line in whole.lines:
        if isinstance(line, Line) and line.names is not None:
            yield _table_of_names(whole, line, line.names)
        else:
            groups.setdefault(line.x, []).append(line)
    for x, lines in groups.items():
        chosen = spread(lines[0].x, whole.log_x) if isinstance(lines[0], Line) else range(len(x))
        head = "".join(f'<th scope="col">{escape(name)}</th>' for name in (whole.x_label, *(a.name for a in lines)))
        rows = "".join(_figure_row(x[i], i, lines) for i in chosen)
        few = f"; {len(chosen)} of {len(x):,} points" if len(chosen) < len(x) else ""
        note = f"<caption>{escape(whole.y_label)}{few}</caption>"
        yield f"<table>{note}<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _table_of_grid(whole: Figure, grid: Grid) -> str:
    """The heat map's numbers with their errors, rows and columns as drawn; a dash where there is none."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in ("", *grid.columns))
    errors = grid.errors or [[math.nan] * len(grid.columns)] * len(grid.rows)
    body = "".join(
        f'<tr><th scope="row">{escape(name)}</th>{"".join(map(_grid_cell, values, spreads))}</tr>'
        for name, values, spreads in zip(grid.rows, grid.values, errors, strict=True)
    )
    note = f"<caption>{escape(grid.name)}; {escape(whole.y_label)} down, {escape(whole.x_label)} across</caption>"
    return f"<table>{note}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _grid_cell(value: float, stderr: float) -> str:
    if not math.isfinite(value):
        return "<td>—</td>"
    error = f" ± {digits(stderr, stderr)}" if math.isfinite(stderr) else ""
    return f"<td>{_minus(digits(value, stderr) if error else _four_digits(value))}{error}</td>"


def _table_of_places(whole: Figure) -> str:
    """Both coordinates of every point, at a dozen frames or on a dozen shaded lines."""
    lines = [line for line in whole.lines if isinstance(line, Line)]
    if whole.frames:
        kind, most, names = "frames", len(whole.frames), [line.name for line in lines]
        rows = [(whole.frames[i], [(a.x[i], a.y[i]) for a in lines]) for i in spread(range(most))]
    else:
        kind, most, names = "lines", len(lines), list(whole.nodes)
        some = (lines[i] for i in spread(whole.shades, whole.log_shade))
        rows = [(line.name, list(zip(line.x, line.y, strict=True))) for line in some]
    few = f"; {len(rows)} of {most:,} {kind}" if len(rows) < most else ""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in ("", *names))
    body = "".join(_places(name, pairs) for name, pairs in rows)
    note = f"<caption>{escape(whole.x_label)}, {escape(whole.y_label)}{few}</caption>"
    return f"<table>{note}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _table_of_points(whole: Figure) -> str:
    """Three coordinates of a dozen points of each cloud, and of where they came from."""
    rows, labels = "", (whole.x_label, whole.y_label, whole.z_label)
    for line in whole.lines:
        if not isinstance(line, Line) or line.z is None:
            continue
        if line.origin is not None:
            rows += _point(f"{line.name}: origin", line.origin)
        for i in spread(range(len(line.x))):
            rows += _point(line.name, (line.x[i], line.y[i], line.z[i]))
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in ("", *labels))
    note = "<caption>A dozen points of each cloud</caption>"
    return f"<table>{note}<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _point(name: str, place: Sequence[float]) -> str:
    cells = "".join(f"<td>{_minus(_four_digits(v))}</td>" for v in place)
    return f'<tr><th scope="row">{escape(name)}</th>{cells}</tr>'


def _table_of_names(whole: Figure, line: Line, names: Sequence[str]) -> str:
    """What every point stands for, and where it is."""
    rows = "".join(_point(name, place) for name, *place in zip(names, line.x, line.y, strict=True))
    labels = ("", whole.x_label or "x", whole.y_label or "y")
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in labels)
    return f"<table><caption>{escape(line.name)}</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _places(name: str, pairs: Sequence[tuple[float, float]]) -> str:
    cells = "".join(f"<td>{_minus(f'{_four_digits(x)}, {_four_digits(y)}')}</td>" for x, y in pairs)
    return f'<tr><th scope="row">{escape(name)}</th>{cells}</tr>'


def _figure_row(x: float | str, i: int, lines: Sequence[Line | Bars]) -> str:
    first = digits(x) if isinstance(x, float) else str(x)
    cells = "".join(f"<td>{_minus(_banded(line, i))}</td>" for line in lines)
    return f'<tr><th scope="row">{escape(_minus(first) if isinstance(x, float) else first)}</th>{cells}</tr>'


def _banded(line: Line | Bars, i: int) -> str:
    value = _four_digits(line.y[i])
    if line.lower is None or line.upper is None:
        return value
    return f"{value} ({_four_digits(line.lower[i])} to {_four_digits(line.upper[i])})"


def _four_digits(value: float) -> str:
    return digits(value, abs(value) / 100)


def facts(record: Record, given: Mapping[str, str]) -> str:
    """How it was made: what the caller says, then what the receipts say. "command" can be copied."""
    told = {name: [value] for name, value in given.items() if name.lower() != "command"}
    items = "".join(_fact(name, values) for name, values in (told | _receipts(record)).items())
    commands = [value for name, value in given.items() if name.lower() == "command"]
    return "".join(map(_command, commands)) + (f"<dl>{items}</dl>" if items else "")


def _fact(name: str, values: Sequence[str]) -> str:
    return f"<div><dt>{escape(name)}</dt>{''.join(f'<dd>{escape(value)}</dd>' for value in values)}</div>"


def _command(command: str) -> str:
    return (
        '<p id="again">To make it again:</p>\n<div class="command">'
        f'<pre tabindex="0" role="region" aria-labelledby="again"><code>{escape(command)}</code></pre>'
        '<button type="button" class="copy" hidden>Copy</button><span class="spoken" role="status"></span></div>\n'
    )


def _receipts(record: Record) -> dict[str, list[str]]:
    """Every field of the receipts; where they differ, each value with the quantities that it belongs to."""
    found: dict[str, list[str]] = {}
    for name in RECEIPT_FIELDS:
        owners: dict[str, list[str]] = {}
        for row in record:
            for text in _texts(getattr(row.measurement.receipt, name)):
                owners.setdefault(text, []).append(row.measurement.quantity)
        if owners:
            common = len(owners) == 1 or name == "notes"
            found[name.capitalize()] = [t if common else f"{t} — {wording.listed(q)}" for t, q in owners.items()]
    return found


def _texts(value: object) -> list[str]:
    """A receipt's field in words: notes one by one, seeds in one line."""
    if isinstance(value, tuple):
        return [str(v) for v in value] if value and isinstance(value[0], str) else [_seeds(value)] * bool(value)
    return [str(value)] if value else []


def _seeds(seeds: Sequence[int]) -> str:
    """Consecutive seeds as a range."""
    if len(seeds) > 2 and list(seeds) == list(range(seeds[0], seeds[-1] + 1)):
        return f"{seeds[0]} to {seeds[-1]}"
    return ", ".join(map(str, seeds))


def glossary(terms: Mapping[str, str]) -> str:
    """The terms that the report uses, each explained."""
    items = "".join(
        f'<div id="{term_id(i)}"><dt>{escape(term)}</dt><dd>{escape(meaning)}</dd></div>'
        for i, (term, meaning) in enumerate(terms.items())
    )
    return f"<dl>{items}</dl>" if items else ""


def term_id(number: int) -> str:
    """Where a term of the glossary stands on the page."""
    return f"term-{number}"


def _minus(text: str) -> str:
    """Digits with the minus sign of print; machines read the `data` element beside it."""
    return text.replace("-", "−")
