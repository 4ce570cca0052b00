"""`infoscope bottleneck` as a user runs it."""

from __future__ import annotations

QUICK = ("bottleneck", "digits", "--model", "mlp(widths=(16,))", "--train", 200, "--epochs", 60, "--replicates", 2)


def test_the_curve_and_a_nuisance(measured, infoscope):
    words = ("--betas", 0.01, 50, "--nuisance", "clutter(values=2)", "--examples", 120)
    rows = measured(*QUICK, *words)
    assert {"I(Z;X)", "I(Z;X), at least", "I(Z;Y)", "I(Z;X) − I(Z;Y)", "TC(Z)", "I(Z;N)", "accuracy"} <= set(rows)
    assert rows["I(Z;X)"]["bound"] == "upper"
    assert rows["I(Z;Y)"]["value"] < 0.05  # of the last price
    told = " ".join(infoscope(*QUICK, *words).stdout.split())
    assert "a code of digits keeps at most" in told
    assert "At β = 50 it tells nothing of the label" in told


def test_bad_input_gets_a_word(infoscope):
    assert "a price is 0 or more" in infoscope(*QUICK, "--betas", -1, code=1).stderr
    assert "did you mean turn?" in infoscope(*QUICK, "--nuisance", "turns", code=1).stderr
    assert "needs images" in infoscope("bottleneck", "iris", "--nuisance", "turn", code=1).stderr
