from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from infoscope.cli.command import command
from infoscope.cli.options import Run
from infoscope.dynamics.plane.saved_information import SavedInformation
from infoscope.mi import mutual_information
from infoscope.mi.methods import METHODS
from infoscope.record import Record
from infoscope.run.question import ask


def mi(
    file: Path,
    estimator: str | None = None,
    null: int | None = 0,
    seed: int = 0,
    *,
    json: bool = False,
    out: Path | None = None,
) -> None:
    command("mi")(file, estimator=estimator, null=null, seed=seed, run=Run(json=json, out=out))


@pytest.fixture
def layers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    x = (np.arange(256)[:, None] >> np.arange(8)) & 1
    path = tmp_path / "layers.npz"
    np.savez(path, X=x, y=x[:, 0], T1=x.astype(float), T2=x[:, :3].astype(float), T10=x[:, :1].astype(float))
    return path


def test_every_layer_in_bits(layers, capsys):
    mi(layers, "saxe(width=0.5)", null=0, seed=0, json=True)
    rows = json.loads(capsys.readouterr().out)["measurements"]
    told = [(row["layer"], row["quantity"], round(row["value"], 9), row["unit"]) for row in rows]
    assert told == [
        ("T1", "I(X;T)", 8.0, "bit"),
        ("T1", "I(T;Y)", 1.0, "bit"),
        ("T2", "I(X;T)", 3.0, "bit"),
        ("T2", "I(T;Y)", 1.0, "bit"),
        ("T10", "I(X;T)", 1.0, "bit"),
        ("T10", "I(T;Y)", 1.0, "bit"),
    ]
    assert "SATURATED" in rows[0]["status"]
    assert rows[0]["receipt"]["method"] == "Saxe(width=0.5)"


def test_the_table_and_its_warnings(layers, capsys):
    mi(layers, "kde-upper", null=3, seed=0, json=False)
    told = capsys.readouterr().out
    assert "I(X;T)" in told
    assert "saturated" in told.casefold()


def test_data_processing_is_checked_along_the_layers(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    t = np.random.default_rng(0).normal(size=(128, 2))
    path = tmp_path / "grown.npz"
    np.savez(path, y=np.arange(128) % 2, T1=t, T2=t * 100)
    mi(path, "saxe(width=1.0)", null=0, seed=0, json=True)
    rows = json.loads(capsys.readouterr().out)["measurements"]
    assert "DATA_PROCESSING_VIOLATED" in rows[2]["status"]
    assert "DATA_PROCESSING_VIOLATED" not in rows[0]["status"]


def test_the_report_shows_both_informations_of_every_layer(layers, tmp_path, capsys):
    mi(layers, "saxe(width=0.5)", out=tmp_path / "out")
    told = capsys.readouterr().out
    assert "By 256 examples, T1 holds 8.00 bits about the input and 1.00 about the label, T10 holds 1.00 bits" in told
    report = (tmp_path / "out" / "report.html").read_text()
    assert "What the layers hold" in report
    assert "Saxe(width=0.5)" in report
    assert len(Record(tmp_path / "out" / "record.jsonl")) == 6


def test_a_dry_run_counts_the_layers(layers, capsys):
    command("mi")(layers, run=Run(json=True, dry_run=True))
    assert json.loads(capsys.readouterr().out)["dry_run"]["layers"] == 3


def test_wrong_words_and_files(layers, tmp_path):
    with pytest.raises(ValueError, match="no method 'ksgg'; did you mean ksg"):
        mi(layers, "ksgg", json=True)
    with pytest.raises(ValueError, match=r"ksg is for two sides of continuous values.* for layers take ross"):
        mi(layers, "ksg", json=True)
    with pytest.raises(ValueError, match="no such file"):
        mi(tmp_path / "none.npz", "saxe", json=True)
    np.savez(tmp_path / "empty.npz", T1=np.zeros(3))
    with pytest.raises(ValueError, match="it needs `y`"):
        mi(tmp_path / "empty.npz", "saxe", json=True)
    (tmp_path / "text.npz").write_text("no zip")
    with pytest.raises(ValueError, match=r"not a readable \.npz"):
        mi(tmp_path / "text.npz", "saxe", json=True)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"T2": np.where(np.arange(256) == 9, np.nan, 1.0)[:, None]}, r"bad.npz: `T2` has 1 of 256 rows with NaN"),
        ({"T2": np.zeros((99, 1))}, r"bad.npz: `T2` has 99 examples and `y` 256"),
    ],
)
def test_what_was_measured_before_a_bad_layer_is_shown(layers, tmp_path, capsys, bad, message):
    with np.load(layers) as file:
        np.savez(tmp_path / "bad.npz", **dict(file) | bad)
    with pytest.raises(ValueError, match=message + ".*What was measured before it is shown"):
        mi(tmp_path / "bad.npz", "idnns", json=True)
    assert {row["layer"] for row in json.loads(capsys.readouterr().out)["measurements"]} == {"T1"}


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"X": np.zeros((9, 8))}, r"`X` has shape \(9, 8\) and `y` \(256,\)"),
        ({"y": np.zeros(256) + 0.5}, "not integer labels"),
        ({"y": np.array(["a", "b"] * 128)}, "not integer labels"),
    ],
)
def test_bad_inputs_and_labels_are_refused(layers, tmp_path, bad, message):
    with np.load(layers) as file:
        np.savez(tmp_path / "bad.npz", **dict(file) | bad)
    with pytest.raises(ValueError, match=message):
        mi(tmp_path / "bad.npz", "idnns", json=True)


