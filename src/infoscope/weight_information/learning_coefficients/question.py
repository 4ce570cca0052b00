"""The question of the learning coefficient: how many bits does each halving of the tolerated loss cost?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch

from infoscope.data.named import Tasks, sample, tasks, training_part
from infoscope.data.task import Task
from infoscope.ensembles.population import Member, Population
from infoscope.ensembles.train import Train
from infoscope.figure import Figure, Line
from infoscope.measurement import Measurement, Receipt, Status
from infoscope.models.default import Model, learner_for, model_name
from infoscope.options import AtLeast, check_fields, positive, weights_or_epochs
from infoscope.record import Record, Row
from infoscope.run.context import RunContext
from infoscope.run.look import Look, Looks
from infoscope.run.question import Rows, Stages, ask
from infoscope.training.learner import Learner
from infoscope.weight_information.checkpoint import AnyCheckpoint, Checkpoint
from infoscope.weight_information.example_losses import check_likelihood
from infoscope.weight_information.learning_coefficients.gibbs_curve import GibbsCurve
from infoscope.weight_information.learning_coefficients.gibbs_look import Centre, gibbs_seconds, sample_gibbs

_MOST = 1000
"""Examples, unless more are asked for."""

_POINTS = (0.1, 10**-0.5, 1.0)
"""Shares of b at which the curve is sampled besides."""


@dataclass(frozen=True)
class LearningCoefficient:
    """How many bits does each halving of the tolerated loss cost? λ of a trained network on its training data.

    The learning coefficient (real log canonical threshold), sampled at inverse temperatures b by Langevin chains
    with a Metropolis test on all examples, which set their own step sizes: λ_E = b (E_b L − L_0) and λ_H = b² Var_b L.
    Half the number of weights where all of them count, less where the loss is flat. Watanabe (2009), Lau et al. (2023).

    Attributes
    ----------
    data
        One or more data sets; their train splits where they have them.
    model
        Network: a name from `infoscope list models`, or module:factory. Default: mlp, or cnn from 16 pixels on.
    weights
        Your network's weights, a file (.safetensors, or .pt with tensors only) or the folder of a transformer; nothing
        is trained, and they are not moved.
    b
        Inverse temperature of the loss summed over examples. Default: 1/log n, as Watanabe's WBIC has it.
    prior
        Standard deviation of the Gaussian prior of every weight.
    centre
        Where the prior lies: around zero, or around the weights, for what is near them alone. Weights without bounds,
        as of classes that can be told apart without an error, have nothing but flat directions near them.
    replicates
        Independent chains. The standard error is over them.
    steps
        Most steps of a chain, of a gradient on all examples each; it ends earlier when the mean is known.
    seed
        Of training and of the chains.
    epochs
        Most epochs of a training. Default: the recipe's, 1000.
    examples
        Take only so many examples, drawn by the seed; every step goes through all of them. Default: at most 1000.
    """

    data: Tasks
    model: Model = None
    weights: AnyCheckpoint | None = None
    b: float | None = None
    prior: float = 1.0
    centre: Centre = "zero"
    replicates: Annotated[int, AtLeast(2)] = 4
    steps: Annotated[int, AtLeast(8)] = 2000
    seed: Annotated[int, AtLeast(0)] = 0
    epochs: Annotated[int | None, AtLeast(1)] = None
    examples: Annotated[int | None, AtLeast(2)] = None

    def __post_init__(self) -> None:
        check_fields(self)
        positive(self, "b", "prior")
        if self.centre not in ("weights", "zero"):
            raise ValueError(f"centre is {self.centre!r}; it is 'weights' or 'zero'")
        weights_or_epochs(self)

    def stages(self, device: str = "cpu") -> Stages[LearningCoefficientAnswer]:
        """For one task after another a network, unless one was given, then its chains."""
        given = [self._part(task) for task in tasks(self.data)]
        for task in given:
            check_likelihood(task)
        found: list[TaskCoefficient] = []
        for task in given:
            mine = None if self.weights is None else Checkpoint.of(self.weights)
            model = self.model if self.model is not None or mine is None else mine.model
            learner = learner_for(task, model, self.epochs)
            if mine is None:
                trained: Population = yield Train((Member(learner, task, self.seed),))
                learner = learner.starting_from(trained.member(0))
            else:
                learner = mine.learner(task, model)
            curves: list[GibbsCurve] = yield Looks((self._look(task, learner, device),))
            found.append(TaskCoefficient(task.name, model_name(task, model), self._b(task), curves[0]))
            yield Rows(found[-1].rows())
        return LearningCoefficientAnswer(self, tuple(found))

    def _part(self, task: Task) -> Task:
        return sample(training_part(task), _MOST if self.examples is None else self.examples, self.seed)

    def _b(self, task: Task) -> float:
        if self.b is None and len(task) < 2:
            raise ValueError(f"{task.name!r} has {len(task)} examples, and b = 1/log n needs 2; give more, or b")
        return self.b or 1 / math.log(len(task))

    def _look(self, task: Task, learner: Learner, device: str) -> Look[GibbsCurve]:
        asked = tuple(self._b(task) * share for share in _POINTS)
        args = (task, learner, asked, self.prior, self.centre, self.replicates, self.steps, self.seed)
        return Look(
            sample_gibbs,
            (*args, self.weights is None, device),
            GibbsCurve,
            1,
            f"chains on {task.name}",
            kind="chains",
            seconds=partial(gibbs_seconds, task, learner, len(asked) * self.replicates, self.steps, device),
            stand_in=partial(_nothing, asked, self.replicates),
        )


@dataclass(frozen=True)
class TaskCoefficient:
    """What is found for one task."""

    name: str
    model: str
    b: float
    curve: GibbsCurve

    def rows(self) -> tuple[Row, ...]:
        """All quantities at the inverse temperatures that were sampled for it, b itself first."""
        places = [self.b * share for share in reversed(_POINTS)]
        return tuple(Row({"task": self.name, "b": b}, m) for b in places for m in self.curve.at(b))


@dataclass(frozen=True)
class LearningCoefficientAnswer:
    """What `LearningCoefficient` comes to."""

    question: LearningCoefficient
    found: tuple[TaskCoefficient, ...]

    @property
    def title(self) -> str:
        """Learning coefficient of networks on these tasks."""
        return f"Learning coefficient of {self.found[0].model} on {', '.join(one.name for one in self.found)}"

    def record(self) -> Record:
        """One row a task, temperature and quantity."""
        return Record.of(row for one in self.found for row in one.rows())

    def figures(self) -> list[Figure]:
        """Both coefficients over b, of every task."""
        lines = []
        for one in self.found:
            by_mean, by_variance = one.curve.coefficients()
            above = one.curve.b > 0
            for name, values in (("λ_E", by_mean), ("λ_H", by_variance)):
                lines.append(Line(f"{name}, {one.name}", one.curve.b[above].tolist(), values[above].tolist()))
        return [Figure("Learning coefficient", "b", "λ (bits a halving of the loss)", lines, log_x=True)]

    def sentence(self) -> str:
        """How many bits a halving costs."""
        return " ".join(_told(one) for one in self.found)

    def choices(self) -> Mapping[str, str]:
        """How the chains went."""
        return {one.name: "; ".join(one.curve.at(one.b)[0].receipt.notes) for one in self.found}

    def write(self, folder: Path) -> Mapping[str, str]:
        """No file but the report."""
        return {}


def learning_coefficient(
    data: Any, model: Model = None, *, context: RunContext = RunContext(), strict: bool = True, **options: Any
) -> Measurement:
    """λ_E of a network trained on a task, at b = 1/log n unless said otherwise. `LearningCoefficient` asked at once."""
    (found,) = ask(LearningCoefficient(data, model, **options), context).found
    return found.rows()[0].measurement.checked(strict)


def _told(one: TaskCoefficient) -> str:
    by_mean, by_variance = one.curve.at(one.b)[:2]
    doubt = ""
    if Status.NOT_AT_A_MINIMUM in by_mean.status:
        doubt = " The weights are no minimum of the loss: read λ_H, and train on."
    elif Status.NOT_MIXED in by_mean.status:
        doubt = " The chains have not come together: take more steps."
    return (
        f"On {one.name} every halving of the tolerated loss costs {one.model} {by_mean.value:.3g} bits by the mean of "
        f"the loss, {by_variance.value:.3g} by its variance (b = {one.b:.3g}).{doubt}"
    )


def _nothing(asked: tuple[float, ...], chains: int) -> GibbsCurve:
    """A curve of the form of a look's, made at once."""
    rungs = len(asked)
    one, wide = torch.ones(rungs, dtype=torch.float64), torch.ones(rungs, chains, dtype=torch.float64)
    b = torch.tensor(asked, dtype=torch.float64)
    return GibbsCurve(b, wide, wide, wide, one, one, one, one[1:], 0.0, 0.0, 0, 0, Receipt(""))
