"""Many trainings of one small network at once, with the weights of every epoch kept.

Seed s starts from the same weights and sees the same batches as `infoscope.training.fit.fit` with seed s, so that the
trajectories are those of `fit` up to rounding. What is measured, and with which estimator, is decided afterwards.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from infoscope import __version__
from infoscope.data.task import Task, coding_order
from infoscope.data.tishby import tishby
from infoscope.ensembles.fit_stack import fit_stack
from infoscope.ensembles.observers import StackMoment
from infoscope.ensembles.population import Member, SnapshotSpec
from infoscope.ensembles.ways import Way
from infoscope.measurement import NATS_PER_BIT, Measurement, Receipt
from infoscope.mi.estimate import layer_information
from infoscope.mi.method import Method
from infoscope.models import MLP
from infoscope.models.quantised import QuantisationAware
from infoscope.run import Store
from infoscope.run.context import RunContext
from infoscope.run.look import Look, look, pack, unpack
from infoscope.run.progress import report
from infoscope.training.learner import Learner
from infoscope.training.recipe import Adam, Recipe

TRAINED_ON = 3277  # four fifths of the 4096 patterns


@dataclass(frozen=True)
class Training:
    """How the networks are trained: Adam on four fifths of the 12-bit patterns.

    With `bits`, weights and activations have 2^bits levels (`QuantisationAware`).
    """

    activation: str = "tanh"
    epochs: int = 10_000
    rate: float = 4e-4
    batch: int = 512
    widths: tuple[int, ...] = (10, 7, 5, 4, 3)
    bits: int | None = None

    @property
    def learner(self) -> Learner:
        """The network and its recipe."""
        plain = MLP(self.widths, self.activation)  # pyright: ignore[reportArgumentType]
        factory = plain if self.bits is None else QuantisationAware(plain, self.bits)
        return Learner(factory, Recipe(Adam(self.rate), batch=self.batch, epochs=self.epochs, patience=None))


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Weights (epochs + 1, parameters) of one training, epoch 0 before the first step, and its losses in nats."""

    training: Training
    weights: Tensor
    losses: Tensor
    seed: int = field(default=0, compare=False)  # the weights tell one from another

    @torch.no_grad()
    def layers(self, epoch: int, x: Tensor) -> list[Tensor]:
        """What each layer answers to x (n, d) after its activation, in x's precision; the last are logits."""
        network = self.training.learner.network((12,), 2, 0)
        nn.utils.vector_to_parameters(self.weights[epoch], network.parameters())
        answers, h = [], x
        for name, module in network.to(x.dtype).named_children():
            h = module(h)
            if name.startswith("act"):
                answers.append(h)
        return [*answers, h]

    def loss_and_accuracy(self, epoch: int, x: Tensor, y: Tensor) -> tuple[float, float]:
        """Cross-entropy, nats, and share of right answers."""
        logits = self.layers(epoch, x)[-1]
        return float(F.cross_entropy(logits, y)), float((logits.argmax(1) == y).double().mean())


@dataclass(frozen=True)
class Numbers:
    """What was measured of one trajectory, as JSON can say it; informations in bits."""

    held: dict[str, Any]

    def to_bytes(self) -> bytes:
        """As JSON."""
        return json.dumps(self.held).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Numbers:
        """The value that `to_bytes` wrote."""
        return cls(json.loads(data))

    def __getitem__(self, name: str) -> Any:
        return self.held[name]


@dataclass(frozen=True, eq=False)
class Stack:
    """Trajectories of several seeds: weights (seeds, epochs + 1, parameters), losses (seeds, epochs)."""

    weights: Tensor
    losses: Tensor

    def to_bytes(self) -> bytes:
        """As one safetensors file."""
        return pack({"weights": self.weights, "losses": self.losses})

    @classmethod
    def from_bytes(cls, data: bytes) -> Stack:
        """The value that `to_bytes` wrote."""
        return cls(**unpack(data)[0])


