"""How a command ends when somebody ends it, when the disk is full, and where nothing can be written."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from infoscope.cli import run

LONG = ("distance", "digits", "--replicates", 8, "--epochs", 3000, "--way", "loop", "--jobs", 2, "--out", "run")
SHORT = ("distance", "digits", "--replicates", 2, "--epochs", 1, "--jobs", 1, "--out", "run", "--quiet", "--json")


def members_of(session: int) -> list[str]:
    """Live processes of the session that this process leads."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rsplit(")", 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[3]) == session and fields[0] not in "ZX":
            found.append(path.parent.name)
    return found


@pytest.mark.usefixtures("heeds_ctrl_c")
@pytest.mark.parametrize(("number", "times", "code"), [(signal.SIGINT, 3, 130), (signal.SIGTERM, 1, 143)])
def test_a_run_that_is_ended_says_one_line_and_leaves_nobody(tmp_path, number, times, code):
    """A lock that multiprocessing tracks is open, as progress bars have one: a process that is ended leaks it."""
    (tmp_path / "sitecustomize.py").write_text("import multiprocessing\nLOCK = multiprocessing.RLock()\n")
    command = [sys.executable, "-m", "infoscope", *map(str, LONG)]
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"}
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not (tmp_path / "run" / "scratch").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    for _ in range(times):
        os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
        time.sleep(0.02)
    _, told = process.communicate(timeout=60)
    assert process.returncode == code
    (line,) = [line for line in told.splitlines() if not line.startswith(("8 networks", "  not by"))]
    assert line.endswith("the same command goes on where it stopped")
    deadline = time.monotonic() + 20
    while members_of(process.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert members_of(process.pid) == []


def test_a_full_disk_is_named_and_the_numbers_are_printed(tmp_path):
    """No file may grow beyond 100 kB here: all that is kept is smaller, but the report."""
    words = " ".join(map(str, SHORT))
    done = subprocess.run(
        ["bash", "-c", f"ulimit -f 100; {sys.executable} -m infoscope {words}"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 1
    assert json.loads(done.stdout)["measurements"]
    assert str(tmp_path / "run" / "report.html") in done.stderr or "run/report.html" in done.stderr
    assert "the report was not written" in done.stderr
    assert not (tmp_path / "run" / "report.html").exists()
    assert (tmp_path / "run" / "record.jsonl").exists()


def test_a_finished_run_is_read_back_where_nothing_can_be_written(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = [*map(str, SHORT)]
    assert run(words) == 0
    first = json.loads(capsys.readouterr().out)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")}
    monkeypatch.setattr("infoscope.cli.session.os.access", lambda path, mode: False)

    assert run(words) == 0
    assert json.loads(capsys.readouterr().out)["measurements"] == first["measurements"]
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")} == before
