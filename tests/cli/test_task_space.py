from __future__ import annotations

import json


def test_tasks_are_embedded_and_compared(infoscope, tmp_path):
    out = tmp_path / "space"
    sets = [f"digits:classes={pair}" for pair in ("0,1", "2,3")]
    words = ("--probe", "mlp(widths=(16,))", "--epochs", "1", "--examples", "20", "--replicates", "1")
    done = infoscope("embed", *sets, *words, "--out", out, "--json")
    rows = json.loads(done.stdout)["measurements"]
    assert {row["quantity"] for row in rows} == {"|F|", "L(y|x)"}
    assert (out / "embeddings.json").is_file()
    found = json.loads(infoscope("tasks", out, "--json").stdout)
    assert len([row for row in found["measurements"] if row["quantity"] == "d_asym"]) == 2


def test_parts_of_a_task_that_lack_some_of_its_classes_are_sent_in_one_alphabet(infoscope, tmp_path):
    words = ("--probe", "mlp(widths=(8,))", "--epochs", "1", "--examples", "12")
    rows = json.loads(infoscope("embed", "digits", *words, "--out", tmp_path, "--json").stdout)["measurements"]
    assert [row["quantity"] for row in rows] == ["|F|", "L(y|x)"]


def test_a_file_of_weights_that_is_not_there_is_told_as_one(infoscope):
    done = infoscope("embed", "digits", "--probe", "nowhere/probe.safetensors", code=1)
    assert "no such file" in done.stderr
