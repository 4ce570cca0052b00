"""What pictures, checks and alignment of many networks cost, and how often alignment recovers a permuted copy.

Every row runs in a process of its own, so that its peak memory is its own (the networks themselves included).
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from infoscope.ensembles.stacked_weights import Networks
from infoscope.models import MLP, CifarResNet, Factory, SmallCNN
from infoscope.symmetry import align, permutation_groups
from infoscope.symmetry.alignment import _Matching
from infoscope.weight_distance import classical_mds, landmark_mds, nearest_ends
from ledger import RESULTS, circumstances, merge, table, told

GIB = 2**30


def population(networks: int, weights: int, seed: int = 0) -> dict[str, Tensor]:
    """Random weights, about three quarters of them in one layer."""
    draws = torch.Generator().manual_seed(seed)
    sizes = (weights * 3 // 4, weights - weights * 3 // 4)
    return {f"fc{i}.weight": torch.randn(networks, size, generator=draws) for i, size in enumerate(sizes, 1)}


def mds() -> dict[str, Any]:
    stacked = population(2000, 100_000)
    return timed(lambda: classical_mds(stacked)) | {"networks": 2000, "weights": 100_000, "seconds_at_most": 60}


def landmarks() -> dict[str, Any]:
    stacked = population(10_000, 20_000)
    return timed(lambda: landmark_mds(stacked)) | {"networks": 10_000, "weights": 20_000}


def nearest() -> dict[str, Any]:
    start = population(1000, 122_245)  # as many weights as the TensorFlow CNN demo has
    end = {k: v + 0.5 * torch.randn_like(v) for k, v in start.items()}
    return timed(lambda: nearest_ends(Networks(start, end))) | {"networks": 1000, "weights": 122_245}


def timed(work: Callable[[], object]) -> dict[str, Any]:
    """Seconds of the wall clock and of the processor, and the process's peak of memory."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return {
        "seconds": time.perf_counter() - wall,
        "cpu_seconds": time.process_time() - cpu,
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB,
    }


def recovery(factory: Factory, shape: tuple[int, ...], seeds: int, noise: float) -> dict[str, Any]:
    """In how many of `seeds` networks every unit of a permuted copy (with noise of so many deviations) comes home."""
    groups = permutation_groups(factory(shape, 10), shape)
    good = plain = 0
    start = time.process_time()
    for seed in range(seeds):
        torch.manual_seed(seed)
        weights = unlike(factory(shape, 10))
        hidden = groups.random(1000 + seed)
        copy = {k: perturbed(v, noise) for k, v in groups.permuted(weights, hidden).items()}
        good += home(hidden, align(weights, copy, groups).permutations)
        matching = _Matching(groups, weights, frozenset(k for k in weights if "running" not in k and "num_" not in k))
        identity = tuple(torch.arange(group.size) for group in groups)
        plain += home(hidden, matching.descend(copy, identity, seed))
    return {"recovered": good, "plain": plain, "seeds": seeds, "cpu_seconds": time.process_time() - start}


def home(hidden: tuple[Tensor, ...], found: tuple[Tensor, ...]) -> bool:
    return all(torch.equal(p[q], torch.arange(len(p))) for p, q in zip(hidden, found, strict=True))


def unlike(network: nn.Module) -> Mapping[str, Tensor]:
    """Weights as after training, where the units of a normalisation differ."""
    return {k: v + 0.1 * torch.randn_like(v) if v.is_floating_point() else v for k, v in network.state_dict().items()}


def perturbed(weight: Tensor, noise: float) -> Tensor:
    return weight + noise * weight.std() * torch.randn_like(weight) if weight.is_floating_point() and noise else weight


def bare(widths: int, depth: int) -> Factory:
    """A narrow network without biases and with N(0, 1) weights, on two inputs."""

    def make(shape: tuple[int, ...], classes: int) -> nn.Module:
        sizes = [*shape, *[widths] * depth, classes]
        layers = [nn.Linear(a, b, bias=False) for a, b in pairwise(sizes)]
        for layer in layers:
            nn.init.normal_(layer.weight)
        return nn.Sequential(*(m for layer in layers[:-1] for m in (layer, nn.ReLU())), layers[-1])

    return make


NETWORKS: dict[str, tuple[Factory, tuple[int, ...], int]] = {
    "mlp-30": (MLP((30, 30, 30)), (8,), 100),
    "mlp-50": (MLP((50, 50, 50)), (8,), 100),
    "bare-10": (bare(10, 4), (2,), 100),
    "bare-30": (bare(30, 4), (2,), 100),
    "bare-50": (bare(50, 4), (2,), 100),
    "cnn": (SmallCNN((8, 16, 16), 32), (1, 8, 8), 100),
    "resnet8": (CifarResNet(8), (3, 8, 8), 100),
}

ROWS: dict[str, Callable[[], dict[str, Any]]] = {
    "mds": mds,
    "landmarks": landmarks,
    "nearest": nearest,
    **{
        f"align-{name}-{noise:g}": lambda case=case, noise=noise: recovery(*case, noise)
        for name, case in NETWORKS.items()
        for noise in (0.0, 0.3)
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=list(ROWS), help="this row; may be repeated")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the results are kept")
    parser.add_argument("--here", choices=list(ROWS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.here:
        row = ROWS[options.here]() | {
            "circumstances": circumstances(f"python benchmarks/weight_distance.py --threads {options.threads}")
        }
        print(json.dumps(row))
        return
    for name in options.only or ROWS:
        command = [sys.executable, __file__, "--here", name, "--threads", str(options.threads)]
        row = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        everything = merge(options.out / "weight_distance.json", {name: row}, ROWS)
        (options.out / "weight_distance.md").write_text(_told(everything))
        print(name, {k: v for k, v in row.items() if k != "circumstances"}, flush=True)


def _told(rows: Mapping[str, Any]) -> str:
    costs = [
        (k, f"{r['networks']:,}", f"{r['weights']:,}", f"{r['seconds']:.1f}", f"{r['cpu_seconds']:.1f}",
         f"{r['peak_gib']:.2f}") for k, r in rows.items() if "weights" in r
    ]  # fmt: skip
    rates = [
        (k, f"{r['recovered']} of {r['seeds']}", f"{r['plain']} of {r['seeds']}", f"{r['cpu_seconds']:.1f}")
        for k, r in rows.items()
        if "recovered" in r
    ]
    header = ("task", "networks", "weights each", "seconds", "CPU seconds", "peak memory, GiB")
    second = ("network, noise in deviations of the weights", "recovered", "by coordinate descent alone", "CPU seconds")
    return f"{table(header, costs)}\n\n{table(second, rates)}\n\n{told(rows)}\n"


if __name__ == "__main__":
    main()
