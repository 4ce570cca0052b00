"""The function behind `infoscope plane`."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from infoscope.cli.app import Data, Run
from infoscope.cli.plane import plane
from infoscope.learn.learner import copy_weights
from infoscope.learn.task import Task
from infoscope.models import model
from infoscope.record import Record


@pytest.fixture
def run(tmp_path, capsys, monkeypatch):
    """Run the command with --json in an empty folder; its printed rows and its whole record."""
    monkeypatch.chdir(tmp_path)

    def call(what, data=None, *, orders=1, **options):
        settings = {"model": None, "schedule": "every", "estimator": None, "layers": (), "epochs": 3, "null": 0}
        out = tmp_path / "out"
        plane(what, data, **settings | options, reading=Data(), run=Run(orders=orders, jobs=1, out=out, json=True))
        printed = json.loads(capsys.readouterr().out)["measurements"]
        return printed, Record(out / "plane.jsonl"), (out / "report.html").read_text()

    return call


def epochs(record):
    return sorted({row.coordinates["epoch"] for row in record})


def test_tishby_is_the_papers_network(run):
    printed, record, report = run("tishby", orders=2, layers=("act*",), schedule="delta(delta=0.5)")
    assert epochs(record) == [0, 1, 3]
    assert {(row["seed"], row["epoch"]) for row in printed} == {(0, 3), (1, 3)}
    assert [row["layer"] for row in printed[:10:2]] == ["act1", "act2", "act3", "act4", "act5"]
    assert {row["method"] for row in (m["receipt"] for m in printed)} == {"IDNNS(bins=30)"}
    assert printed[0]["n"] == 4096
    assert '"frames": ["epoch 0", "epoch 1", "epoch 3"]' in report


def test_the_same_command_trains_nothing_again(run, monkeypatch):
    first = run("iris", model="mlp")
    monkeypatch.setattr("infoscope.dynamics.training.fit", None)
    assert run("iris", model="mlp")[0] == first[0]


def test_data_are_measured_on_both_sides(run):
    printed, record, _ = run("iris", epochs=2)
    assert epochs(record) == [0, 1, 2]
    assert {(row["side"], row["n"]) for row in printed} == {("train", 120), ("test", 30)}


def test_checkpoints_need_their_network(run, tmp_path):
    task = Task.from_dataset("iris")
    (tmp_path / "steps").mkdir()
    for step in (10, 20):
        torch.save(copy_weights(model("mlp")(task.shape, 3)), tmp_path / "steps" / f"step{step}.pt")
    with pytest.raises(ValueError, match="name their network with --model"):
        run("steps", "iris")
    _, record, _ = run("steps", "iris", model="mlp", estimator='uniform(n=10, range="neuron")')
    assert epochs(record) == [10, 20]


def test_saved_activations_need_nothing_else(run, tmp_path):
    np.savez(tmp_path / "a.npz", y=np.arange(16) % 2, fc1=np.arange(16.0)[:, None])
    printed, _, _ = run("a.npz", estimator="uniform(n=16, range=(0.0, 16.0))")
    assert [(row["quantity"], row["value"]) for row in printed] == [("I(X;T)", 4.0), ("I(T;Y)", 1.0)]


def test_a_data_set_in_a_file_is_no_activations(run, tmp_path):
    task = Task.from_dataset("iris")
    np.savez(tmp_path / "own.npz", x=task.x, y=task.y)
    assert epochs(run("own.npz", epochs=1)[1]) == [0, 1]
