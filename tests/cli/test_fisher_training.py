"""`infoscope fisher-training` as a user runs it."""

from __future__ import annotations


def test_it_rises_and_falls(measured, infoscope):
    words = ("fisher-training", "iris", "--model", "mlp(widths=(8,))", "--epochs", 20, "--every", 10, "--replicates", 2)
    rows = measured(*words)
    assert {"tr F", "tr F, calibrated", "p(1-p)", "training loss", "rise of tr F", "fall of tr F"} <= set(rows)
    assert "take more epochs" in infoscope(*words[:4], "--epochs", 1, "--every", 10, code=1).stderr
