"""What both informations of every layer cost, beside IDNNs' and ibsgd's own functions: CPU seconds and memory.

Their code is read from clones, which are not part of this repository:

    mkdir clones && cd clones
    git clone https://github.com/ravidziv/IDNNs && git -C IDNNs checkout e53f054ee1fd0fafd90a717835e259a904b195bf
    git clone https://github.com/artemyk/ibsgd && git -C ibsgd checkout 04c1b62e457949913ef6ced24a59922eb22293bc

Every run is a process of its own on one thread, warmed up by a small call; ours and theirs take turns, and medians over
the repeats are told. `s` is the work alone, without imports and reading; `whole s` is all CPU seconds of the process,
and `MiB` its greatest memory. IDNNs needs joblib beside numpy. With --tensorflow PYTHON, an interpreter that has
tensorflow and tf_keras, ibsgd runs on TensorFlow too.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from ledger import RESULTS, circumstances, merge, table, told

CODE = Path(__file__).parent / "peers" / "mi_code.py"
COMMITS = {"IDNNs": "e53f054ee1fd0fafd90a717835e259a904b195bf", "ibsgd": "04c1b62e457949913ef6ced24a59922eb22293bc"}

WIDE = (10_000, 20, 1024, 10)
"""Examples, hidden causes, units and classes of the ReLU layer."""


@dataclass(frozen=True)
class Work:
    """A row: the arrays, what is done to them, and the peer, of whose time a share and the MiB are to stay under."""

    data: str
    kind: str
    parameter: float
    peer: str
    seconds: float | None = None
    memory: float | None = None


WORKS = {
    "12-bit net, KDE, ibsgd": Work("tishby", "kde", 1e-3, "ibsgd", 1 / 6, 300),
    "12-bit net, KDE, ibsgd on TensorFlow": Work("tishby", "kde", 1e-3, "ibsgd-tensorflow", 1 / 6, 300),
    "12-bit net, binning, ibsgd": Work("tishby", "binning", 0.07, "ibsgd", 1.0),
    "12-bit net, binning, IDNNs": Work("tishby", "idnns", 30, "idnns", 1 / 150),
    "10,000 × 1024 ReLU, KDE, ibsgd": Work("wide", "kde", 100.0, "ibsgd", 1 / 2.5, 450),
    "10,000 × 1024 ReLU, KDE, ibsgd on TensorFlow": Work("wide", "kde", 100.0, "ibsgd-tensorflow", 1 / 2.5, 450),
    "10,000 × 1024 ReLU, binning, ibsgd": Work("wide", "binning", 0.5, "ibsgd", 0.8),
}
"""What is to be reached was set beside ibsgd on numpy; beside TensorFlow the same is asked."""


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory() as folder:
        files = {"tishby": options.data, "wide": wide(Path(folder))}
        for name in options.only or WORKS:
            if WORKS[name].peer == "ibsgd-tensorflow" and options.tensorflow is None:
                print(f"{name}: left out; give --tensorflow PYTHON")
                continue
            row = compared(WORKS[name], files[WORKS[name].data], options)
            print(keep(options.out, {name: row}), flush=True)


def compared(work: Work, file: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Medians of both sides over the repeats, and how far their values lie apart."""
    peer = options.tensorflow if work.peer == "ibsgd-tensorflow" else sys.executable
    rest = [work.kind, work.parameter, options.clones, file]
    commands = {"ours": [sys.executable, CODE, "infoscope", *rest], "peer": [peer, CODE, work.peer, *rest]}
    runs: dict[str, list[dict[str, Any]]] = {"ours": [], "peer": []}
    for _ in range(options.repeats):
        for side, command in commands.items():
            runs[side].append(_child(command))
    medians = {
        side: {k: median(run[k] for run in each) for k in ("cpu_seconds", "whole_cpu_seconds", "peak_mib")}
        for side, each in runs.items()
    }
    command = "python benchmarks/mi_peers.py --clones CLONES --data activations_random_tanh.npz --tensorflow PYTHON"
    return medians | {
        "apart_bits": _apart(runs["ours"][0]["values"], runs["peer"][0]["values"]),
        "repeats": options.repeats,
        "peer_uses": runs["peer"][0]["uses"],
        "circumstances": circumstances(f"{command} --repeats {options.repeats}"),
    }


def wide(folder: Path) -> Path:
    """Activations of a random ReLU layer of 1024 units on 10,000 inputs of 20 causes, single precision."""
    n, causes, units, classes = WIDE
    draws = np.random.default_rng(0)
    t = draws.normal(size=(n, causes)) @ draws.normal(size=(causes, units)) / np.sqrt(causes)
    file = folder / "wide.npz"
    np.savez(file, T1=np.maximum(t, 0).astype(np.float32), y=np.arange(n) % classes)
    return file


def keep(folder: Path, rows: Mapping[str, Any]) -> str:
    """The table of all results, these rows put in; both files are written."""
    results = merge(folder / "mi_peers.json", rows, WORKS)
    header = ("work, peer", "s", "peer's s", "s / peer's s", "to reach", "whole s", "peer's whole s", "MiB",
              "peer's MiB", "MiB to reach", "reached", "values differ by, bit")  # fmt: skip
    text = table(header, [_cells(name, row) for name, row in results.items()])
    uses = {" ".join(f"{k} {v}" for k, v in row["peer_uses"].items()) for row in results.values()}
    peers = f"- IDNNs at {COMMITS['IDNNs'][:7]}, ibsgd at {COMMITS['ibsgd'][:7]}; they use {', '.join(sorted(uses))}"
    commands = {row["circumstances"]["command"] for row in results.values()}
    lines = [peers, *(f"- `{command}`" for command in sorted(commands))]
    (folder / "mi_peers.md").write_text(f"{text}\n\n{told(results)}\n" + "\n".join(lines) + "\n")
    return text


def _cells(name: str, row: Mapping[str, Any]) -> list[str]:
    work, mine, theirs = WORKS[name], row["ours"], row["peer"]
    ratio = mine["cpu_seconds"] / theirs["cpu_seconds"]
    verdicts = [ratio <= work.seconds] if work.seconds else []
    verdicts += [mine["peak_mib"] <= work.memory] if work.memory else []
    return [
        name, f"{mine['cpu_seconds']:.4f}", f"{theirs['cpu_seconds']:.4f}", f"{ratio:.4f}",
        f"≤ {work.seconds:.4f}" if work.seconds else "",
        f"{mine['whole_cpu_seconds']:.2f}", f"{theirs['whole_cpu_seconds']:.2f}",
        f"{mine['peak_mib']:.0f}", f"{theirs['peak_mib']:.0f}", f"≤ {work.memory:.0f}" if work.memory else "",
        "yes" if all(verdicts) else "no", f"{row['apart_bits']:.1e}",
    ]  # fmt: skip


def _child(command: list[Any]) -> dict[str, Any]:
    """One process on one thread; its last line is JSON."""
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    done = subprocess.run(
        [str(word) for word in command],
        stdout=subprocess.PIPE,
        env=os.environ | one | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def _apart(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> float:
    return max(abs(a - b) for name in mine for a, b in zip(mine[name], theirs[name], strict=True))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clones", type=Path, required=True, help="the folder that holds IDNNs and ibsgd")
    parser.add_argument("--data", type=Path, required=True, help="an .npz of y and T1, T2 … of the 12-bit network")
    parser.add_argument("--tensorflow", type=Path, help="an interpreter that has tensorflow and tf_keras")
    parser.add_argument("--only", action="append", choices=list(WORKS), help="this row; may be repeated")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the results are kept")
    return parser.parse_args()


if __name__ == "__main__":
    main()
