"""The looks of a chain of tasks: one task learned, and how much its weights mattered."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from infoscope.data.task import Task
from infoscope.model_information.cost import LearningTime, PassTime, alike
from infoscope.observation.estimators import Sketch
from infoscope.observation.fisher_diagonal import fisher_diagonal
from infoscope.observation.likelihoods import as_given, likelihood_of
from infoscope.run.look import Look, pack, unpack
from infoscope.run.tensor_paths import below, pack_paths, unpack_paths
from infoscope.training.fit import Diverged, Trained, fit, held_out_loss
from infoscope.training.forward import logits_of
from infoscope.training.learner import Learner, Weights, copy_weights
from infoscope.training.path_integral import PathIntegral
from infoscope.training.penalties import Anchored
from infoscope.training.recipe import Loss

SKETCH = Sketch(draws=4)
"""How a diagonal is taken: in so many reverse passes a batch, however many classes or tokens there are."""


@dataclass(frozen=True)
class Exam:
    """Examples that nobody learns from, and the loss by which a network is judged on them."""

    task: Task
    loss: Loss


@dataclass(frozen=True)
class Learned:
    """A task that was learned: the weights then, what each did on the way, and the losses on the exams, nats.

    `failed` says why the training broke off; the weights are then those that it began with.
    """

    weights: Weights
    path: Mapping[str, Tensor] = field(default_factory=dict)
    exams: tuple[float, ...] = ()
    converged: bool = True
    failed: str = ""

    def to_bytes(self) -> bytes:
        """As one safetensors file."""
        tensors = {(part, k): t for part in ("weights", "path") for k, t in getattr(self, part).items()}
        return pack_paths(tensors, exams=self.exams, converged=self.converged, failed=self.failed)

    @classmethod
    def from_bytes(cls, data: bytes) -> Learned:
        """The value that `to_bytes` wrote."""
        tensors, facts = unpack_paths(data)
        return cls(
            below(tensors, "weights"),
            below(tensors, "path"),
            tuple(facts["exams"]),
            facts["converged"],
            facts["failed"],
        )


def learn(
    learner: Learner, task: Task, exams: tuple[Exam, ...], seed: int, device: str, follow: bool, damping: float
) -> Learned:
    """Train, and sit the exams; with `follow` take note of what each weight does for the loss."""
    start = copy_weights(learner.network(task.shape, task.target.outputs, seed))
    penalty = learner.recipe.penalty
    path = PathIntegral(start, (penalty,) if isinstance(penalty, Anchored) else ())
    try:
        trained: Trained = fit(learner, task, seed=seed, device=device, observers=[path] if follow else [])
    except Diverged as error:
        return Learned(start, exams=(math.inf,) * len(exams), converged=False, failed=str(error))
    network = learner.starting_from(trained.weights).network(task.shape, task.target.outputs, seed).to(device)
    marks = tuple(held_out_loss(network, exam.task, exam.loss) for exam in exams)
    importance = path.importance(damping) if follow else {}
    return Learned(trained.weights, importance, marks, trained.converged)


def learn_look(
    learner: Learner, task: Task, seed: int, device: str, *, exams: Sequence[Exam] = (), damping: float | None = None,
    label: str,
) -> Look[Learned]:  # fmt: skip
    """The look of one training; with `damping` the path of its weights is followed."""
    timed = dataclasses.replace(learner, weights=None, recipe=dataclasses.replace(learner.recipe, penalty=None))
    return Look(
        learn,
        (learner, task, tuple(exams), seed, device, damping is not None, 0.0 if damping is None else damping),
        Learned,
        1,
        label,
        kind="trainings",
        seconds=LearningTime.of(timed, task),
        stand_in=partial(_untrained, learner, task, seed, len(exams), damping is not None),
    )


def _untrained(learner: Learner, task: Task, seed: int, exams: int, follow: bool) -> Learned:
    start = copy_weights(learner.network(task.shape, task.target.outputs, seed))
    return Learned(start, start if follow else {}, (0.0,) * exams)


@dataclass(frozen=True)
class Importance:
    """How much each weight matters for a task, by name."""

    tensors: Weights

    def to_bytes(self) -> bytes:
        """As one safetensors file."""
        return pack(self.tensors)

    @classmethod
    def from_bytes(cls, data: bytes) -> Importance:
        """The value that `to_bytes` wrote."""
        return cls(unpack(data)[0])


def fisher_look(learner: Learner, task: Task, columns: tuple[int, int], seed: int, device: str) -> Look[Importance]:
    """The look at the Fisher information of a task's weights."""
    bare = dataclasses.replace(learner, weights=None)
    return Look(
        fisher,
        (learner, task, columns, seed, device),
        Importance,
        1,
        f"Fisher information on {task.name}, seed {seed}",
        kind="Fisher diagonals",
        seconds=PassTime(
            fisher, len(task), (*alike(task), bare), lambda count: (bare, task[:count], columns, seed, device)
        ),
        stand_in=partial(_constant, learner, task, seed),
    )


def _constant(learner: Learner, task: Task, seed: int) -> Importance:
    network = learner.network(task.shape, task.target.outputs, seed)
    return Importance({name: torch.ones_like(p) for name, p in network.named_parameters() if p.requires_grad})


def fisher(learner: Learner, task: Task, columns: tuple[int, int], seed: int, device: str) -> Importance:
    """The diagonal of the Fisher information at the learner's weights, a mean over the task's examples.

    Of the task's own `columns` of the outputs alone; sketched, so that a sure network's is not missed.
    """
    network = learner.network(task.shape, task.target.outputs, seed).to(device)
    own = Narrowed(network, *columns)
    y = as_given(task.target, task.y)
    found = fisher_diagonal(own, task.x, likelihood_of(task.target), y, estimator=SKETCH, seed=seed)
    return Importance({name.removeprefix("whole."): t.float().cpu() for name, t in found.mean.items()})


class Narrowed(nn.Module):
    """A network of which only some columns of the outputs are looked at."""

    def __init__(self, whole: nn.Module, start: int, stop: int) -> None:
        super().__init__()
        self.whole, self.columns = whole, slice(start, stop)

    def forward(self, *x: Any, **named: Any) -> Tensor:
        """These columns."""
        return logits_of(self.whole(*x, **named))[..., self.columns]
