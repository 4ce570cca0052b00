"""Training many networks together beside a plain loop over them: seconds, and memory, in one run.

Every row trains the same networks on the same batches; the plain loop is what anyone would write, with torch's AdamW.
The time is that of one step of one network, one thread, the median over alternating repeats; `--population` trains
1000 networks 12-10-7-5-4-3-2 for 1000 epochs, on all cores, as a user would.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from infoscope import Learner, Recipe, Task, tishby
from infoscope.data.targets import Classes
from infoscope.ensembles.ensemble import ensemble
from infoscope.ensembles.population import Member
from infoscope.ensembles.stack import Stack, closed_ways
from infoscope.ensembles.ways import NotStackable, Way, WayName
from infoscope.models import MLP
from infoscope.run.context import RunContext
from infoscope.training.isolation import isolated
from ledger import RESULTS, circumstances, merge, table
from ledger import told as notes

SIZES = (4, 10, 30, 100)
PLAIN = 10  # networks in the plain loop, which costs the same for each


@dataclass(frozen=True)
class Case:
    """Networks of one kind, a batch size, and the ratio to reach."""

    factory: Callable[..., nn.Module]
    shape: tuple[int, ...]
    classes: int
    batch: int
    goal: float | None


def small_cnn() -> nn.Module:
    """Two convolutions of 8 and 16 maps for 28×28 pixels."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(400, 10),
    )  # fmt: skip


TANH, WIDE = MLP((10, 7, 5, 4, 3), "tanh"), MLP((32,))
CASES = {
    "12-10-7-5-4-3-2 tanh, batch 64": Case(TANH, (12,), 2, 64, 5.0),
    "12-10-7-5-4-3-2 tanh, batch 512": Case(TANH, (12,), 2, 512, 5.0),
    "784-32-10, batch 32": Case(WIDE, (784,), 10, 32, 3.5),
    "784-32-10, batch 64": Case(WIDE, (784,), 10, 64, 3.5),
    "small CNN 28×28, batch 32": Case(small_cnn, (1, 28, 28), 10, 32, 1.3),
    "small CNN 28×28, batch 64": Case(small_cnn, (1, 28, 28), 10, 64, 1.3),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", help="rows whose name contains this")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--compiled", action="store_true", help="vmap under torch.compile too (half a minute a row)")
    parser.add_argument("--population", action="store_true", help="1000 networks, 1000 epochs, all cores")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    file = RESULTS / "ensemble.json"
    command = " ".join(["python", "benchmarks/ensemble.py", *sys.argv[1:]])
    rows: dict[str, Any] = {}
    for name, case in CASES.items():
        if options.only is None or any(part in name for part in options.only):
            with isolated(0, threads=1):
                rows[name] = compare(case, options) | {"circumstances": circumstances(command)}
            show(name, rows[name])
    if options.population:
        rows["population"] = population() | {"circumstances": circumstances(command)}
        print(rows["population"])
    kept = merge(file, rows, [*CASES, "population"])
    file.with_suffix(".md").write_text(page(kept))


def compare(case: Case, options: argparse.Namespace) -> dict[str, Any]:
    """Seconds a step and network, of the plain loop and of every way and size."""
    nets = [_network(case, seed).to(options.device) for seed in range(SIZES[-1])]
    x = torch.randn(2048, *case.shape, device=options.device)
    y = torch.randint(case.classes, (2048,), device=options.device)
    timed: dict[Way, Callable[[], float]] = {Way("loop"): _plain(nets[:PLAIN], x, y, case.batch)}
    closed = closed_ways(nets[0], [_recipe(case)])
    names: tuple[WayName, ...] = ("vmap", "grouped", "compiled") if options.compiled else ("vmap", "grouped")
    for name in names:
        for size in SIZES if name != "compiled" else (10, 100):
            try:
                timed[Way(name, size)] = _stacked(nets[:size], x, y, case, name)
            except NotStackable:
                print(closed[name])
    seconds: dict[Way, list[float]] = {way: [] for way in timed}
    for _ in range(options.repeats):
        for way, run in timed.items():
            seconds[way].append(run())
    best = [{"way": way.name, "stacked": way.stacked, "seconds": statistics.median(v)} for way, v in seconds.items()]
    return {"seconds": best, "goal": case.goal}


