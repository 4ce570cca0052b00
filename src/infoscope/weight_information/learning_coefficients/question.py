"""The question of the learning coefficient: how many bits does each halving of the tolerated loss cost?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import torch

from infoscope.data.named import Tasks, sample, tasks, training_part
from infoscope.data.task import Task
from infoscope.ensembles.population import Member, Population
from infoscope.ensembles.train import Train
from infoscope.measurement import Measurement, Receipt
from infoscope.models.default import Model, learner_for, model_name
from infoscope.observation.layers import chosen
from infoscope.options import AtLeast, check_fields, positive, weights_or_epochs
from infoscope.run.context import RunContext
from infoscope.run.look import Look, Looks
from infoscope.run.question import Rows, Stages, ask
from infoscope.training.learner import Learner
from infoscope.weight_information.checkpoint import AnyCheckpoint, Checkpoint, layer_of, parameters_of
from infoscope.weight_information.example_losses import check_likelihood
from infoscope.weight_information.learning_coefficients.answer import (
    POINTS,
    LearningCoefficientAnswer,
    TaskCoefficient,
)
from infoscope.weight_information.learning_coefficients.gibbs_curve import GibbsCurve
from infoscope.weight_information.learning_coefficients.gibbs_look import (
    MOST_GRADIENTS,
    Centre,
    Minimum,
    Sampling,
    gibbs_seconds,
    minimum,
    sample_gibbs,
)

_MOST = 1000
"""Examples, unless more are asked for."""


@dataclass(frozen=True)
class LearningCoefficient:
    """How many bits does each halving of the tolerated loss cost? λ of a trained network on its training data.

    The learning coefficient (real log canonical threshold), sampled at inverse temperatures b by Langevin chains
    with a Metropolis test on all examples, which set their own step sizes: λ_E = b (E_b L − L_0) and λ_H = b² Var_b L.
    Half the number of weights where all of them count, less where the loss is flat. Watanabe (2009), Lau et al. (2023).
    Of a layer it is that of the loss as a function of its weights alone, all others held at w* (weight-refined, Wang et
    al. 2024, arXiv:2410.02984): how sharply the loss depends on the layer as the others are. It is no share of the
    whole: near 0 of ½(a₁a₂)² each has 0 and the whole ½, near (1, 1) of ½(a₁a₂ − 1)² each has ½, and so has the whole.

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
    layers
        Names or globs of layers whose own coefficient is sampled too, by chains of their own; all of them by `all`.
        Default: none.
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
    layers: tuple[str, ...] = ()
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
        """For one task after another a network, unless one was given, its minimum, its chains, and its layers'."""
        given = [self._part(task) for task in tasks(self.data)]
        for task in given:
            check_likelihood(task)
        found: list[TaskCoefficient] = []
        for task in given:
            one = yield from self._of(task, device)
            found.append(one)
            yield Rows(one.rows())
        return LearningCoefficientAnswer(tuple(found))

    def _of(self, task: Task, device: str) -> Stages[TaskCoefficient]:
        mine = None if self.weights is None else Checkpoint.of(self.weights)
        model = self.model if self.model is not None or mine is None else mine.model
        learner = learner_for(task, model, self.epochs) if mine is None else mine.learner(task, model)
        layers = self._layers(task, learner, model)
        low: Minimum | None = None
        if mine is None:
            trained: Population = yield Train((Member(learner, task, self.seed),))
            learner = learner.starting_from(trained.member(0))
            lows: list[Minimum] = yield Looks((self._minimum(task, learner, device),))
            low = lows[0]
        curves: list[GibbsCurve] = yield Looks(tuple(self._looks(task, learner, low, (None, *layers), device)))
        by_layer = dict(zip(layers, curves[1:], strict=True))
        return TaskCoefficient(task.name, model_name(task, model), self._b(task), curves[0], by_layer)

    def _part(self, task: Task) -> Task:
        return sample(training_part(task), _MOST if self.examples is None else self.examples, self.seed)

    def _layers(self, task: Task, learner: Learner, model: Model) -> tuple[str, ...]:
        have = tuple(dict.fromkeys(layer_of(name) for name in parameters_of(learner, task)))
        return chosen(have, self.layers, model_name(task, model)) if self.layers else ()

    def _b(self, task: Task) -> float:
        if self.b is None and len(task) < 2:
            raise ValueError(f"{task.name!r} has {len(task)} examples, and b = 1/log n needs 2; give more, or b")
        return self.b or 1 / math.log(len(task))

    def _minimum(self, task: Task, learner: Learner, device: str) -> Look[Minimum]:
        return Look(
            minimum,
            (task, learner, self.seed, device),
            Minimum,
            1,
            f"minimum on {task.name}",
            kind="minima",
            seconds=partial(gibbs_seconds, task, learner, 1, MOST_GRADIENTS, device),
            stand_in=partial(Minimum, torch.zeros(1), ""),
        )

    def _looks(
        self, task: Task, learner: Learner, low: Minimum | None, layers: Sequence[str | None], device: str
    ) -> Iterator[Look[GibbsCurve]]:
        asked = tuple(self._b(task) * share for share in POINTS)
        seconds = partial(gibbs_seconds, task, learner, len(asked) * self.replicates, self.steps, device)
        for layer in layers:
            how = Sampling(asked, self.prior, self.centre, self.replicates, self.steps, self.seed, layer)
            yield Look(
                sample_gibbs,
                (task, learner, low, how, device),
                GibbsCurve,
                1,
                f"chains on {task.name}" if layer is None else f"chains of {layer} on {task.name}",
                kind="chains",
                seconds=seconds,
                stand_in=partial(_nothing, asked, self.replicates),
            )


def learning_coefficient(
    data: Any, model: Model = None, *, context: RunContext = RunContext(), strict: bool = True, **options: Any
) -> Measurement:
    """λ_E of a network trained on a task, at b = 1/log n unless said otherwise. `LearningCoefficient` asked at once."""
    (found,) = ask(LearningCoefficient(data, model, **options), context).found
    return found.rows()[0].measurement.checked(strict)


def _nothing(asked: tuple[float, ...], chains: int) -> GibbsCurve:
    """A curve of the form of a look's, made at once."""
    rungs = len(asked)
    one, wide = torch.ones(rungs, dtype=torch.float64), torch.ones(rungs, chains, dtype=torch.float64)
    b = torch.tensor(asked, dtype=torch.float64)
    return GibbsCurve(b, wide, wide, wide, one, one, one, one[1:], 0.0, 0.0, 0, 0, Receipt(""))
