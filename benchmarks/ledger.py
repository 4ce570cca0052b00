"""Where results are kept: one JSON a benchmark, merged row by row, and a Markdown file with its tables."""

from __future__ import annotations

import datetime
import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from infoscope import __version__

RESULTS = Path(__file__).parent / "results"


def circumstances(command: str) -> dict[str, Any]:
    """What a timing depends on, and when and how it was taken."""
    return {
        "date": datetime.date.today().isoformat(),
        "command": command,
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "versions": {"infoscope": __version__, "python": platform.python_version()}
        | {name: version(name) for name in ("torch", "numpy", "scipy")},
    }


def merge(file: Path, rows: Mapping[str, Any], order: Iterable[str]) -> dict[str, Any]:
    """All rows of the file, these rows put in; those that `order` no longer names are dropped."""
    kept = json.loads(file.read_text()) if file.exists() else {}
    kept |= rows
    kept = {name: kept[name] for name in order if name in kept}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(kept, indent=1) + "\n")
    return kept


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table, words to the left and numbers to the right."""
    rows = list(rows)
    ruler = ["---:" if rows and rows[0][i][:1].isdigit() else "---" for i in range(len(header))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, ruler, *rows))


def told(rows: Mapping[str, Any]) -> str:
    """Where and when these rows were measured, as Markdown lines."""
    lines: dict[str, list[str]] = {}
    for name, row in rows.items():
        here = row["circumstances"]
        versions = ", ".join(f"{k} {v}" for k, v in here["versions"].items())
        line = f"{here['date']}, {here['cpu']}, {here['cores']} cores, threads used: {here['threads']}; {versions}"
        lines.setdefault(line, []).append(name)
    return "\n".join(f"- {line}: {', '.join(names)}" for line, names in lines.items())


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
