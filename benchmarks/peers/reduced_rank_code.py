"""Reduced-rank regression for a peer's sampler: what it is asked on the command line, and the factors at the truth."""

from __future__ import annotations

import argparse

import torch
from torch import Tensor


def asked() -> argparse.Namespace:
    """The shape, the inverse temperature, the step size, steps, chains and seed; one thread, and the seed is set."""
    parser = argparse.ArgumentParser()
    parser.add_argument("shape", type=int, nargs=4, help="inputs, outputs, hidden, rank")
    parser.add_argument("--b", type=float, required=True)
    parser.add_argument("--lr", type=float, required=True)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--chains", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(given.seed)
    return given


def factors(given: argparse.Namespace) -> tuple[Tensor, Tensor, Tensor]:
    """A (chains, hidden, inputs) and B (chains, outputs, hidden) where every chain starts, and their product, once."""
    inputs, outputs, hidden, rank = given.shape
    a = torch.zeros(given.chains, hidden, inputs, dtype=torch.float64)
    b = torch.zeros(given.chains, outputs, hidden, dtype=torch.float64)
    a[:, range(rank), range(rank)] = b[:, range(rank), range(rank)] = 1.0
    return a, b, b[0] @ a[0]


def told(given: argparse.Namespace, losses: list[Tensor], seconds: float) -> dict[str, float]:
    """λ̂ = b times the mean loss behind a burn-in of a tenth, the time it took, and how many gradients that were."""
    kept = torch.stack(losses)[given.steps // 10 :]
    return {"lambda": given.b * float(kept.mean()), "seconds": seconds, "gradients": given.steps * given.chains}
