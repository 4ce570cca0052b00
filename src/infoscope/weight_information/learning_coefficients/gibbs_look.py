"""The look behind a learning coefficient: chains of a network's weights at inverse temperatures, on all examples."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from functools import partial
from time import process_time
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.optimize import minimize
from torch import Tensor

from infoscope import __version__
from infoscope.data.task import Task
from infoscope.ensembles.stacked_loss import StackedLoss
from infoscope.measurement import Receipt
from infoscope.run.look import pack, unpack
from infoscope.training.isolation import isolated
from infoscope.training.learner import Learner
from infoscope.weight_information.chains import Energy, Path, restricted
from infoscope.weight_information.checkpoint import layer_of
from infoscope.weight_information.gaussian import isotropic
from infoscope.weight_information.learning_coefficients.gibbs_curve import GibbsCurve
from infoscope.weight_information.tempering import MOST_RUNGS, Tempered, climb, stay, temper

Centre = Literal["weights", "zero"]

_MOST_WORK = 5e7  # products in a scan, up to which a whole ladder is affordable
MOST_GRADIENTS = 2000
"""On the way to a minimum."""

_DESCENT = {"maxiter": 1000, "maxfun": MOST_GRADIENTS, "ftol": 1e-13, "gtol": 1e-7}


@dataclass(frozen=True)
class Sampling:
    """How weights are sampled: inverse temperatures, the prior N(centre, scale² I), chains, their steps, a seed.

    With a `layer` its weights alone move; the prior is of these.
    """

    asked: tuple[float, ...]
    scale: float
    centre: Centre
    chains: int
    scans: int
    seed: int
    layer: str | None = None


@dataclass(frozen=True, eq=False)
class Minimum:
    """A row of weights in double precision, and in words how it was reached."""

    w: Float[Tensor, " d"]
    told: str

    def to_bytes(self) -> bytes:
        """As one safetensors file."""
        return pack({"w": self.w}, told=self.told)

    @classmethod
    def from_bytes(cls, data: bytes) -> Minimum:
        """The value that `to_bytes` wrote."""
        tensors, facts = unpack(data)
        return cls(tensors["w"], facts["told"])


def minimum(task: Task, learner: Learner, seed: int, device: str) -> Minimum:
    """Where the learner's weights come to on all examples."""
    with isolated(seed):
        loss, weights = _loss_at(task, learner, seed, device)
        return Minimum(*settled(loss, weights))


def sample_gibbs(task: Task, learner: Learner, low: Minimum | None, how: Sampling, device: str) -> GibbsCurve:
    """Chains on a ladder from the prior where that is short enough, else from one place.

    They are about the learner's weights, or about the minimum `low`; L_0 is the loss there. Chains start at these, or
    around a prior at zero where its posterior is densest.
    """
    with isolated(how.seed):
        loss, weights = _loss_at(task, learner, how.seed, device)
        centre = "w" if how.centre == "weights" else "0"
        notes: tuple[str, ...] = (f"prior N({centre}, {how.scale:g}²)", f"way: {loss.way}")
        if low is not None:
            weights, notes = low.w, (*notes, low.told)
        least = float(loss(weights[None])[0][0])
        if not math.isfinite(least):
            raise ValueError(f"the loss of these weights on {task.name!r} is {least}; give some that did not diverge")
        energy: Energy = loss
        if how.layer is not None:
            free = _places(loss, how.layer)
            energy, weights = restricted(loss, weights, free), weights[free]
            notes = (*notes, f"{len(free)} weights of {how.layer} alone move, {loss.dimension - len(free)} are held")
        prior = isotropic(weights if how.centre == "weights" else torch.zeros_like(weights), how.scale**2)
        path, start = Path(prior, energy), weights
        if how.centre == "zero":  # weights of a small loss may be large, and far from where the prior lets them be
            start = _descended(partial(_energy, path, max(how.asked)), weights)
        draws = torch.Generator().manual_seed(how.seed)
        most = min(MOST_RUNGS, int(_MOST_WORK / (how.chains * len(task) * loss.dimension)))
        found = _sampled(path, start, how, most, draws)
    if float(found.last.ladder.t[0]) > 0:
        notes = (*notes, "a ladder to the prior would be too long: chains start at one place, and see what is near it")
    receipt = Receipt(
        "Metropolis-adjusted Langevin chains", task.fingerprint, n=len(task), seeds=(how.seed,), over="chains",
        notes=notes, version=__version__, device=device, path=loss.way,
    )  # fmt: skip
    return GibbsCurve.of(found, least, receipt)


def gibbs_seconds(task: Task, learner: Learner, rows: int, scans: int, device: str) -> float:
    """How long so many steps of so many rows take at most, from one of them."""
    loss, start = _loss_at(task, dataclasses.replace(learner, weights=None), 0, device)
    begin = process_time()
    loss(start.expand(rows, -1))
    return (process_time() - begin) * scans


def _loss_at(task: Task, learner: Learner, seed: int, device: str) -> tuple[StackedLoss, Float[Tensor, " d"]]:
    """The loss of a learner's network, and its weights as a row."""
    network = learner.network(task.shape, task.target.outputs, seed)
    loss = StackedLoss(network, task, device)
    return loss, loss.flat(network.state_dict())


def _places(loss: StackedLoss, layer: str) -> Int[Tensor, " k"]:
    """Where in a row the weights of a layer lie."""
    return torch.tensor([i for name, at in loss.places.items() if layer_of(name) == layer for i in at])


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


def _sampled(path: Path, start: Tensor, how: Sampling, most: int, draws: torch.Generator) -> Tempered:
    ladder = climb(path, how.asked, draws, how.chains, most) or stay(path, start, how.asked, draws, how.chains)
    return temper(path, *ladder, how.asked, draws, how.scans)