def test_names_with_hyphens_take_options(layers, capsys):
    mi(layers, "kde-upper(variance=0.1)", json=True)
    rows = json.loads(capsys.readouterr().out)["measurements"]
    assert rows[0]["receipt"]["method"].startswith("KDE(variance=0.1")
    with pytest.raises(ValueError, match="saxe's width is 'a'; it is a number"):
        mi(layers, "saxe(width='a')", json=True)


@pytest.fixture
def noise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Noise in ten dimensions at three scales, with labels that know nothing of it."""
    monkeypatch.chdir(tmp_path)
    draws = np.random.default_rng(0)
    t = draws.normal(size=(300, 10))
    np.savez(tmp_path / "noise.npz", y=draws.integers(2, size=300), T1=t, T2=t * 2.0**-10, T3=t * 2.0**10)
    return tmp_path / "noise.npz"


def test_without_an_estimator_noise_tells_nothing_of_random_labels_at_any_scale(noise, capsys):
    mi(noise, null=None, json=True)
    rows = json.loads(capsys.readouterr().out)["measurements"]
    label = [row for row in rows if row["quantity"] == "I(T;Y)"]
    assert len({row["value"] for row in rows}) == 2  # the same of all layers
    assert abs(label[0]["value"]) < 3 * label[0]["stderr"] < 0.5
    assert all("DATA_PROCESSING_VIOLATED" not in row["status"] for row in rows)


def test_without_an_estimator_a_label_is_found_and_is_what_mutual_information_finds(noise, capsys):
    with np.load(noise) as file:
        y, t = file["y"], file["T1"]
    t[:, 0] += 4 * y
    np.savez(noise, y=y, T1=t)
    mi(noise, null=None)
    told = capsys.readouterr().out
    assert "uniform(range='layer') for I(X;T), largest for I(T;Y)" in told
    mi(noise, json=True, out=noise.parent / "again")
    rows = json.loads(capsys.readouterr().out)["measurements"]
    assert rows[1]["value"] == mutual_information(t, y, strict=False).bits > 0.5


@pytest.mark.parametrize("estimator", ["kde-upper", "kde-lower", "uniform(range='layer')", "quantised"])
def test_where_shufflings_cost_little_they_are_made_without_being_asked_for(noise, capsys, estimator):
    mi(noise, estimator, null=None, json=True)
    row = json.loads(capsys.readouterr().out)["measurements"][1]
    assert row["value"] > 0.9
    assert "INSIGNIFICANT" in row["status"]
    assert row["receipt"]["notes"][-1].startswith("20 shufflings give")
    mi(noise, estimator, null=None, out=noise.parent / "shown")
    assert (
        "bits about the input and 1.00 about the label (no more than shuffled labels give)" in capsys.readouterr().out
    )
    mi(noise, estimator, null=0, json=True, out=noise.parent / "none")
    assert "INSIGNIFICANT" not in json.loads(capsys.readouterr().out)["measurements"][1]["status"]


def test_where_shufflings_cost_as_much_as_the_estimate_they_are_asked_for(noise, capsys):
    mi(noise, "ross", null=None, json=True)
    assert "shufflings" not in capsys.readouterr().out


def test_the_bars_of_the_report_have_their_errors(noise):
    answer = ask(SavedInformation(noise))
    of_input, of_label = answer.figures()[0].lines
    stderr = answer.layers[0].t_y.stderr_bits
    assert of_label.upper[0] - of_label.lower[0] == pytest.approx(2 * stderr)
    exact = ask(SavedInformation(noise, estimator=METHODS["kde-upper"])).figures()[0].lines[0]
    assert exact.lower == exact.upper == exact.y  # an unknown error draws no bar
    assert len(of_input.x) == 3


def test_wide_layers_are_probed(noise, capsys):
    with np.load(noise) as file:
        y, t = file["y"], file["T1"]
    wide = np.random.default_rng(1).normal(size=(300, 10, 10)) + 2 * y[:, None, None]
    np.savez(noise, y=y, T1=wide, T2=t)
    mi(noise, null=None)
    assert "largest for I(T;Y) (probe from 100 columns on)" in " ".join(capsys.readouterr().out.split())
    mi(noise, json=True, out=noise.parent / "wide")
    rows = json.loads(capsys.readouterr().out)["measurements"]
    assert [row["receipt"]["method"].partition("(")[0] for row in rows] == ["Uniform", "Probe", "Uniform", "Largest"]
    assert rows[1]["bound"] == "lower"
    assert rows[1]["value"] > 0.8
