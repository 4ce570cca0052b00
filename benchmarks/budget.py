"""Does `infoscope difficulty` end when it says? Seconds of the command with its defaults, data set by data set.

    python benchmarks/budget.py digits iris path/to/mnist [--budget 5m] [--table rows.npz]

What a dry run foretells, and how long it takes to do so, stands beside. Seconds of a command are those of the clock, so
that nobody else may use the machine. `--table` draws a table of 50,000 rows into a file first.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import make_classification

from infoscope.model_information.budget import duration
from ledger import RESULTS, circumstances, merge, table, told


def timed(*words: str) -> tuple[float, float, dict[str, Any]]:
    """Seconds of a command by the clock and of the processor, and what it printed as JSON."""
    start, before = time.perf_counter(), _cpu()
    command = [sys.executable, "-m", "infoscope", "difficulty", *words, "--json", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return time.perf_counter() - start, _cpu() - before, json.loads(done.stdout)


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def draw_table(file: Path) -> None:
    """50,000 rows of 30 columns, 8 of which tell, and four classes, a twentieth of them drawn anew."""
    x, y = make_classification(50_000, 30, n_informative=8, n_classes=4, flip_y=0.05, random_state=7)
    np.savez(file, x=x.astype(np.float32), y=y)


def measure(data: str, budget: str) -> dict[str, Any]:
    """One data set, first dry, then done."""
    _, answer, foretold = timed(data, "--budget", budget, "--dry-run")
    with tempfile.TemporaryDirectory() as folder:  # the same command finds its finished work where it left it
        seconds, _, found = timed(data, "--budget", budget, "--out", str(Path(folder) / "run"))
    rows = {row["quantity"]: row for row in found["measurements"]}
    sizes = {"labels": rows["L(y|x)"]["n"], "k": rows["L(M,D)"]["n"]}
    bits = {name: rows[name]["value"] for name in ("L(y|x)", "L(M,D)")}
    return (
        {"seconds": seconds, "dry": answer, "foretold": foretold["dry_run"]["seconds"], "budget": budget} | sizes | bits
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", nargs="*")
    parser.add_argument("--table", type=Path, help="a file of a table of 50,000 rows, drawn if it is not there")
    parser.add_argument("--budget", default="5m")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    if given.table is not None:
        if not given.table.exists():
            draw_table(given.table)
        given.data.append(str(given.table))
    here = circumstances("python benchmarks/budget.py")
    rows = {Path(data).stem: measure(data, given.budget) | {"circumstances": here} for data in given.data}
    file = given.out / "budget.json"
    known = list(json.loads(file.read_text())) if file.exists() else []
    kept = merge(file, rows, dict.fromkeys([*known, *rows]))
    text = table(
        [
            "data",
            "labels sent",
            "k",
            "L(y\\|x), bits",
            "L(M,D), bits",
            "wall s",
            "budget",
            "kept",
            "foretold s",
            "dry run, CPU s",
        ],
        (_cells(name, row) for name, row in kept.items()),
    )
    file.with_suffix(".md").write_text(f"{text}\n\n{told(kept)}\n")
    print(text)


def _cells(name: str, row: dict[str, Any]) -> list[str]:
    numbers = [
        f"{row['labels']}",
        f"{row['k']}",
        f"{row['L(y|x)']:.0f}",
        f"{row['L(M,D)']:.0f}",
        f"{row['seconds']:.0f}",
    ]
    kept = "yes" if row["seconds"] <= duration(row["budget"]) else "no"
    return [name, *numbers, row["budget"], kept, f"{row['foretold']:.0f}", f"{row['dry']:.1f}"]


if __name__ == "__main__":
    main()
