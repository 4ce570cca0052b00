from __future__ import annotations

import csv
import math

import pytest

from infoscope.measurement import Measurement, Status
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


def a_plane() -> Record:
    """Two quantities by seed, epoch and layer; one is flagged, one has no known error."""
    record = Record()
    for seed in range(2):
        for epoch in (0, 5, 10):
            for layer in ("act1", "fc2"):
                flagged = frozenset({Status.TIES, Status.SATURATED}) if epoch == 10 else frozenset()
                for quantity, unit in (("I(X;T)", "nat"), ("accuracy", "1")):
                    m = Measurement(quantity, math.log(2) * (epoch + seed), math.nan, unit, status=flagged)
                    record.append(m, seed=seed, epoch=epoch, layer=layer)
    return record


def test_a_csv_holds_what_the_frame_holds(tmp_path):
    record = a_plane()
    assert record.export(tmp_path / "made" / "table.csv") == tmp_path / "made" / "table.csv"
    with (tmp_path / "made" / "table.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    frame = record.to_pandas()
    assert list(rows[0]) == list(frame.columns)
    assert [float(row["value"]) for row in rows] == frame["value"].tolist()
    assert {row["stderr"] for row in rows} == {""}
    assert rows[-1]["status"] == "SATURATED TIES"


def test_parquet_keeps_the_types(tmp_path):
    pandas = pytest.importorskip("pandas")
    record = a_plane()
    record.append(Measurement("I(X;T)", 1.0), seed=2, layer=7)
    frame = pandas.read_parquet(record.export(tmp_path / "table.parquet"))
    assert frame["value"].tolist() == record.to_pandas()["value"].tolist()
    assert frame["epoch"].tolist()[:3] == [0, 0, 0]
    assert math.isnan(frame["epoch"].tolist()[-1])
    assert frame["layer"].tolist()[-1] == "7"  # beside names, a number is one


def test_another_suffix_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"table.xlsx: a table is written as .csv or .parquet"):
        a_plane().export(tmp_path / "table.xlsx")


@pytest.fixture
def drawn(monkeypatch):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


def test_a_plot_has_a_panel_a_quantity_and_a_curve_a_layer(drawn):
    panels = a_plane().plot()
    assert [panel.get_ylabel() for panel in panels] == ["I(X;T), bit", "accuracy"]
    assert panels[-1].get_xlabel() == "epoch"
    curves = [container.lines[0] for container in panels[0].containers]
    assert [text.get_text() for text in panels[0].get_legend().get_texts()] == ["act1", "fc2"]
    assert curves[0].get_xdata().tolist() == [0, 5, 10]
    assert curves[0].get_ydata().tolist() == pytest.approx([0.5, 5.5, 10.5])  # the mean over two seeds
    (bars,) = panels[0].containers[0].lines[2]
    assert [top - bottom for (_, bottom), (_, top) in bars.get_segments()] == pytest.approx([1, 1, 1])


def test_a_plot_goes_along_the_coordinate_that_is_named(drawn):
    panels = a_plane().plot("seed")
    assert panels[0].containers[0].lines[0].get_ydata().tolist() == pytest.approx([5, 6])
    with pytest.raises(ValueError, match="no coordinate 'layer' has two numbers; there are seed, epoch"):
        a_plane().plot("layer")
    with pytest.raises(ValueError, match="the record is empty"):
        Record().plot()


def test_places_without_numbers_are_points(drawn):
    record = Record()
    for task, bits in (("iris", 3.0), ("wine", 4.0)):
        record.append(Measurement("L(y|x)", bits * math.log(2), 0.5 * math.log(2)), task=task)
    (panel,) = record.plot()
    (points,) = panel.containers
    assert points.lines[0].get_ydata().tolist() == pytest.approx([3, 4])
    assert [text.get_text() for text in panel.get_xticklabels()] == ["iris", "wine"]
    (bars,) = points.lines[2]
    assert [top - bottom for (_, bottom), (_, top) in bars.get_segments()] == pytest.approx([1, 1])
