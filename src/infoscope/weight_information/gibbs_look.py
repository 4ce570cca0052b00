"""The look behind a learning coefficient: chains of a network's weights at inverse temperatures, on all examples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from infoscope import __version__
from infoscope.data.task import Task
from infoscope.ensembles.stacked_loss import StackedLoss
from infoscope.measurement import Receipt
from infoscope.training.isolation import isolated
from infoscope.training.learner import Learner
from infoscope.weight_information.chains import Path
from infoscope.weight_information.gaussian import isotropic
from infoscope.weight_information.gibbs_curve import GibbsCurve
from infoscope.weight_information.tempering import MOST_RUNGS, Tempered, climb, stay, temper

Centre = Literal["weights", "zero"]

_MOST_WORK = 5e7  # products in a scan, up to which a whole ladder is affordable
_DESCENT = {"maxiter": 2000, "maxfun": 4000, "ftol": 1e-13, "gtol": 1e-7}


def sample_gibbs(
    task: Task,
    learner: Learner,
    asked: Sequence[float],
    scale: float,
    centre: Centre,
    chains: int,
    scans: int,
    seed: int,
    settle: bool,
    device: str,
) -> GibbsCurve:
    """Chains that start at the learner's weights (or on a ladder from the prior where that is short enough).

    The prior is N(centre, scale² I). With `settle` the weights first go down to the minimum that they lie above.
    """
    with isolated(seed):
        loss = StackedLoss(learner.network(task.shape, task.target.outputs, seed), task, device)
        weights = loss.flat(learner.network(task.shape, task.target.outputs, seed).state_dict())
        notes: tuple[str, ...] = (f"prior N({'w' if centre == 'weights' else '0'}, {scale:g}²)", f"way: {loss.way}")
        if settle:
            weights, told = settled(loss, weights)
            notes = (*notes, told)
        start = float(loss(weights[None])[0][0])
        if not math.isfinite(start):
            raise ValueError(
                f"the loss of these weights on {task.name!r} is {start}; give weights that did not diverge"
            )
        prior = isotropic(weights if centre == "weights" else torch.zeros_like(weights), scale**2)
        draws = torch.Generator().manual_seed(seed)
        most = min(MOST_RUNGS, int(_MOST_WORK / (chains * len(task) * loss.dimension)))
        found = _sampled(Path(prior, loss), weights, asked, chains, scans, most, draws)
    if float(found.last.ladder.t[0]) > 0:
        notes = (*notes, "a ladder to the prior would be too long: chains start at the weights, and see what is near")
    receipt = Receipt(
        "Metropolis-adjusted Langevin chains", task.fingerprint, n=len(task), seeds=(seed,), over="chains",
        notes=notes, version=__version__, device=device, path=loss.way,
    )  # fmt: skip
    return GibbsCurve.of(found, start, receipt)


def settled(loss: StackedLoss, weights: Tensor) -> tuple[Tensor, str]:
    """The minimum below these weights, by L-BFGS on all examples, and in words how far down that was."""

    def both(w: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = loss(torch.from_numpy(w).to(weights)[None])
        return float(value[0]), slope[0].cpu().numpy()

    found = minimize(both, weights.cpu().numpy(), jac=True, method="L-BFGS-B", options=_DESCENT)
    first = both(weights.cpu().numpy())[0]
    told = f"settled by {found.nit} steps of L-BFGS: {first:.6g} to {float(found.fun):.6g} nats"
    return torch.from_numpy(found.x).to(weights), told


def _sampled(
    path: Path, weights: Tensor, asked: Sequence[float], chains: int, scans: int, most: int, draws: torch.Generator
) -> Tempered:
    ladder = climb(path, asked, draws, chains, most) or stay(path, weights, asked, draws, chains)
    return temper(path, *ladder, asked, draws, scans)