def _network(case: Case, seed: int) -> nn.Module:
    return Learner(case.factory).network(case.shape, case.classes, seed)


def _recipe(case: Case) -> Recipe:
    return Recipe(batch=case.batch, epochs=300, patience=None, loss=Classes(()).loss)


def _plain(nets: list[nn.Module], x: Tensor, y: Tensor, batch: int) -> Callable[[], float]:
    optimizers = [torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.0) for net in nets]

    def run(steps: int = 10) -> float:
        start = _clock(x)
        for net, optimizer in zip(nets, optimizers, strict=True):
            for _ in range(steps):
                rows = torch.randint(len(x), (batch,), device=x.device)
                loss = F.cross_entropy(net(x[rows]), y[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        return (_clock(x) - start) / steps / len(nets)

    run(2)
    return run


def _stacked(nets: list[nn.Module], x: Tensor, y: Tensor, case: Case, way: WayName) -> Callable[[], float]:
    stack = Stack(nets, [_recipe(case)] * len(nets), way)

    def run(steps: int = 10) -> float:
        start = _clock(x)
        for i in range(steps):
            rows = torch.randint(len(x), (len(nets), case.batch), device=x.device)
            flat = rows.flatten()
            stack.step(x[flat].unflatten(0, rows.shape), y[flat].unflatten(0, rows.shape), i, steps)
        return (_clock(x) - start) / steps / len(nets)

    run(2)
    return run


def _clock(x: Tensor) -> float:
    if x.is_cuda:
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


def population() -> dict[str, Any]:
    """1000 networks, 1000 epochs of the 12-bit task in one batch of 512 examples an epoch."""
    task: Task = tishby()[:512]
    learner = Learner(TANH, Recipe(batch=512, epochs=1000, patience=None))
    start = time.perf_counter()
    trained = ensemble([Member(learner, task, seed) for seed in range(1000)], context=RunContext(jobs=2))
    seconds = time.perf_counter() - start
    used = [resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {
        "networks": len(trained),
        "seconds": seconds,
        "way": ", ".join(map(str, trained.ways)),
        "peak_mib": max(used),
    }


def show(name: str, row: dict[str, Any]) -> None:
    plain, stacked = _of(row)
    times = ", ".join(f"{one['way']} × {one['stacked']} {plain / one['seconds']:.2f}×" for one in stacked)
    print(f"{name}: plain loop {plain * 1e6:.0f} µs; {times}")


def _of(row: dict[str, Any]) -> tuple[float, list[dict[str, Any]]]:
    """Seconds of the plain loop, and of every stack."""
    (plain,) = (one["seconds"] for one in row["seconds"] if one["way"] == "loop")
    return plain, [one for one in row["seconds"] if one["way"] != "loop"]


def page(rows: dict[str, Any]) -> str:
    """The tables, as Markdown."""
    cells = []
    for name, row in rows.items():
        if name == "population":
            continue
        plain, stacked = _of(row)
        cell = [name, f"{plain * 1e6:.0f}"]
        for way in ("vmap", "compiled", "grouped"):
            best = min((one for one in stacked if one["way"] == way), key=lambda one: one["seconds"], default=None)
            cell.append(f"{plain / best['seconds']:.2f} ({best['stacked']})" if best else "")
        cells.append((*cell, f"{row['goal']}"))
    text = "# Many networks at once\n\nTimes faster than a plain loop, with the size of stack that did best.\n\n"
    text += table(("networks", "plain loop, µs a step", "vmap", "compiled vmap", "grouped", "to reach"), cells)
    if "population" in rows:
        p = rows["population"]
        text += f"\n\n{p['networks']} networks 12-10-7-5-4-3-2, 1000 epochs of one batch of 512, two processes: "
        text += f"{p['seconds']:.0f} s ({p['way']}), peak {p['peak_mib']:.0f} MiB in a process."
    commands = "\n".join(f"- `{c}`" for c in dict.fromkeys(r["circumstances"]["command"] for r in rows.values()))
    return f"{text}\n\n{commands}\n{notes(rows)}\n"


if __name__ == "__main__":
    main()
