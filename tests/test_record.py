from __future__ import annotations

import math

import pytest

from infoscope.measurement import Measurement
from infoscope.record import Record, load


def test_rows_are_on_disk_as_soon_as_they_are_appended(tmp_path):
    path = tmp_path / "record.jsonl"
    Record(path).append(Measurement("L", 1.0), task="a", order=0)
    again = Record(path)
    again.append(Measurement("L", 2.0), task="b", order=1)
    assert [(r.coordinates, r.measurement.value) for r in Record(path)] == [
        ({"task": "a", "order": 0}, 1.0),
        ({"task": "b", "order": 1}, 2.0),
    ]
    assert [m.value for m in again.where(task="b")] == [2.0]


def test_a_torn_last_line_costs_that_line_only(tmp_path):
    path = tmp_path / "record.jsonl"
    record = Record(path)
    record.append(Measurement("L", 1.0))
    with path.open("a") as file:
        file.write('{"coordinates": {"ta')
    again = Record(path)
    assert len(again) == 1
    again.append(Measurement("L", 2.0))
    assert [row.measurement.value for row in Record(path)] == [1.0, 2.0]


def test_load_reads_a_run_as_a_data_frame(tmp_path):
    Record(tmp_path / "record.jsonl").append(Measurement("L", math.log(2)), task="a")
    frame = load(tmp_path)
    assert frame.loc[0, ["task", "quantity", "value", "unit"]].tolist() == ["a", "L", 1.0, "bit"]
    with pytest.raises(ValueError, match=r"has no record\.jsonl"):
        load(tmp_path / "nothing")
