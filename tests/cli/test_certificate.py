"""`infoscope certificate` as a user runs it."""

from __future__ import annotations

import json

QUICK = ("iris", "--model", "mlp(widths=())", "--steps", 400, "--draws", 100)


def test_nine_bounds_the_ledger_and_what_the_weights_hold(measured, infoscope, tmp_path):
    rows = measured("certificate", *QUICK, "--out", "run")
    assert {"certificate", "risk", "KL(q|p)"} <= set(rows)
    assert rows["KL(q|p)"]["unit"] == "bit"
    assert rows["certificate"]["unit"] == "1"
    printed = json.loads(infoscope("certificate", *QUICK, "--out", "run", "--json").stdout)["measurements"]
    kinds = [row["kind"] for row in printed if row["quantity"] == "certificate"]
    assert len(set(kinds)) == 9, "each bound goes by its name"
    assert {row["bound"] for row in printed if row["quantity"] == "certificate"} == {"upper"}
    told = infoscope("certificate", *QUICK, "--out", "run").stdout
    assert "of new examples, but for a probability of 0.035" in told
    assert "draws of the weights: 0.0105" in told
    assert "Bounds on the risk" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


def test_bad_input_gets_a_word(infoscope):
    assert "delta is 2" in infoscope("certificate", *QUICK, "--delta", 2, code=1).stderr