def trajectories(
    training: Training, replicates: int, store: Store, *, seed: int = 0, together: int = 10, jobs: int = 1
) -> list[Trajectory]:
    """One trajectory a seed, from this one on; `together` of them are trained and kept at once."""
    seeds = range(seed, seed + replicates)
    parts = [tuple(seeds[i : i + together]) for i in range(0, len(seeds), together)]
    looks = [Look(train, (training, part), Stack, label=f"{training.activation}-{part[0]}") for part in parts]
    stacks = look(looks, store, jobs=jobs)
    rows = [(w, loss) for stack in stacks for w, loss in zip(stack.weights, stack.losses, strict=True)]
    return [Trajectory(training, w, loss, seed) for seed, (w, loss) in zip(seeds, rows, strict=True)]


class Asked(Protocol):
    """What the studies of this network have in common: their options."""

    epochs: int
    replicates: int
    seed: int


def replicated(training: Training, study: Asked, context: RunContext) -> list[Trajectory]:
    """The trajectories that a study's options ask for."""
    store = context.store or Store(None)
    return trajectories(training, study.replicates, store, seed=study.seed, jobs=context.jobs)


def about(study: Asked) -> dict[str, Any]:
    """What a study's results were made from."""
    return {"version": __version__, "epochs": study.epochs, "replicates": study.replicates, "seed": study.seed}


def standard_error(values: np.ndarray) -> np.ndarray:
    """Over the first axis, of the mean; NaN of one.

    >>> float(standard_error(np.array([1.0, 3.0])))
    1.0
    """
    return values.std(0, ddof=1) / math.sqrt(len(values)) if len(values) > 1 else np.full(values.shape[1:], math.nan)


def in_bits(quantity: str, values: Sequence[float], study: Asked, method: str) -> Measurement:
    """What each seed shows, in bits, as a measurement.

    >>> from types import SimpleNamespace
    >>> print(in_bits("I(X;T)", [1.0, 3.0], SimpleNamespace(epochs=1, replicates=2, seed=0), "exact"))
    I(X;T) = 2.00 ± 1.00 bit
    """
    seeds = tuple(range(study.seed, study.seed + len(values)))
    nats = {seed: float(value) * NATS_PER_BIT for seed, value in zip(seeds, values, strict=True)}
    receipt = Receipt(method, "tishby", n=4096, seeds=seeds, over="networks", version=__version__)
    return Measurement.from_replicates(quantity, nats, receipt=receipt)


def train(training: Training, seeds: Sequence[int]) -> Stack:
    """Train the networks of these seeds together: those that round by vmap, the others by grouped products."""
    task, learner = tishby(), training.learner
    members = [
        Member(learner, task[coding_order(len(task), seed)[:TRAINED_ON]], seed, name=f"{seed}") for seed in seeds
    ]
    rows = _Rows(training.epochs)
    way = Way("grouped" if training.bits is None else "vmap", len(members))
    population = fit_stack(members, way, keep=SnapshotSpec((0,)), observers=[rows])
    start = torch.cat([w.flatten(1) for w in population.initial.values()], 1)
    return Stack(torch.stack([start, *rows.weights], 1), torch.stack(rows.losses, 1))


class _Rows:
    """An observer that keeps every epoch's weights (seeds, parameters) and mean losses (seeds)."""

    def __init__(self, epochs: int):
        self.epochs, self.weights, self.losses = epochs, [], []

    def observe(self, moment: StackMoment) -> None:
        if moment.end_of_epoch:
            self.weights.append(torch.cat([w.detach().flatten(1) for w in moment.weights.values()], 1))
            self.losses.append(moment.means.clone())
            report(moment.epoch + 1, self.epochs)


def place(trajectory: Trajectory, epoch: int, task: Task, method: Method) -> list[tuple[float, float]]:
    """I(X;T) and I(T;Y) of each hidden layer after this epoch, bits."""
    both = [layer_information(t, task.y, method) for t in trajectory.layers(epoch, task.x)[:-1]]
    return [(one.x_t.bits, one.t_y.bits) for one in both]


def epochs_between(last: int, per_decade: int = 4) -> list[int]:
    """0, 1, and so many a decade up to the last.

    >>> epochs_between(100, 2)
    [0, 1, 3, 10, 32, 100]
    """
    steps = math.floor(math.log10(last) * per_decade + 1e-9)
    return sorted({0, last, *(round(10 ** (k / per_decade)) for k in range(steps + 1))})
