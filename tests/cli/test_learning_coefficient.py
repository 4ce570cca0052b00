"""`infoscope learning-coefficient` as a user runs it."""

from __future__ import annotations

QUICK = ("iris", "--examples", 40, "--epochs", 3, "--steps", 60, "--replicates", 2)


def test_both_coefficients_the_curve_and_how_the_chains_went(measured, infoscope, tmp_path):
    rows = measured("learning-coefficient", *QUICK, "--out", "run")
    assert {"lambda_E", "lambda_H", "E_q L"} <= set(rows)
    assert rows["lambda_E"]["unit"] == "1"
    assert rows["E_q L"]["unit"] == "bit"
    assert any("R̂" in note for note in rows["lambda_E"]["receipt"]["notes"])
    told = infoscope("learning-coefficient", *QUICK, "--out", "run").stdout
    assert "every halving of the tolerated loss costs" in told
    assert "Learning coefficient" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


def test_bad_input_gets_a_word(infoscope):
    assert "b is -1" in infoscope("learning-coefficient", *QUICK, "--b", -1, code=1).stderr
    assert "no layer matches 'conv*'" in infoscope("learning-coefficient", *QUICK, "--layers", "conv*", code=1).stderr
