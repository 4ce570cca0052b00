"""A lower bound on what a layer says about the label, from how well a probe predicts labels it has not seen."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.special import softmax
from torch import Tensor, nn

from infoscope.data.task import Task
from infoscope.measurement import Bound, Status
from infoscope.mi.method import Claims, Finding
from infoscope.mi.numerics.logistic import Penalty, cross_entropy, path
from infoscope.mi.numerics.neighbours import standardised
from infoscope.mi.sample import Side
from infoscope.options import share
from infoscope.run import Store
from infoscope.run.look import Look, look, pack, unpack
from infoscope.training.fit import fit
from infoscope.training.learner import Learner
from infoscope.training.predict import probabilities
from infoscope.training.recipe import Adam, Recipe

VALIDATION = 0.2
"""Share of the training examples that says when to stop."""

WIDE = 0.25
"""Columns an example from which a penalised logistic regression is tried beside the network."""

STRENGTHS: dict[Penalty, tuple[float, ...]] = {
    "squares": tuple(np.geomspace(10, 1e-3, 9).tolist()),
    "absolute": tuple(np.geomspace(0.3, 1e-3, 11).tolist()),
}
"""Strengths of its penalties, from strong to weak: on standardised columns, weights are of the order of 1."""

PENALTIES: tuple[Penalty, ...] = ("squares", "absolute")

FEWEST = 20
"""Examples below which there is too little to learn from and to hold out."""


@dataclass(frozen=True)
class Probe:
    """I(T;Y) ≥ H(Y) − CE, the cross-entropy of a probe on labels held out from it (Barber & Agakov 2003).

    H(Y|T) is the least cross-entropy that any predictor has, so the bound holds for every probe, in any number of
    dimensions, with ordinary sampling error; a better probe is a tighter bound. `widths` are the probe's hidden
    layers: none is a linear probe. It may be negative, when the probe predicts worse than the label frequencies do.

    With a quarter as many columns as examples, or more, a network learns little but noise: a logistic regression with a
    penalty is fitted, too, and the one that does better on validation examples predicts the held-out ones.
    """

    widths: tuple[int, ...] = (64,)
    recipe: Recipe = Recipe(Adam(1e-3, weight_decay=0.01), batch=128, epochs=200, patience=10)
    held_out: float = 0.3

    takes: ClassVar[tuple[str, ...]] = ("points-labels",)
    subsampled: ClassVar[bool] = False
    learns: ClassVar[bool] = True
    projects: ClassVar[bool] = True  # a bound for a projection of T is one for T
    claims = Claims(errs="down", seeded=True, invariant=frozenset({"scale"}), examples=300)

    def __post_init__(self) -> None:
        share(self, "held_out")

    def estimate(self, x: Side, y: Side, seed: int, store: Store | None = None) -> Finding:
        """Train the probe, then bound."""
        found = self.predictions(x, y, seed, store)
        return from_predictions(found.p.numpy(), found.y.numpy(), found.converged)

    def predictions(self, x: Side, y: Side, seed: int, store: Store | None = None) -> Predictions:
        """What the probe says of held-out examples, from the store if it has it."""
        args = self, standardised(x.values), y.values, y.classes, seed
        return (
            predicted(*args)
            if store is None
            else look([Look(predicted, args, Predictions, version=2, label="probe")], store)[0]
        )


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predicted probabilities p (m, classes) of held-out examples, their labels y, and whether training settled.

    `forgone` is by how much the loss is higher on examples that were not learned from than on those that were, nats.
    """

    p: Tensor
    y: Tensor
    converged: bool
    forgone: float = 0.0

    def to_bytes(self) -> bytes:
        """This value as bytes."""
        return pack({"p": self.p, "y": self.y}, converged=self.converged, forgone=self.forgone)

    @classmethod
    def from_bytes(cls, data: bytes) -> Predictions:
        """The value that `to_bytes` wrote."""
        tensors, facts = unpack(data)
        return cls(**tensors, **facts)


