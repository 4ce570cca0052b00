"""The learning coefficient by devinterp's SGLD, on the loss of reduced-rank regression: a process of its own.

    python devinterp_code.py INPUTS OUTPUTS HIDDEN RANK --b B --lr LR [--steps 4000] [--chains 4] [--seed 0]

devinterp's recipe: chains from the truth, the gradient of nβ L with a pull that stands for the prior (weight decay 1 is
N(0, 1)), a burn-in of a tenth, and λ̂ = nβ (mean L − L_0). The gradient is exact here, no batch adds to its noise.
"""

from __future__ import annotations

import json
import time
import warnings

from devinterp.optim.sgld import SGLD
from reduced_rank_code import asked, factors, told


def main() -> None:
    given = asked()
    a, b, truth = factors(given)
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
    print(json.dumps(told(given, losses, time.process_time() - begin)))


if __name__ == "__main__":
    main()
