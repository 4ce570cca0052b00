"""`infoscope effective-information` as a user runs it."""

from __future__ import annotations

QUICK = ("iris", "--model", "mlp(widths=(4,))", "--epochs", 3, "--replicates", 2, "--rounds", 2)


def test_layers_over_training(measured, infoscope):
    rows = measured("effective-information", *QUICK, "--beta", 1, 4, "--at", 0, 1)
    assert {"I_eff", "KL(q|p)", "tr F", "tr F/tr H", "loss"} <= set(rows)
    assert rows["I_eff"]["unit"] == "bit"
    assert (rows["I_eff"]["layer"], rows["I_eff"]["epoch"]) == ("fc2", 3)
    dry = infoscope("effective-information", *QUICK, "--dry-run").stdout
    assert "2 trainings and 8 channels" in dry


def test_bad_input_gets_a_word(infoscope):
    assert "no layer" in infoscope("effective-information", *QUICK, "--layers", "relu9", code=1).stderr
    assert "finite" in infoscope("effective-information", *QUICK, "--spread", 0, code=1).stderr
