"""The look behind a learning coefficient: chains of a network's weights at inverse temperatures, on all examples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from time import process_time
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
from infoscope.weight_information.chains import Energy, Path
from infoscope.weight_information.gaussian import isotropic
from infoscope.weight_information.learning_coefficients.gibbs_curve import GibbsCurve
from infoscope.weight_information.tempering import MOST_RUNGS, Tempered, climb, stay, temper

Centre = Literal["weights", "zero"]

_MOST_WORK = 5e7  # products in a scan, up to which a whole ladder is affordable
_DESCENT = {"maxiter": 1000, "maxfun": 2000, "ftol": 1e-13, "gtol": 1e-7}


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
    """Chains on a ladder from the prior where that is short enough, else from one place.

    The prior is N(centre, scale² I). L_0 is the loss of the learner's weights; with `settle` they first go down to the
    minimum that they lie above. Chains start at these, or around a prior at zero where its posterior is densest.
    """
    with isolated(seed):
        network = learner.network(task.shape, task.target.outputs, seed)
        loss = StackedLoss(network, task, device)
        weights = loss.flat(network.state_dict())
        notes: tuple[str, ...] = (f"prior N({'w' if centre == 'weights' else '0'}, {scale:g}²)", f"way: {loss.way}")
        if settle:
            weights, told = settled(loss, weights)
            notes = (*notes, told)
        least = float(loss(weights[None])[0][0])
        if not math.isfinite(least):
            raise ValueError(f"the loss of these weights on {task.name!r} is {least}; give some that did not diverge")
        prior = isotropic(weights if centre == "weights" else torch.zeros_like(weights), scale**2)
        path, start = Path(prior, loss), weights
        if centre == "zero":  # weights of a small loss may be large, and far from where the prior lets them be
            start = _descended(partial(_energy, path, max(asked)), weights)
        draws = torch.Generator().manual_seed(seed)
        most = min(MOST_RUNGS, int(_MOST_WORK / (chains * len(task) * loss.dimension)))
        found = _sampled(path, start, asked, chains, scans, most, draws)
    if float(found.last.ladder.t[0]) > 0:
        notes = (*notes, "a ladder to the prior would be too long: chains start at one place, and see what is near it")
    receipt = Receipt(
        "Metropolis-adjusted Langevin chains", task.fingerprint, n=len(task), seeds=(seed,), over="chains",
        notes=notes, version=__version__, device=device, path=loss.way,
    )  # fmt: skip
    return GibbsCurve.of(found, least, receipt)


def gibbs_seconds(task: Task, learner: Learner, rows: int, scans: int, device: str) -> float:
    """How long so many steps of so many rows take at most, from one of them."""
    loss = StackedLoss(learner.network(task.shape, task.target.outputs, 0), task, device)
    start = loss.flat(learner.network(task.shape, task.target.outputs, 0).state_dict()).expand(rows, -1)
    begin = process_time()
    loss(start)
    return (process_time() - begin) * scans


def settled(loss: StackedLoss, weights: Tensor) -> tuple[Tensor, str]:
    """The minimum below these weights, by L-BFGS on all examples, and in words how far down that was."""
    low = _descended(loss, weights)
    first, last = loss(torch.stack([weights, low]))[0].tolist()
    return low, f"settled by L-BFGS: {first:.6g} to {last:.6g} nats"


def _descended(energy: Energy, start: Tensor) -> Tensor:
    """Where L-BFGS comes to."""

    def both(w: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = energy(torch.from_numpy(w)[None])
        return float(value[0]), slope[0].numpy()

    found = minimize(both, start.numpy(), jac=True, method="L-BFGS-B", options=_DESCENT)
    return torch.from_numpy(found.x)


def _energy(path: Path, b: float, w: Tensor) -> tuple[Tensor, Tensor]:
    rows, t = path.at(w), torch.full((len(w),), b, dtype=w.dtype)
    return rows.energy(t), rows.slope(t)


def _sampled(
    path: Path, weights: Tensor, asked: Sequence[float], chains: int, scans: int, most: int, draws: torch.Generator
) -> Tempered:
    ladder = climb(path, asked, draws, chains, most) or stay(path, weights, asked, draws, chains)
    return temper(path, *ladder, asked, draws, scans)
