from __future__ import annotations

import io
import json
import math

import pytest
from rich.console import Console

from infoscope.measurement import Measurement, Receipt, Status
from infoscope.record import Record
from infoscope.report import json_text, show

NUMBERS = (
    "187.0 ± 3.0 bit",
    "5,969.5 ± 0 bit",
    "1,520 ± 30 bit",
    "0.9750 ± 0.0040",
    "0.93",
    "0.1041",
    "3.3219",
    "1,797",
)


def shown(record: Record, width: int) -> str:
    console = Console(file=io.StringIO(), width=width)
    show(record, console)
    return console.file.getvalue()


def test_numbers_are_whole_in_80_columns(record):
    text = shown(record, 80)
    assert all(number in text for number in NUMBERS)
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text


def test_coordinates_are_columns_and_bounds_are_named(record):
    text = shown(record, 80)
    header = next(line for line in text.splitlines() if "quantity" in line)
    assert header.split() == ["task", "order", "quantity", "value", "bit/example", "bound", "n"]
    assert "upper" in text
    assert "exact" in text


def test_many_coordinates_join_the_quantity_rather_than_cut_a_number():
    record = Record()
    coordinates = {f"coordinate_{i}": f"value{i}" for i in range(8)}
    record.append(
        Measurement("L(y|x)", 123456.789 * math.log(2), 12.3 * math.log(2), receipt=Receipt("", n=60_000)),
        **coordinates,
    )
    text = shown(record, 80)
    assert "123,457 ± 12 bit" in text
    assert "60,000" in text
    assert max(map(len, text.splitlines())) <= 80
    assert all(value in text for value in coordinates.values())


def test_a_console_that_is_too_narrow_loses_nothing(record):
    text = shown(record, 30)
    assert all(number in text for number in NUMBERS)
    assert "…" not in text


def test_warnings_are_sentences_below_the_table(record):
    text = " ".join(shown(record, 80).split())
    assert f"Not converged: {Status.NOT_CONVERGED.value} (digits · 2 · L(M,D))." in text
    assert text.index("Not converged") > text.index("confidence")


def test_a_name_is_not_rich_markup():
    record = Record()
    record.append(Measurement("I(X;T) [bold red]", 1.0, unit="1"), task="[/] [link=x]")
    assert "[bold red]" in shown(record, 80)
    assert "[/] [link=x]" in shown(record, 80)


def test_there_is_no_column_of_bits_per_example_without_a_codelength():
    record = Record()
    record.append(Measurement("I(X;T)", 1.0, receipt=Receipt("", n=10)))
    assert "bit/example" not in shown(record, 80)


def test_json_has_every_row_and_no_nan(record):
    record.append(Measurement("I(X;T)", math.inf), noise=math.nan)

    def refuse(constant: str):
        pytest.fail(f"{constant} is not JSON")

    read = json.loads(json_text(record), parse_constant=refuse)
    assert list(read) == ["measurements"]
    assert len(read["measurements"]) == len(record)
    for row, m in zip(read["measurements"], record, strict=True):
        if math.isfinite(m.measurement.value):
            assert row == {**m.coordinates, **json.loads(json.dumps(m.measurement.as_dict()))}
    assert read["measurements"][-1]["noise"] is None
    assert read["measurements"][-1]["value"] is None
