from __future__ import annotations

import json


def test_parts_of_a_data_set_are_learned_one_after_another(infoscope):
    """The whole program, with the words of the page."""
    words = ("forgetting", "iris:classes=setosa,versicolor", "iris:classes=virginica", "--algorithm", "plain",
             "--algorithm", "ewc(strength=100)", "--depth", "head-kept", "--model", "mlp", "--k", 20, "--train", 20,
             "--epochs", 3, "--replicates", 2, "--jobs", 1)  # fmt: skip
    rows = json.loads(infoscope(*words, "--json").stdout)["measurements"]
    lost = [row for row in rows if row["quantity"] == "forgotten" and row["task"] != "all earlier tasks"]
    assert [row["algorithm"] for row in lost] == ["plain", "ewc(strength=100)"]
    assert all((row["task"], row["after"]) == (words[1], words[2]) for row in lost)
    assert all(row["unit"] == "bit" and row["stderr"] is not None for row in lost)
    assert {"forgotten share", "L(M,D)", "accuracy"} <= {row["quantity"] for row in rows}
    told = json.loads(infoscope(*words, "--json", "--dry-run").stdout)["dry_run"]
    assert told["trainings"] == 2 + 2 + 2


def test_what_cannot_be_learned_in_a_chain_is_told_in_one_line(infoscope):
    assert "one network learns all" in infoscope("forgetting", "iris", "digits", code=1).stderr
