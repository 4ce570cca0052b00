"""What `fit` costs beside a bare PyTorch loop of the same network, data order and steps: CPU seconds, one thread.

The two alternate; each row is the median over the repeats of fit's time by the bare loop's. Both must end in the same
weights, bit for bit, or the comparison would be of different work.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import time
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from infoscope import Learner, Recipe, Task, fit
from infoscope.models import MLP, SmallCNN
from infoscope.training.isolation import threaded
from ledger import RESULTS, circumstances, merge, table, told

MOST = 1.05  # times the bare loop


def cases() -> dict[str, tuple[Learner, Task]]:
    digits = Task.from_dataset("digits")
    large = dataclasses.replace(digits, name="digits at 28×28", x=F.interpolate(digits.x, 28, mode="bilinear"))
    return {
        "mlp-digits": (Learner(MLP(), Recipe(epochs=40)), digits),
        "cnn-digits28": (Learner(SmallCNN(), Recipe(epochs=1)), large),
    }


def bare(learner: Learner, task: Task, seed: int) -> dict[str, Tensor]:
    """The loop that anyone would write; the weights it ends with."""
    network = learner.network(task.shape, task.classes, seed)
    x, y = task.x, task.y
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.0)
    draws = torch.Generator().manual_seed(seed)
    network.train()
    for _ in range(learner.recipe.epochs):
        for rows in torch.randperm(len(x), generator=draws).split(learner.recipe.batch):
            loss = F.cross_entropy(network(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return network.state_dict()


def pair(learner: Learner, task: Task, seed: int) -> tuple[float, float]:
    """CPU seconds of fit and of the bare loop; which goes first alternates with the seed."""
    runs = {"fit": lambda: fit(learner, task, seed=seed).weights, "bare": lambda: bare(learner, task, seed)}
    seconds, weights = {}, {}
    for name in ("fit", "bare") if seed % 2 else ("bare", "fit"):
        start = time.process_time()
        weights[name] = runs[name]()
        seconds[name] = time.process_time() - start
    different = [k for k, v in weights["bare"].items() if not torch.equal(v, weights["fit"][k])]
    if different:
        raise RuntimeError(
            f"fit and the bare loop end in different weights ({', '.join(different)}): not the same work"
        )
    return seconds["fit"], seconds["bare"]


def measure(learner: Learner, task: Task, repeats: int) -> dict[str, object]:
    """The row of one case; a first pair warms up and is not counted."""
    pairs = [pair(learner, task, seed) for seed in range(repeats + 1)][1:]
    ratios = sorted(a / b for a, b in pairs)
    quarter = len(ratios) // 4
    return {
        "fit_cpu_seconds": statistics.median(a for a, _ in pairs),
        "bare_cpu_seconds": statistics.median(b for _, b in pairs),
        "ratio": statistics.median(ratios),
        "quartiles": [ratios[quarter], ratios[-1 - quarter]],
        "repeats": repeats,
        "at_most": MOST,
    }


def main() -> None:
    known = cases()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--only", action="append", choices=list(known), help="this row; may be repeated")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the results are kept")
    options = parser.parse_args()
    command = f"python benchmarks/fit.py --repeats {options.repeats}"
    with threaded(1):
        rows = {
            name: measure(learner, task, options.repeats) | {"circumstances": circumstances(command)}
            for name, (learner, task) in known.items()
            if not options.only or name in options.only
        }
    everything = merge(options.out / "fit.json", rows, known)
    header = ("fit by a bare loop", "fit, CPU s", "bare, CPU s", "median ratio", "quartiles", "to reach", "reached")
    text = table(header, [_cells(name, row) for name, row in everything.items()])
    (options.out / "fit.md").write_text(f"{text}\n\n{told(everything)}\n")
    print(text)


def _cells(name: str, row: dict) -> tuple[str, ...]:
    times = (f"{row[k]:.3f}" for k in ("fit_cpu_seconds", "bare_cpu_seconds", "ratio"))
    quartiles = "–".join(f"{q:.3f}" for q in row["quartiles"])
    return name, *times, quartiles, f"≤ {row['at_most']}", "yes" if row["ratio"] <= row["at_most"] else "no"


if __name__ == "__main__":
    main()
