"""How far estimates of a Task2Vec embedding are from the exact one: ours, and what the authors' code computes.

    python benchmarks/task2vec.py --data FOLDER

FOLDER holds data sets in Hub layout and `weights/cifar10_resnet20.safetensors`. One probe, ResNet-20 trained on
CIFAR-10, one head and the same 512 examples for all: only the estimate differs. The error is |F̂ − F| / |F| over the
embedding's filters, the mean over 5 draws with its standard error; d_sym and 1 − cos are between estimate and exact
embedding. "One label an example" is what half a dozen libraries call Monte Carlo; the authors' code squares gradients
of batch means (64 examples, multiplied by 64 here, which is right on average) in training mode;
`peers/task2vec_code.py` restates it.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import process_time
from typing import Any

import torch
from torch import Tensor

from infoscope.data.combine import occurring_classes
from infoscope.data.task import Task
from infoscope.measurement import mean_and_stderr
from infoscope.observation.estimators import Exact, MonteCarlo, Sketch
from infoscope.observation.fisher_diagonal import fisher_diagonal
from infoscope.observation.likelihoods import Categorical
from infoscope.task_space.distance import one_less_cosine, symmetric
from infoscope.task_space.head import fit_head
from infoscope.task_space.probe import Headed, features_of, probe_of
from infoscope.training.isolation import isolated
from infoscope.weight_information.quantise.question import sample
from ledger import RESULTS, circumstances, merge, table, told
from peers.task2vec_code import squared_batch_means

TASKS = ("cifar10:classes=cat,dog,deer", "cifar10", "mnist", "fashion_mnist")
PREPARED = "resnet20[size=32, mean=(0.485, 0.456, 0.406), deviation=(0.229, 0.224, 0.225)]"
N, BATCH, DRAWS = 512, 64, 5


def ours(network: Headed, x: Tensor, names: tuple[str, ...], estimator: Any, seed: int) -> Tensor:
    """Per filter, by the engine of the library."""
    found = fisher_diagonal(network, x, Categorical(), estimator=estimator, names=names, seed=seed)
    return torch.cat([t.flatten(1).mean(1) for t in found.mean.values()])


def theirs(network: Headed, x: Tensor, names: tuple[str, ...], training: bool, seed: int) -> Tensor:
    """Per filter, as the authors' code has it."""
    with isolated(seed):
        return squared_batch_means(network, x, names, batch=BATCH, training=training)


def measured(exact: Tensor, estimate: Callable[..., Tensor]) -> dict[str, Any]:
    """Errors and CPU seconds over draws."""
    begin = process_time()
    found = [estimate(seed=seed) for seed in range(DRAWS)]
    seconds = (process_time() - begin) / DRAWS
    error, stderr = mean_and_stderr([float((f - exact).norm() / exact.norm()) for f in found])
    return {
        "error": error, "stderr": stderr, "seconds": seconds,
        "d_sym": mean_and_stderr([float(symmetric(f, exact)) for f in found])[0],
        "1 - cos": mean_and_stderr([float(one_less_cosine(f, exact)) for f in found])[0],
    }  # fmt: skip


def of_task(name: str, folder: Path) -> dict[str, Any]:
    """All estimates of one task's embedding."""
    task = Task.from_dataset(f"{folder / name}")
    task = occurring_classes(sample(task["train"] if "train" in task.splits else task, N, 0))
    probe = probe_of(f"{PREPARED}={folder / 'weights' / 'cifar10_resnet20.safetensors'}", [task])
    assert probe is not None
    with isolated(0):
        body = probe.body(task)
        head = fit_head(features_of(body, task.x), task.y, task.target)
    network, x = Headed(body, head.layer()).eval().requires_grad_(True), task.array
    names = tuple(k for k, p in network.named_parameters() if p.ndim > 1 and k.startswith("body."))
    begin = process_time()
    exact = ours(network, x, names, Exact(), 0)
    seconds = process_time() - begin
    ways: dict[str, Callable[..., Tensor]] = {
        "sketch": partial(ours, network, x, names, Sketch()),
        "one label an example": partial(ours, network, x, names, MonteCarlo()),
        "squared batch means, eval mode": partial(theirs, network, x, names, False),
        "squared batch means, training mode (the authors')": partial(theirs, network, x, names, True),
    }
    runs = {way: measured(exact, estimate) for way, estimate in ways.items()}
    return {"exact seconds": seconds, "classes": task.classes, "head loss": head.loss, "runs": runs}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--only", action="append", choices=TASKS)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    for name in given.only or TASKS:
        row = of_task(name, given.data) | {
            "circumstances": circumstances("python benchmarks/task2vec.py --data FOLDER")
        }
        kept = merge(given.out / "task2vec.json", {name: row}, list(TASKS))
        write(given.out / "task2vec.md", kept)
        print(name, row, flush=True)


def write(file: Path, rows: dict[str, Any]) -> None:
    """The table as Markdown."""
    header = ("task", "estimate", "relative error", "d_sym", "1 − cos", "CPU s (exact)")
    lines = [
        (
            name, way, f"{run['error']:.4f} ± {run['stderr']:.1g}", f"{run['d_sym']:.4f}", f"{run['1 - cos']:.4f}",
            f"{run['seconds']:.1f} ({row['exact seconds']:.1f})",
        )
        for name, row in rows.items()
        for way, run in row["runs"].items()
    ]  # fmt: skip
    assert all(math.isfinite(run["error"]) for row in rows.values() for run in row["runs"].values())
    file.write_text(f"{(__doc__ or '').strip()}\n\n{table(header, lines)}\n\n{told(rows)}\n")


if __name__ == "__main__":
    main()
