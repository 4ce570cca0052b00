"""The learning coefficient by canonical-interp's sampler, on the loss of reduced-rank regression: a process of its own.

    python canonical_interp_code.py INPUTS OUTPUTS HIDDEN RANK --b B --lr LR [--steps 4000] [--chains 4] [--seed 0]

Its `sgld_step` on stacked chains from the truth, a pull of strength 1 towards it in place of the prior, a burn-in of a
tenth, and its λ̂ = nβ (mean L − L_0). Losses and gradients are exact and in double precision here, so that nothing but
the sampler errs; its own estimator writes single precision.
"""

from __future__ import annotations

import itertools
import json
import os
import time

os.environ["TORCHDYNAMO_DISABLE"] = "1"  # the step as it is written; compiling it takes longer than all steps
if not hasattr(itertools, "batched"):  # it is imported for several devices, and came with Python 3.12
    itertools.batched = lambda values, n: itertools.zip_longest(*[iter(values)] * n)  # type: ignore[attr-defined]

from canonical_interp.optim import sgld_step
from reduced_rank_code import asked, factors, told


def main() -> None:
    given = asked()
    a, b, truth = factors(given)
    weights = {"a": a, "b": b}
    start = {name: t.clone() for name, t in weights.items()}
    begin, losses = time.process_time(), []
    for _ in range(given.steps):
        rest = weights["b"] @ weights["a"] - truth
        losses.append(0.5 * rest.square().sum((1, 2)))
        slopes = {"a": weights["b"].mT @ rest, "b": rest @ weights["a"].mT}
        sgld_step(weights, slopes, start, learning_rate=given.lr, nbeta=given.b, localization=1.0)
    print(json.dumps(told(given, losses, time.process_time() - begin)))


if __name__ == "__main__":
    main()
