"""`infoscope shannon` as a user runs it."""

from __future__ import annotations

QUICK = ("iris", "--examples", 20, "--epochs", 3, "--replicates", 4, "--seeds", 0, "--draws", 2)


def test_bounds_and_what_lies_between(measured, tmp_path):
    rows = measured("shannon", *QUICK, "--out", "run")
    assert {"H(D)", "I(w;D)", "KL(q|p)"} <= set(rows)
    assert rows["I(w;D)"]["unit"] == "bit"
    told = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "Which examples of iris were drawn takes" in told


def test_bad_input_gets_a_word(infoscope):
    assert "beta is -1" in infoscope("shannon", *QUICK, "--beta", -1, code=1).stderr
    assert "Choose from" in infoscope("shannon", *QUICK, "--source", "weights", code=2).stderr


def test_labels_drawn_anew(measured):
    rows = measured("shannon", *QUICK, "--model", "mlp(widths=())", "--source", "labels")
    assert {"H(D)", "I(w;D)", "KL(q|p)"} <= set(rows)
