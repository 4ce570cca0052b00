"""The learning coefficient by devinterp's SGLD, on the loss of reduced-rank regression: a process of its own.

    python devinterp_code.py INPUTS OUTPUTS HIDDEN RANK --b B --lr LR [--steps 4000] [--chains 4] [--seed 0]

devinterp's recipe: chains from the truth, the gradient of nβ L with a pull that stands for the prior (weight decay 1 is
N(0, 1)), a burn-in of a tenth, and λ̂ = nβ (mean L − L_0). The gradient is exact here, no batch adds to its noise.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings

import torch
from devinterp.optim.sgld import SGLD


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("shape", type=int, nargs=4)
    parser.add_argument("--b", type=float, required=True)
    parser.add_argument("--lr", type=float, required=True)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--chains", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(given.seed)
    inputs, outputs, hidden, rank = given.shape
    a = torch.zeros(given.chains, hidden, inputs, dtype=torch.float64)
    b = torch.zeros(given.chains, outputs, hidden, dtype=torch.float64)
    a[:, range(rank), range(rank)] = b[:, range(rank), range(rank)] = 1.0
    truth = b[0] @ a[0]
    a.requires_grad_()
    b.requires_grad_()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        optimizer = SGLD([a, b], lr=given.lr, nbeta=given.b, weight_decay=1.0)
    begin, losses = time.process_time(), []
    for _ in range(given.steps):
        optimizer.zero_grad()
        each = 0.5 * (b @ a - truth).square().sum((1, 2))
        each.sum().backward()
        optimizer.step()
        losses.append(each.detach())
    kept = torch.stack(losses)[given.steps // 10 :]
    found = {"lambda": given.b * float(kept.mean()), "seconds": time.process_time() - begin}
    print(json.dumps(found | {"gradients": given.steps * given.chains}))


if __name__ == "__main__":
    main()
