"""The command line as a user runs it."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
import tomllib

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import infoscope as library
from infoscope.cli import run
from infoscope.data.task import Task
from infoscope.measurement import Measurement
from infoscope.models import model
from infoscope.record import Record
from infoscope.training.fit import fit
from infoscope.training.learner import Learner, copy_weights

SMALL = ("--replicates", 2, "--jobs", 1)


def test_help_needs_nothing_heavy():
    code = (
        "import sys; from infoscope.cli import run; run(['--help']); "
        "print(sorted({'torch', 'numpy', 'scipy', 'sklearn', 'datasets'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    for command in ("difficulty", "codelength", "decode", "information", "list", "explain"):
        assert command in done.stdout


def test_codelength_tells_bits_error_and_side(measured, infoscope):
    rows = measured("codelength", "iris", *SMALL)
    length = rows["L(y|x)"]
    assert length["unit"] == "bit"
    assert 0 < length["value"] < rows["n log C"]["value"] == pytest.approx(150 * math.log2(3))
    assert length["stderr"] > 0
    assert (length["bound"], length["n"], length["status"], length["task"]) == ("upper", 150, [], "iris")
    shown = infoscope("codelength", "iris", *SMALL).stdout
    assert "bit" in shown
    assert "report.html" in shown
    assert infoscope("codelength", "iris", *SMALL, "--quiet").stdout == ""


def test_one_order_has_no_error(measured):
    assert measured("codelength", "iris", "--replicates", 1)["L(y|x)"]["stderr"] is None


def test_labels_go_to_a_file_and_come_back_from_the_inputs_alone(measured, infoscope, tmp_path):
    digits = Task.from_dataset("digits")[:200]
    np.savez(tmp_path / "full.npz", x=digits.x, y=digits.y, classes=digits.alphabet)
    np.savez(tmp_path / "inputs.npz", x=digits.x)
    rows = measured("codelength", "full.npz", *SMALL, "--write", "labels.bits", "--per-example", "each.npz")
    told = json.loads(infoscope("decode", "labels.bits", "inputs.npz", "--out", "back.npz", "--json").stdout)
    with np.load(tmp_path / "back.npz") as back, np.load(tmp_path / "each.npz") as each:
        assert np.array_equal(back["y"], digits.y.numpy())
        assert np.array_equal(back["index"], np.arange(200))
        assert each["bits"].sum(1).mean() == pytest.approx(rows["L(y|x)"]["value"])
        assert told["payload_bits"] <= each["bits"][0].sum() + 32
        assert sorted(each["index"][1].tolist()) == list(range(200))


def test_a_network_s_own_code_goes_to_a_file_too(infoscope, tmp_path):
    infoscope(
        "codelength", "iris", "--coder", "replay(start=16)", "--model", "mlp", "--write", "a.bits", "--replicates", 1
    )
    infoscope("decode", "a.bits", "iris", "--out", "back.npz")
    with np.load(tmp_path / "back.npz") as back:
        assert np.array_equal(back["y"], Task.from_dataset("iris").y.numpy())


def test_a_column_of_a_table_comes_back_from_the_others(infoscope, tmp_path):
    iris = Task.from_dataset("iris")
    rows = "\n".join(
        f"{'abc'[y]},{','.join(map(str, x))}" for x, y in zip(iris.x.tolist(), iris.y.tolist(), strict=True)
    )
    (tmp_path / "table.csv").write_text(f"kind,p,q,r,s\n{rows}\n")
    infoscope("codelength", "table.csv", "--label", "kind", "--write", "a.bits", "--replicates", 1)
    infoscope("decode", "a.bits", "table.csv", "--label", "kind", "--out", "back.npz")
    with np.load(tmp_path / "back.npz") as back:
        assert np.array_equal(back["y"], iris.y.numpy())
        assert back["classes"].tolist() == ["a", "b", "c"]


def test_a_text_comes_back_from_its_file_alone(infoscope, tmp_path):
    text = ("the quick brown fox jumps over the lazy dog\n" * 12).encode()
    (tmp_path / "text.txt").write_bytes(text)
    infoscope("codelength", "text.txt", "--length", 32, "--write", "text.bits", "--replicates", 1)
    assert (tmp_path / "text.bits").stat().st_size < len(text) + 4000
    infoscope("decode", "text.bits", "--out", "back.npz")
    assert (tmp_path / "back.txt").read_bytes() == text


def test_examples_are_the_first_in_coding_order(measured, tmp_path):
    few = measured("codelength", "iris", "--replicates", 1, "--examples", 40, "--per-example", "few.npz")
    assert few["L(y|x)"]["n"] == 40
    with np.load(tmp_path / "few.npz") as file:
        assert np.array_equal(file["index"][0], np.random.default_rng(0).permutation(150)[:40])


def test_difficulty_is_the_main_job(measured, tmp_path):
    rows = measured("difficulty", "digits", *SMALL, "--k", 60, "--train", 200, "--examples", 150, "--out", "run")
    assert set(rows) == {
        "L(y|x)", "n log C", "n H(Y)", "L(M,D)", "L_init(y|x)", "L_trained(y|x)", "accuracy", "confidence",
    }  # fmt: skip
    assert rows["L(M,D)"]["value"] == pytest.approx(rows["L_init(y|x)"]["value"] - rows["L_trained(y|x)"]["value"])
    assert rows["L(M,D)"]["bound"] == "none"
    assert rows["L(M,D)"]["n"] == 60
    assert 0.5 < rows["accuracy"]["value"] <= 1
    assert any("trained on 200" in note for note in rows["L(M,D)"]["receipt"]["notes"])
    assert (tmp_path / "run" / "report.html").stat().st_size > 10_000
    frame = library.load(tmp_path / "run")
    assert frame.set_index("quantity").loc["L(M,D)", "value"] == pytest.approx(rows["L(M,D)"]["value"])


def test_tasks_that_are_compared_share_the_smallest_k(infoscope):
    done = infoscope("difficulty", "iris", "wine", "--replicates", 1, "--jobs", 1, "--json")
    known = [row for row in json.loads(done.stdout)["measurements"] if row["quantity"] == "L(M,D)"]
    assert [(row["task"], row["n"]) for row in known] == [("iris", 50), ("wine", 50)]


def test_noise_is_added_on_request(infoscope):
    done = infoscope(
        "codelength", "iris", "--replicates", 1, "--corrupt", "massart=0.3", "--corrupt", "massart=0", "--json"
    )
    rows = [row for row in json.loads(done.stdout)["measurements"] if row["quantity"] == "L(y|x)"]
    assert rows[0]["value"] > rows[1]["value"] + 30
    assert rows[0]["task"] == "iris~massart=0.3"


@pytest.fixture
def own_network(tmp_path):
    task = Task.from_dataset("digits")
    learner = Learner(model("mlp"))
    trained = fit(learner, task[:600], task[600:700], seed=0)
    save_file(dict(trained.weights), tmp_path / "mine.safetensors")
    torch.save(dict(trained.initial), tmp_path / "start.pt")
    for name, part in (("old", task[:600]), ("new", task[700:800]), ("mixed", task[500:700])):
        np.savez(tmp_path / f"{name}.npz", x=part.x, y=part.y, classes=part.alphabet)
    return trained


def test_a_user_s_own_network_is_measured(measured, own_network):
    words = ("information", "new.npz", "--model", "mlp", "--weights", "mine.safetensors", *SMALL)
    checked = measured(*words, "--trained-on", "old.npz", "--initial", "start.pt")
    assert checked["L(M,D)"]["value"] > 20
    assert checked["L(M,D)"]["status"] == []
    assert measured(*words)["L(M,D)"]["status"] == ["UNVERIFIED_SPLIT"]
    seeded = measured(*words, "--trained-on", "old.npz", "--initial", "0")
    assert seeded["L(M,D)"]["value"] == pytest.approx(checked["L(M,D)"]["value"], abs=1e-9)


def test_examples_that_were_trained_on_are_not_coded(measured, own_network):
    words = ("information", "mixed.npz", "--model", "mlp", "--weights", "mine.safetensors", "--trained-on", "old.npz")
    row = measured(*words, "--replicates", 1)["L(M,D)"]
    assert row["n"] == 100
    assert "100 examples equal to trained ones were not coded" in row["receipt"]["notes"]


def test_the_same_index_on_both_sides_is_refused(infoscope, own_network):
    words = ("information", "digits", "--model", "mlp", "--weights", "mine.safetensors", "--trained-on", "digits")
    assert "which was trained on" in infoscope(*words, code=1).stderr


def test_a_factory_of_one_s_own(measured, tmp_path):
    (tmp_path / "mynet.py").write_text(
        "from torch import nn\n"
        "def tiny():\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))\n"
    )
    assert measured("information", "iris", "--model", "mynet:tiny", *SMALL)["L(M,D)"]["n"] == 50


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["codelength", "nan.npz"], 1, "rows with NaN"),
        (["codelength", "outside.npz"], 1, "outside the alphabet"),
        (["codelength", "empty.npz"], 1, "n ≥ 1"),
        (["codelength", "lengths.npz"], 1, "x has 3 rows and y has 2"),
        (["codelength", "broken.npz"], 1, "not a readable .npz"),
        (["codelength", "nowhere.npz"], 1, "no such file"),
        (["codelength", "no-such/data"], 1, "download it and give the folder"),
        (["codelength", "digits:test"], 1, "has no split 'test'"),
        (["codelength", "iris", "--coder", "kernl"], 1, "did you mean kernel"),
        (["codelength", "iris", "--coder", "replay(speed=3)"], 1, "has no option 'speed'"),
        (["codelength", "iris", "--coder", "replay", "--model", "resnet21"], 1, "no model is called 'resnet21'"),
        (["codelength", "iris", "--model", "mlp"], 1, "uses no model"),
        (["codelength", "iris", "--examples", "151"], 1, "has 150 examples; 151 were asked for"),
        (["codelength", "iris", "--corrupt", "fog=1"], 1, "no corruption 'fog'"),
        (["codelength", "iris", "--corrupt", "missing-pixels=0.1"], 1, "needs images"),
        (["codelength", "iris", "--replicates", "0"], 2, "replicates"),
        (["codelength", "iris", "--device", "abacus"], 1, "device"),
        (["codelength", "iris", "--colour"], 2, "colour"),
        (["codelength"], 2, "DATA"),
        (["frobnicate"], 2, "frobnicate"),
        (["information", "iris", "--coder", "kernel"], 1, "knows no network"),
        (["information", "iris", "--weights", "nowhere.pt"], 1, "no such file"),
        (["information", "iris", "--trained-on", "iris"], 1, "give its weights too"),
        (["decode", "broken.npz", "iris"], 1, "not a label file"),
        (["explain", "codelenght"], 1, "did you mean codelength"),
        (["codelength", "iriss"], 1, "did you mean iris"),
        (["codelength", "iris", "--size", "16"], 1, "only images are scaled"),
        (["codelength", "iris", "--write", "nofolder/a.bits"], 1, "make it first"),
        (["codelength", "digits", "--corrupt", "missing-pixels=0.1", "--write", "a.bits"], 1, "code the task as it is"),
        (["codelength", "iris", "--corrupt", "shuffled-labels=0.3"], 1, "has no level"),
        (["information", "iris", "--k", "20", "--examples", "10"], 2, "examples"),
        (["list", "weather"], 1, "no list of 'weather'"),
        (["codelength", "iris", "--config", "nowhere.toml"], 1, "no such file"),
    ],
)
def test_bad_input_gets_one_clear_line(infoscope, tmp_path, words, code, message):
    np.savez(tmp_path / "nan.npz", x=np.full((3, 2), np.nan), y=[0, 1, 0])
    np.savez(tmp_path / "outside.npz", x=np.zeros((3, 2)), y=[0, 1, 2], classes=["a", "b"])
    np.savez(tmp_path / "empty.npz", x=np.zeros((0, 2)), y=np.zeros(0, dtype=int))
    np.savez(tmp_path / "lengths.npz", x=np.zeros((3, 2)), y=[0, 1])
    (tmp_path / "broken.npz").write_bytes(b"nothing of the kind")
    told = infoscope(*words, code=code)
    assert message in told.stderr
    assert len(told.stderr.strip().splitlines()) == 1, told.stderr
    assert told.stdout == ""


def test_decode_never_writes_over_what_it_reads(infoscope, tmp_path):
    np.savez(tmp_path / "e.npz", x=np.random.default_rng(0).normal(size=(30, 2)), y=np.arange(30) % 2)
    before = (tmp_path / "e.npz").read_bytes()
    infoscope("codelength", "e.npz", "--write", "e.bits", "--replicates", 1)
    infoscope("decode", "e.bits", "e.npz")
    assert (tmp_path / "e.npz").read_bytes() == before
    assert (tmp_path / "e.bits.decoded.npz").exists()
    assert "name another file" in infoscope("decode", "e.bits", "e.npz", "--out", "e.npz", code=1).stderr


def test_two_files_of_one_name_stay_apart(infoscope, tmp_path):
    for folder in "ab":
        (tmp_path / folder).mkdir()
        iris = Task.from_dataset("iris")
        np.savez(tmp_path / folder / "same.npz", x=iris.x, y=iris.y)
    words = (
        "difficulty",
        "a/same.npz",
        "b/same.npz",
        "--replicates",
        1,
        "--jobs",
        1,
        "--coder",
        "replay(replays=1, start=8)",
    )
    rows = json.loads(infoscope(*words, "--json").stdout)["measurements"]
    assert {row["task"] for row in rows} == {"same #1", "same #2"}


def test_a_run_directory_holds_one_run(infoscope):
    infoscope("codelength", "iris", "--replicates", 1, "--out", "run")
    assert "choose another --out" in infoscope("codelength", "wine", "--replicates", 1, "--out", "run", code=1).stderr


def test_a_command_that_was_refused_leaves_its_folder_to_the_one_put_right(infoscope):
    refused = infoscope("more-labels", "iris", "--target", "real", "--out", "run", code=1)
    assert "give bits a label" in refused.stderr
    infoscope("mislabelled", "iris", "--out", "run")
    assert "choose another --out" in infoscope("mislabelled", "wine", "--out", "run", code=1).stderr


def test_a_model_that_raises_is_told_in_one_line(infoscope, tmp_path):
    (tmp_path / "bad.py").write_text("def net(shape, classes):\n    return {}['width']\n")
    told = infoscope("information", "iris", "--model", "bad:net", "--replicates", 1, "--jobs", 1, code=1).stderr
    assert "KeyError: 'width'" in told


@pytest.mark.parametrize(
    ("line", "message"),
    [("import sys; sys.exit(0)", "ended the program"), ("raise BaseException('gone')", "BaseException: gone")],
)
def test_a_factory_that_leaves_is_told_in_one_line(infoscope, tmp_path, line, message):
    (tmp_path / "bad.py").write_text(f"def net(shape, classes):\n    {line}\n")
    told = infoscope("information", "iris", "--model", "bad:net", "--replicates", 1, "--jobs", 1, code=1)
    assert message in told.stderr
    assert len(told.stderr.strip().splitlines()) == 1
    assert told.stdout == ""


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_a_model_prints_is_not_the_answer(measured, tmp_path, jobs):
    (tmp_path / "loud.py").write_text(
        "from torch import nn\n"
        "class Loud(nn.Linear):\n"
        "    def forward(self, x):\n"
        "        print('here')\n"
        "        return super().forward(x)\n"
        "def net():\n"
        "    return Loud(4, 3)\n"
    )
    words = ("codelength", "iris", "--coder", "replay(replays=1, start=8)", "--examples", 20, "--model", "loud:net")
    assert measured(*words, "--replicates", 2, "--jobs", jobs)["L(y|x)"]["n"] == 20


def test_the_same_place_with_other_options_is_refused(infoscope):
    infoscope("codelength", "iris", "--replicates", 1, "--examples", 30, "--out", "run")
    told = infoscope("codelength", "iris", "--replicates", 2, "--examples", 30, "--out", "run", code=1)
    assert "choose another --out" in told.stderr
    infoscope("codelength", "iris", "--replicates", 1, "--examples", 30, "--out", "run", "--quiet")


def test_a_dry_run_says_how_many_and_how_long_and_writes_nothing(infoscope, tmp_path):
    words = ("difficulty", "digits", "--dry-run", "--k", 60, "--train", 100, "--examples", 100)
    assert "9 codes, 3 trainings" in infoscope(*words).stdout
    told = json.loads(infoscope(*words, "--json").stdout)["dry_run"]
    assert told["trainings"] == 3
    assert told["seconds"] > 0
    assert list(tmp_path.iterdir()) == []


def test_options_come_from_the_command_line_then_the_environment_then_the_file(infoscope, tmp_path):
    (tmp_path / "c.toml").write_text("[codelength]\nreplicates = 5\nseed = 7\nexamples = 20\n")
    done = infoscope(
        "codelength", "iris", "--config", "c.toml", "--replicates", 2, "--print-config",
        INFOSCOPE_CODELENGTH_REPLICATES="4", INFOSCOPE_CODELENGTH_SEED="9",
    )  # fmt: skip
    settings = tomllib.loads(done.stdout)["codelength"]
    assert (settings["replicates"], settings["seed"], settings["examples"]) == (2, 9, 20)
    (tmp_path / "again.toml").write_text(done.stdout)
    for words in (("codelength", "iris"), ("codelength",)):
        again = infoscope(*words, "--config", "again.toml", "--print-config")
        assert tomllib.loads(again.stdout)["codelength"] == settings


def test_list_and_explain(infoscope):
    everything = infoscope("list").stdout
    for word in ("digits", "preact-resnet56", "replay", "massart", "SATURATED", "L(M,D)"):
        assert word in everything
    assert "upper bound" in infoscope("explain", "codelength").stdout
    assert infoscope("list", "models").stdout.startswith("models:")


def start(folder, *words):
    command = [sys.executable, "-m", "infoscope", *map(str, words)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    return subprocess.Popen(
        command, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def units(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("run/units/*") if not path.name.startswith(".")}


@pytest.mark.usefixtures("heeds_ctrl_c")
@pytest.mark.parametrize(
    ("stop", "jobs"), [(signal.SIGKILL, 1), (signal.SIGINT, 1), (signal.SIGKILL, 2), (signal.SIGINT, 2)]
)
def test_a_run_that_was_stopped_goes_on_where_it_was(measured, tmp_path, stop, jobs):
    words = (
        "information",
        "iris",
        "--coder",
        "replay(replays=2, start=16)",
        "--replicates",
        3,
        "--jobs",
        jobs,
        "--out",
        "run",
    )
    process = start(tmp_path, *words)
    deadline = time.monotonic() + 120
    while len(units(tmp_path)) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(stop)
    _, told = process.communicate(timeout=60)
    kept = units(tmp_path)
    assert len(kept) >= 2
    if stop == signal.SIGINT:
        assert process.returncode == 130
        assert "goes on where it stopped" in told
    resumed = measured(*words)
    assert kept.items() <= units(tmp_path).items()  # nothing that was finished was done again
    whole = measured(*words[:-1], "whole")
    assert {q: (r["value"], r["stderr"]) for q, r in resumed.items()} == {
        q: (r["value"], r["stderr"]) for q, r in whole.items()
    }


def test_results_do_not_depend_on_the_number_of_jobs(measured):
    words = ("codelength", "iris", "--replicates", 3)
    one, two = (measured(*words, "--jobs", jobs, "--out", f"run{jobs}") for jobs in (1, 2))
    assert one["L(y|x)"]["replicates"] == two["L(y|x)"]["replicates"]


def test_weights_from_an_initial_seed_are_the_library_s(own_network):
    network = Learner(model("mlp")).network((1, 8, 8), 10, 0)
    assert all(torch.equal(v, own_network.initial[k]) for k, v in copy_weights(network).items())


def test_the_table_of_a_run_is_exported(tmp_path, capsys):
    record = Record(tmp_path / "run" / "record.jsonl")
    record.append(Measurement("L(y|x)", 2.0), task="digits")
    Record(tmp_path / "run" / "plane.jsonl").append(Measurement("I(X;T)", 2.0), epoch=3)
    assert run(["export", str(tmp_path / "run"), "--out", str(tmp_path / "a.csv")]) == 0
    assert capsys.readouterr().out == f"1 row: {tmp_path / 'a.csv'}\n"
    assert (tmp_path / "a.csv").read_text().startswith("task,quantity,value,unit")
    assert run(["export", str(tmp_path / "run" / "plane.jsonl"), "--out", str(tmp_path / "b.parquet"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"rows": 1, "file": str(tmp_path / "b.parquet")}
    assert run(["export", str(tmp_path), "--out", str(tmp_path / "c.csv")]) == 1
    assert "has no record.jsonl" in capsys.readouterr().err
    assert run(["export", str(tmp_path / "run"), "--out", str(tmp_path / "c.txt")]) == 1
    assert "a table is written as .csv or .parquet" in capsys.readouterr().err


def test_the_shell_completes_commands_and_their_options(tmp_path, capsys):
    script = tmp_path / "infoscope.bash"
    assert run(["--install-completion", "--shell", "bash", "--output", str(script)]) == 0
    assert str(script) in capsys.readouterr().out
    words = "COMP_WORDS=(infoscope mi --esti); COMP_CWORD=2;"
    completed = subprocess.run(
        ["bash", "-c", f"source {script}; {words} _infoscope; echo ${{COMPREPLY[@]}}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert completed.stdout.split() == ["--estimator"]
    assert list(tmp_path.iterdir()) == [script]


@pytest.mark.parametrize("command", ["difficulty", "information"])
def test_epochs_are_an_option_of_what_trains(command, capsys):
    assert run([command, "iris", "--epochs", "7", "--print-config"]) == 0
    assert "epochs = 7" in capsys.readouterr().out
    assert run([command, "iris", "--epochs", "0"]) == 2


@pytest.mark.parametrize("words", [("plane", "--help"), ("list",)])
def test_a_reader_that_has_gone_is_no_failure(words):
    command = [sys.executable, "-m", "infoscope", *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 0
    process.stderr.close()
