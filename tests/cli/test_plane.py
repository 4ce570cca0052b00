"""`infoscope plane` in this process: what it takes, measures, prints and keeps."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from infoscope.cli.command import command
from infoscope.cli.options import Run
from infoscope.data.task import Task
from infoscope.mi.estimators.quantised import Quantised
from infoscope.models import model
from infoscope.record import Record
from infoscope.training.learner import copy_weights


@pytest.fixture
def run(tmp_path, capsys, monkeypatch):
    """Run the command with --json in an empty folder; its printed rows and its whole record."""
    monkeypatch.chdir(tmp_path)

    def call(*words, replicates=1, out="out", **options):
        out = tmp_path / out
        ask(*words, replicates=replicates, run=Run(jobs=1, out=out, json=True), **options)
        printed = json.loads(capsys.readouterr().out)["measurements"]
        return printed, Record(out / "plane.jsonl"), (out / "report.html").read_text()

    return call


def ask(*words, **options):
    trains = words[0] in ("tishby", "iris", "own.npz") or ":" in words[0]
    given = {"schedule": "every", "epochs": 3 if trains else None} | options
    command("plane")(*words, **{k: v for k, v in given.items() if v is not None})


def epochs(record):
    return sorted({row.coordinates["epoch"] for row in record})


def test_tishby_is_the_papers_network(run):
    printed, record, report = run("tishby", replicates=2, layers=("act*",), schedule="delta(delta=0.5)")
    assert epochs(record) == [0, 1, 3]
    assert {(row["seed"], row["epoch"]) for row in printed} == {(0, 3), (1, 3)}
    assert [row["layer"] for row in printed[:10:2]] == ["act1", "act2", "act3", "act4", "act5"]
    assert {row["method"] for row in (m["receipt"] for m in printed)} == {"IDNNS(bins=30)"}
    assert printed[0]["n"] == 4096
    assert '"frames": ["epoch 0", "epoch 1", "epoch 3"]' in report


def test_the_same_command_trains_nothing_again(run, monkeypatch):
    first = run("iris", model="mlp")
    monkeypatch.setattr("infoscope.dynamics.plane.training.fit_stack", None)
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
    _, record, _ = run("steps", "iris", out="named", model="mlp", estimator='uniform(n=10, range="neuron")')
    assert epochs(record) == [10, 20]


def test_saved_activations_need_nothing_else(run, tmp_path):
    np.savez(tmp_path / "a.npz", y=np.arange(16) % 2, fc1=np.arange(16.0)[:, None])
    printed, _, _ = run("a.npz", estimator="uniform(n=16, range=(0.0, 16.0))")
    assert [(row["quantity"], row["value"]) for row in printed] == [("I(X;T)", 4.0), ("I(T;Y)", 1.0)]


def test_a_data_set_in_a_file_is_no_activations(run, tmp_path):
    task = Task.from_dataset("iris")
    np.savez(tmp_path / "own.npz", x=task.x, y=task.y)
    assert epochs(run("own.npz", epochs=1)[1]) == [0, 1]


def test_a_quantised_network_is_measured_exactly(run):
    printed, _, _ = run("tishby", bits=1, layers=("act[45]",))
    assert {row["receipt"]["method"] for row in printed} == {repr(Quantised())}
    x_t = [row for row in printed if row["quantity"] == "I(X;T)"]
    assert x_t[0]["value"] <= 4 + 1e-9  # four units of one bit
    assert x_t[1]["value"] <= min(3, x_t[0]["value"]) + 1e-9
    assert {row["bound"] for row in printed} == {"exact"}


def test_a_noisy_network_is_measured_with_the_noise_that_it_was_trained_with(run):
    printed, record, _ = run("iris", noise=0.1, schedule=None, epochs=2)
    assert {row["receipt"]["method"] for row in printed} == {"Noisy(variance=0.1, samples=2048)"}
    assert epochs(record) == [0, 1, 2]
    assert "noisy passes" in printed[2]["receipt"]["notes"][0]


@pytest.mark.parametrize(
    ("words", "options", "told"),
    [
        ("iris", {"schedule": "every(n=2)", "epochs": 9}, "6 of the epochs 0 to 9 are measured."),
        ("tishby", {"schedule": None, "epochs": 1000}, "about "),
        ("iris", {"schedule": "log(per_decade=1)", "epochs": 100}, "4 of the epochs 0 to 100 are measured."),
    ],
)
def test_a_dry_run_says_what_it_would_take_and_writes_nothing(words, options, told, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ask(words, replicates=2, run=Run(jobs=1, json=True, dry_run=True), **options)
    found = json.loads(capsys.readouterr().out)["dry_run"]
    assert found["seconds"] > 0
    assert (found["trainings"], found["jobs"]) == (2, 1)
    assert found["remarks"][0].startswith(f"Of each training, {told}")
    ask(words, replicates=2, run=Run(dry_run=True), **options)
    shown = capsys.readouterr().out
    assert "2 trainings" in shown
    assert told in shown
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_counts_the_epochs_of_what_a_training_left(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    t = np.arange(16.0)[:, None]
    np.savez(tmp_path / "a.npz", y=np.arange(16) % 2, **{"0/fc1": t, "4/fc1": t})
    task = Task.from_dataset("iris")
    (tmp_path / "steps").mkdir()
    for step in range(5):
        torch.save(copy_weights(model("mlp")(task.shape, 3)), tmp_path / "steps" / f"step{step}.pt")
    for words, options, measured in ((("a.npz",), {}, 2), (("steps", "iris"), {"model": "mlp"}, 5)):
        ask(*words, run=Run(json=True, dry_run=True), **options)
        assert json.loads(capsys.readouterr().out)["dry_run"]["measured epochs"] == measured


def test_a_layer_of_saved_activations_that_cannot_be_measured_leaves_the_others(run, tmp_path):
    t = np.arange(16.0)[:, None]
    bad = np.where(t == 7, np.nan, t)
    np.savez(tmp_path / "nan.npz", y=np.arange(16) % 2, **{"0/fc1": t, "0/fc2": t, "1/fc1": t, "1/fc2": bad})
    with pytest.raises(ValueError, match=r"nan.npz, epoch 1: `fc2` has 1 of 16 rows with NaN .* first is row 7"):
        run("nan.npz")
    kept = Record(tmp_path / "out" / "plane.jsonl")
    assert [(row.coordinates["epoch"], row.coordinates["layer"]) for row in kept][::2] == [
        (0, "fc1"), (0, "fc2"), (1, "fc1"),
    ]  # fmt: skip
    assert "epoch 1" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize(
    ("words", "options", "message"),
    [
        (("short.npz",), {}, r"epoch 0: layer 'fc1' has shape \(9, 1\) for 16 labels"),
        (("real.npz",), {}, r"`y` holds float64 of shape \(16,\), not integer labels"),
        (("none.npz",), {}, "none.npz: no such file"),
        (("text.npz",), {}, r"text.npz: not a readable .npz"),
        (("bare.npz",), {}, "has no labels `y`"),
        (("inputs.npz",), {}, "has 3 inputs and 16 labels"),
        (("iris",), {"estimator": "ksg"}, "for layers take ross"),
        (("iris",), {"layers": ("conv*",)}, r"no layer of Sequential matches 'conv\*'; it has: flatten"),
        (("steps",), {}, "holds checkpoints; name the data to measure them on"),
        (("bare.npz",), {"bits": 3}, "are for a training; bare.npz is one of activations"),
        (("iris",), {"model": "mlp", "estimator": "noisy(variance=1)", "noise": 0.1}, "data processing holds where"),
    ],
)
def test_bad_input_gets_a_clear_word(run, tmp_path, words, options, message):
    t, y = np.arange(16.0)[:, None], np.arange(16) % 2
    np.savez(tmp_path / "short.npz", y=y, fc1=t[:9])
    np.savez(tmp_path / "real.npz", y=y + 0.5, fc1=t)
    np.savez(tmp_path / "bare.npz", fc1=t)
    np.savez(tmp_path / "inputs.npz", X=t[:3], y=y, fc1=t)
    (tmp_path / "text.npz").write_text("no zip")
    (tmp_path / "steps").mkdir()
    torch.save({"w": t}, tmp_path / "steps" / "step1.pt")
    with pytest.raises(ValueError, match=message):
        run(*words, **options)


def test_a_training_that_diverges_shows_what_was_measured_before(run, tmp_path, monkeypatch):
    (tmp_path / "diverging.py").write_text(
        "import torch\n"
        "from torch import nn\n"
        "class Net(nn.Module):\n"
        "    def __init__(self, classes):\n"
        "        super().__init__()\n"
        "        self.fc = nn.Linear(4, classes)\n"
        "        self.register_buffer('passes', torch.zeros(()))\n"
        "    def forward(self, x):\n"
        "        self.passes += self.training\n"
        "        return self.fc(x) * torch.where(self.passes > 8, torch.nan, 1.0)\n"
        "def make(shape, classes):\n"
        "    return Net(classes)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    with (
        pytest.warns(UserWarning, match="a training ended early"),
        pytest.raises(ValueError, match=r"seed 0: .*diverged"),
    ):
        run("diverging:make", "iris", epochs=9, layers=("fc",))
    assert epochs(Record(tmp_path / "out" / "plane.jsonl")) == [0, 1, 2, 3, 4]


def test_a_factory_needs_its_data(infoscope):
    told = infoscope("plane", "net:make", code=1).stderr
    assert "if net:make is a factory, name its data too: infoscope plane net:make DATA" in told


def test_logits_are_measured_by_bins_that_reach_them(run, tmp_path):
    options = {"epochs": 200, "schedule": "every(n=200)", "layers": ("act5", "fc6")}
    printed, _, report = run("tishby", **options)
    assert [row["receipt"]["method"] for row in printed[::2]] == ["IDNNS(bins=30)", "Uniform(n=30, range='layer')"]
    assert [row["value"] for row in printed if (row["layer"], row["quantity"]) == ("fc6", "I(T;Y)")] == [
        pytest.approx(0.689, abs=0.02)
    ]
    assert not any("OUT_OF_RANGE" in row["status"] for row in printed)
    assert "IDNNS(bins=30) for act5; Uniform(n=30, range=&#x27;layer&#x27;) for fc6" in report
    wrapped, _, report = run("tishby", out="by-name", estimator="idnns", **options)
    assert wrapped[3]["value"] == pytest.approx(0.046, abs=0.01)
    assert wrapped[3]["bound"] == "none"
    assert ["OUT_OF_RANGE" in row["status"] for row in wrapped] == [False, False, True, True]
    assert "Of fc6 nothing is said: its estimator does not fit it." in report


def test_the_report_opens_with_what_compresses_then_the_picture(run):
    report = run("tishby", epochs=2, replicates=2)[2]
    lead, figures, numbers = (report.index(word) for word in ('class="lead"', 'id="figures"', 'id="numbers"'))
    assert lead < figures < numbers
    assert "compresses: " in report[lead : lead + 400]
    assert "6 epochs measured of 2 trainings" in report[lead : lead + 800]
    assert "The layers joined, epoch by epoch" in report
    assert '"nodes": ["act1", "act2", "act3", "act4", "act5", "fc6"]' in report
