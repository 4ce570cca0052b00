"""`infoscope similarity` as a user runs it."""

from __future__ import annotations

import json


def test_similarity_of_two_tables_in_one_json(infoscope, tmp_path):
    words = ("similarity", "iris", "iris", "--k", 40, "--train", 60, "--replicates", 2, "--head", "closed-form")
    done = infoscope(*words, "--jobs", 1, "--json", "--out", "run")
    rows = json.loads(done.stdout)["measurements"]
    shares = {(row["source"], row["target"]): row["value"] for row in rows if row["quantity"] == "S_uni"}
    assert shares == {(a, b): 1.0 for a in ("iris #1", "iris #2") for b in ("iris #1", "iris #2")}
    assert {"L(M,D)", "S", "S_uni", "d1", "d2", "MMD²", "CKA"} <= {row["quantity"] for row in rows}
    assert any("closed form" in note for row in rows for note in row["receipt"]["notes"])
    assert '"rows": ["iris #1", "iris #2"]' in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


def test_tasks_that_cannot_be_compared_are_told(infoscope):
    told = infoscope("similarity", "iris", "digits", code=1).stderr
    assert "differ" in told
    assert "similarity is of two data sets or more" in infoscope("similarity", "iris", code=1).stderr
