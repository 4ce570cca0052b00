"""`infoscope distance` and `infoscope mds` as a user runs them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

QUICK = ("--replicates", 4, "--epochs", 3, "--jobs", 1)

NETWORK = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden, self.out = nn.Linear(64, 12), nn.Linear(12, 10)

    def forward(self, x):
        h = torch.relu(self.hidden(x.flatten(1)))
        return self.out(h if float(h.detach().mean()) > -1 else -h)  # no way but the loop
"""


def test_distance_tells_mean_deviation_layers_and_function(measured, infoscope, tmp_path):
    rows = measured("distance", "digits", *QUICK, "--aligned", "--out", "run")
    assert rows["d(w0,w)"]["unit"] == "1"
    assert rows["own start nearest"]["value"] == 1
    assert 0 < rows["JS(p,q)"]["value"] < 1
    assert rows["JS(p,q)"]["unit"] == "bit"
    assert rows["QMCM"]["value"] == pytest.approx(rows["d(w0,w) aligned"]["value"], rel=0.2)
    told = infoscope("distance", "digits", *QUICK, "--out", "other").stdout
    assert "4 networks mlp, trained by" in told
    assert "carried the weights" in told
    assert "to the final weights" in (tmp_path / "other" / "report.html").read_text()


def test_corruption_is_compared_at_equal_steps_and_at_equal_loss(infoscope):
    words = ("--corrupt", "massart=0", "--corrupt", "massart=0.5", "--matched-loss", 3.1)
    done = infoscope("distance", "digits", "--replicates", 3, "--epochs", 4, *words, "--json").stdout
    found = {(r["task"], r["quantity"]): r["value"] for r in json.loads(done)["measurements"] if r["layer"] is None}
    clean, noisy = "digits~massart=0", "digits~massart=0.5"
    assert found[noisy, "d(w0,w)"] < found[clean, "d(w0,w)"]
    assert found[noisy, "d(w0,w) at matched loss"] > found[clean, "d(w0,w) at matched loss"]


def test_networks_that_diverge_are_told_and_nothing_else_is_lost(infoscope):
    told = infoscope("distance", "digits", *QUICK, "--optimizer", "sgd(lr=1e30)", code=1).stderr
    assert "all 4 networks failed" in told
    assert "training diverged in epoch" in told


def test_a_user_s_own_network_goes_through_the_loop_and_is_told_why(infoscope, tmp_path):
    (tmp_path / "mine.py").write_text(NETWORK)
    told = infoscope("distance", "digits", *QUICK, "--model", "mine:Net").stdout
    assert "trained by loop" in told
    planned = infoscope("distance", "digits", "--replicates", 500, "--epochs", 50, "--model", "mine:Net", "--dry-run")
    assert "500 networks: one after another" in planned.stdout
    assert "not by vmap" in planned.stdout
    refused = infoscope("distance", "digits", *QUICK, "--model", "mine:Net", "--way", "vmap", code=1).stderr
    assert "not open to Net" in refused


def test_mds_draws_starts_and_ends(measured, infoscope, tmp_path):
    rows = measured("mds", "digits", "--replicates", 8, "--epochs", 2, "--out", "run")
    assert 0 < rows["MDS explained"]["value"] <= 1
    assert "axis 1" in (tmp_path / "run" / "report.html").read_text()
    shared = infoscope("mds", "digits", "--replicates", 8, "--starts", 2, "--epochs", 2, "--aligned", "--json").stdout
    assert {r["networks"] for r in json.loads(shared)["measurements"]} == {"start and end", "start and end, aligned"}
    told = infoscope("mds", "digits", "--replicates", 3, code=1).stderr
    assert "a picture needs more networks" in told


def units(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("run/units/*") if not path.name.startswith(".")}


def test_killed_it_goes_on_where_it_was(measured, tmp_path):
    words = ("distance", "digits", "--replicates", 12, "--epochs", 3, "--way", "loop", "--jobs", 1, "--out", "run")
    command = [sys.executable, "-m", "infoscope", *map(str, words)]
    process = subprocess.Popen(command, cwd=tmp_path, env=dict(os.environ), stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(units(tmp_path)) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=60)
    kept = units(tmp_path)
    assert len(kept) >= 2
    rows = measured(*words)
    assert rows["d(w0,w)"]["n"] == 12
    assert {name: units(tmp_path)[name] for name in kept} == kept
    assert len(units(tmp_path)) == 4