def predicted(
    probe: Probe, points: Float[np.ndarray, "n d"], y: Int[np.ndarray, " n"], classes: int, seed: int
) -> Predictions:
    """Train a probe on most of the examples, and ask it about the rest: all that is costly and random about it."""
    n = len(points)
    sizes = np.cumsum([round(probe.held_out * n), round(VALIDATION * (1 - probe.held_out) * n)])
    if n < FEWEST or min(sizes[0], sizes[1] - sizes[0], n - sizes[1]) < 2:
        raise ValueError(f"{n} examples are too few to train a probe on and to hold some out; give {FEWEST} or more")
    test, validation, train = np.split(np.random.default_rng(seed).permutation(n), sizes)
    alphabet = tuple(map(str, range(classes)))
    tasks = [Task.from_arrays(points[rows], y[rows], alphabet=alphabet) for rows in (train, validation)]
    learner = Learner(Network(probe.widths), probe.recipe)
    trained = fit(learner, *tasks, seed=seed)
    if points.shape[1] >= WIDE * n:
        fitted = _penalised(points, y, classes, train, validation)
        if fitted.loss < min(trained.validation_losses):
            weights, intercept = fitted.again(points, y, classes, np.concatenate([train, validation]))
            p = torch.from_numpy(softmax(points[test] @ weights + intercept, axis=1))
            return Predictions(p, torch.from_numpy(y[test]), True, fitted.forgone)
    network = learner.starting_from(trained.weights).network(tasks[0].shape, classes, seed)
    p = probabilities(network, torch.as_tensor(points[test], dtype=torch.float32))
    least = min(trained.validation_losses)
    forgone = max(0.0, least - trained.losses[trained.validation_losses.index(least)])
    return Predictions(p, torch.from_numpy(y[test]), trained.converged, forgone)


@dataclass(frozen=True)
class _Penalised:
    """A logistic regression by its penalty, the strength that does best on validation examples, and its loss there.

    `forgone` is by how much that is above its loss on the examples that it was fitted to.
    """

    penalty: Penalty
    strengths: tuple[float, ...]
    loss: float
    forgone: float

    def again(
        self, points: Float[np.ndarray, "n d"], y: Int[np.ndarray, " n"], classes: int, rows: Int[np.ndarray, " m"]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Weights and intercepts of the same on these rows."""
        *_, last = path(points[rows], y[rows], classes, self.penalty, self.strengths)
        return last


def _penalised(
    points: Float[np.ndarray, "n d"],
    y: Int[np.ndarray, " n"],
    classes: int,
    train: Int[np.ndarray, " t"],
    validation: Int[np.ndarray, " v"],
) -> _Penalised:
    """The best of both penalties: squares where many columns tell a little, absolute values where few tell much."""
    found = []
    for penalty in PENALTIES:
        for i, (weights, intercept) in enumerate(path(points[train], y[train], classes, penalty, STRENGTHS[penalty])):
            loss = cross_entropy(points[validation], y[validation], weights, intercept)
            gap = max(0.0, loss - cross_entropy(points[train], y[train], weights, intercept))
            found.append(_Penalised(penalty, STRENGTHS[penalty][: i + 1], loss, gap))
            if i > 1 and found[-1].loss > found[-2].loss > found[-3].loss:
                break
    return min(found, key=lambda each: each.loss)


@dataclass(frozen=True)
class Network:
    """Factory of the probe: hidden layers of these widths, then logits."""

    widths: tuple[int, ...]

    def __call__(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """The network for examples of this shape."""
        sizes = (shape[0], *self.widths)
        hidden = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), nn.ReLU())]
        return nn.Sequential(*hidden, nn.Linear(sizes[-1], classes))


def from_predictions(p: Float[np.ndarray, "n classes"], y: Int[np.ndarray, " n"], converged: bool = True) -> Finding:
    """H(Y) − CE from predicted class probabilities of examples that were not trained on.

    H(Y) is that of these labels' frequencies, which errs downward and so keeps the side.

    >>> found = from_predictions(np.array([[0.5, 0.5]] * 4), np.array([0, 1, 0, 1]))
    >>> found.value
    0.0
    """
    share = np.bincount(y, minlength=p.shape[1]) / len(y)
    with np.errstate(divide="ignore"):
        saved = np.log(p[np.arange(len(y)), y]) - np.log(share[y])
    stderr = float(saved.std(ddof=1)) / math.sqrt(len(y)) if len(y) > 1 and np.isfinite(saved).all() else math.nan
    status = frozenset(() if converged else {Status.NOT_CONVERGED})
    return Finding(float(saved.mean()), stderr, "held-out examples, the probe given", Bound.LOWER, status)
