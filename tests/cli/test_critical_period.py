"""`infoscope critical-period` as a user runs it."""

from __future__ import annotations


def test_what_a_deficit_costs(measured, infoscope):
    words = ("critical-period", "digits:rows=0..200", "--model", "mlp(widths=(8,))", "--deficit", "flip", "permute")
    how = ("--length", 2, "--epochs", 4, "--replicates", 2, "--coded", 10, "--coder", "replay(replays=1, start=8)")
    rows = measured(*words, *how)
    assert {"accuracy", "accuracy gap", "L(M,D)", "information gap", "tr F", "tr F, calibrated"} <= set(rows)
    assert "18 trainings" in infoscope(*words, *how, "--dry-run").stdout
    assert "no method 'blurr'; did you mean blur?" in infoscope(*words[:5], "blurr", code=1).stderr
    assert "needs images" in infoscope("critical-period", "iris", code=1).stderr
