"""Is this checkout as fast as another one, and are its numbers the same? The same work in both, turn by turn.

    python benchmarks/checkouts.py OTHER [--rounds 3]

OTHER is the root of another checkout. Each round runs every piece of work here and there, in a process of its own on
one thread: once for what only a first call does (imports, mostly), which is told apart, then REPEATS times. CPU seconds
are the least over rounds and repeats, values are compared digit by digit.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any

HERE = Path(__file__).resolve().parents[1]


def works() -> dict[str, Callable[[], float]]:
    """Pieces of work by name, each giving the number that it comes to, by names that both checkouts have."""
    import numpy as np

    import infoscope
    from infoscope.models import MLP, SmallCNN

    digits = infoscope.Task.from_dataset("digits")
    draws = np.random.default_rng(0)
    x = draws.normal(size=(2000, 3))
    y = x + draws.normal(size=(2000, 3))
    short = infoscope.Recipe(epochs=5, patience=None)
    members = [infoscope.Member(infoscope.Learner(MLP((32,)), short), digits[:500], seed) for seed in range(30)]
    learner = infoscope.Learner(MLP((64,)))

    def of_network(coder: Any, n: int) -> float:
        try:
            return infoscope.codelength(digits[:n], coder, model=learner, strict=False).bits
        except TypeError:  # the word before
            return infoscope.codelength(digits[:n], coder, learner=learner, strict=False).bits

    def of_ensemble(way: str) -> float:
        try:
            losses = infoscope.ensemble(members, infoscope.EnsembleSpec(way=way)).losses
        except AttributeError:  # the words before
            losses = infoscope.ensemble(members, way=way).losses
        return float(losses[:, -1].mean())

    def trained(factory: Any) -> float:
        return infoscope.fit(infoscope.Learner(factory, short), digits).losses[-1]

    return {
        "kernel, digits, 3 orders": lambda: infoscope.codelength(digits).bits,
        "entk, 400 digits, 3 orders": lambda: of_network(infoscope.NTK(), 400),
        "replay, 200 digits, 3 orders": lambda: of_network(infoscope.Replay(), 200),
        "fit, MLP": lambda: trained(MLP((512,))),
        "fit, CNN": lambda: trained(SmallCNN()),
        "ensemble, 30 networks": lambda: of_ensemble("vmap"),
        "ensemble, grouped": lambda: of_ensemble("grouped"),
        "mutual information, default": lambda: infoscope.mutual_information(x, y, strict=False).value,
        "mutual information, labels": lambda: infoscope.mutual_information(x, (y[:, 0] > 0) * 1, strict=False).value,
    }


REPEATS = 3


def measure() -> dict[str, tuple[float, float, float]]:
    """Value, CPU seconds of the first call and of the fastest later one, of every piece, in this process."""
    import torch

    torch.set_num_threads(1)
    found = {}
    for name, work in works().items():
        value, first = timed(work)
        found[name] = (value, first, min(timed(work)[1] for _ in range(REPEATS)))
    return found


def timed(work: Callable[[], float]) -> tuple[float, float]:
    """What it comes to, and its CPU seconds."""
    start = process_time()
    return work(), process_time() - start


def run(root: Path) -> dict[str, tuple[float, float, float]]:
    """The same in a process that has the package of a checkout."""
    environment = os.environ | {"PYTHONPATH": str(root / "src"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(Path(__file__).resolve()), "--measure"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Both checkouts, turn by turn, as a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("other", type=Path, nargs="?")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(measure()))
        return
    if given.other is None:
        parser.error("name the root of another checkout")
    rounds = [(run(given.other.resolve()), run(HERE)) for _ in range(given.rounds)]
    print("| work | value there | here | same | CPU s there | here | ratio | first call there | here |")
    print("|---|---:|---:|---|---:|---:|---:|---:|---:|")
    for name in rounds[0][1]:
        there, here = (rounds[0][side][name][0] for side in (0, 1))
        same = "yes" if there == here else f"no, {here - there:.2g}"
        (first, before), (now, after) = ([min(one[side][name][k] for one in rounds) for k in (1, 2)] for side in (0, 1))
        times = f"{before:.2f} | {after:.2f} | {after / before:.2f} | {first:.2f} | {now:.2f}"
        print(f"| {name} | {there:.6g} | {here:.6g} | {same} | {times} |")


if __name__ == "__main__":
    main()
