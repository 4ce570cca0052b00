from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def infoscope(tmp_path: Path) -> Run:
    """Run a command line in an empty folder, as a user would."""

    def run(*words: object, code: int = 0, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"HF_HUB_OFFLINE": "1", "COLUMNS": "100"} | variables
        command = [sys.executable, "-m", "infoscope", *map(str, words)]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=250)
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
