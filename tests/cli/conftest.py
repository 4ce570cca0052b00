from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def launcher() -> Iterator[subprocess.Popen[str]]:
    """The process that forks for each command."""
    command = [sys.executable, str(Path(__file__).with_name("launcher.py"))]
    with subprocess.Popen(
        command, env=_environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


def _environment() -> dict[str, str]:
    return os.environ | {"HF_HUB_OFFLINE": "1", "COLUMNS": "100"}


@pytest.fixture
def infoscope(tmp_path: Path, launcher: subprocess.Popen[str], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run a command line in an empty folder, as a user would; in a process of its own where variables are set."""

    def forked(words: list[str]) -> subprocess.CompletedProcess[str]:
        assert launcher.stdin is not None
        assert launcher.stdout is not None
        out, err = (tmp_path_factory.mktemp("said") / name for name in ("out", "err"))
        print(json.dumps([words, str(tmp_path), _environment(), str(out), str(err)]), file=launcher.stdin, flush=True)
        return subprocess.CompletedProcess(words, int(launcher.stdout.readline()), out.read_text(), err.read_text())

    def run(*words: object, code: int = 0, **variables: str) -> subprocess.CompletedProcess[str]:
        given = list(map(str, words))
        if variables:
            command, environment = [sys.executable, "-m", "infoscope", *given], _environment() | variables
            done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=250)
        else:
            done = forked(given)
        assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return run


@pytest.fixture
def measured(infoscope: Run) -> Callable[..., dict[str, dict[str, Any]]]:
    """Run with --json; the measurements by quantity. Standard output must hold nothing else."""

    def run(*words: object, **variables: str) -> dict[str, dict[str, Any]]:
        rows = json.loads(infoscope(*words, "--json", **variables).stdout)["measurements"]
        return {row["quantity"]: row for row in rows}

    return run
