from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from infoscope.cli.mi import mi


@pytest.fixture
def layers(tmp_path: Path) -> Path:
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


def test_data_processing_is_checked_along_the_layers(tmp_path, capsys):
    t = np.random.default_rng(0).normal(size=(128, 2))
    path = tmp_path / "grown.npz"
    np.savez(path, y=np.arange(128) % 2, T1=t, T2=t * 100)
    mi(path, "saxe(width=1.0)", null=0, seed=0, json=True)
    rows = json.loads(capsys.readouterr().out)["measurements"]
    assert "DATA_PROCESSING_VIOLATED" in rows[2]["status"]
    assert "DATA_PROCESSING_VIOLATED" not in rows[0]["status"]


def test_wrong_words_and_files(layers, tmp_path):
    with pytest.raises(ValueError, match="no method 'ksgg'; did you mean ksg"):
        mi(layers, "ksgg", 0, 0, True)
    with pytest.raises(ValueError, match="KSG is for points-points"):
        mi(layers, "ksg", 0, 0, True)
    with pytest.raises(ValueError, match="no such file"):
        mi(tmp_path / "none.npz", "saxe", 0, 0, True)
    np.savez(tmp_path / "empty.npz", T1=np.zeros(3))
    with pytest.raises(ValueError, match="it needs `y`"):
        mi(tmp_path / "empty.npz", "saxe", 0, 0, True)
    (tmp_path / "text.npz").write_text("no zip")
    with pytest.raises(ValueError, match=r"cannot be read as \.npz"):
        mi(tmp_path / "text.npz", "saxe", 0, 0, True)
