"""The question of the Fisher information during training: does it rise, and then fall?"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Any

from infoscope.data.named import AnyTask, sample, task_of, training_part
from infoscope.data.task import Task
from infoscope.dynamics.fisher_training.answer import FisherTrainingAnswer
from infoscope.dynamics.fisher_training.curve import Watching
from infoscope.dynamics.fisher_training.watched_trainings import WatchedTraining, WatchTrainings
from infoscope.ensembles.population import Member
from infoscope.models.default import Model, learner_for, model_name
from infoscope.options import AtLeast, check_fields
from infoscope.run.context import RunContext
from infoscope.run.question import Stages, ask
from infoscope.training.learner import Learner
from infoscope.training.recipe import Optimizer
from infoscope.weight_information.example_losses import check_likelihood

EPOCHS = 20


@dataclass(frozen=True)
class FisherTraining:
    """Does the Fisher information in the weights rise and then fall while a network trains? Its trace, layer by layer.

    Beside tr F stands tr F over the mean of p (1 − p): a network that grows sure of itself has less Fisher information
    for that alone, and its weights have forgotten nothing. Achille, Rovere & Soatto (2019).

    Attributes
    ----------
    data
        Data to train on; their train split where they have one.
    model
        Network: a name from `infoscope list models`, or module:factory. Default: mlp, or cnn from 16 pixels on.
    optimizer
        adam, sgd, or with options, sgd(lr=0.05). Default: the recipe's, adam.
    epochs
        Of every training. Default: 20, or those of your recipe.
    every
        Steps from one measurement to the next. Default: 20, or as many more as keep watching at a twentieth of the
        training's time, by a short trial; ten measurements at least.
    examples
        Examples that are looked at each time, the same ones, drawn by the seed.
    draws
        Random signs that each of them is sketched with.
    train
        Train on so many examples only, drawn by the seed.
    replicates
        Networks, one a seed.
    seed
        The first of their seeds.
    """

    data: AnyTask
    model: Model = None
    optimizer: Optimizer | None = None
    epochs: Annotated[int | None, AtLeast(1)] = None
    every: Annotated[int | None, AtLeast(1)] = None
    examples: Annotated[int, AtLeast(2)] = 32
    draws: Annotated[int, AtLeast(1)] = 1
    train: Annotated[int | None, AtLeast(2)] = None
    replicates: Annotated[int, AtLeast(1)] = 3
    seed: Annotated[int, AtLeast(0)] = 0

    def __post_init__(self) -> None:
        check_fields(self)

    def stages(self, device: str = "cpu") -> Stages[FisherTrainingAnswer]:
        """One stage: the trainings, each watched."""
        task = self._part()
        learner = self._learner(task)
        seeds = range(self.seed, self.seed + self.replicates)
        members = tuple(Member(learner, task, seed, name=f"seed {seed}") for seed in seeds)
        watching = Watching(self.every or Watching().every, min(self.examples, len(task)), self.draws)
        found: list[WatchedTraining] = yield WatchTrainings(members, watching, spare=self.every is None)
        return FisherTrainingAnswer(task.name, model_name(task, self.model), tuple(seeds), tuple(found))

    def _part(self) -> Task:
        task = training_part(task_of(self.data))
        if len(task) < 2:
            raise ValueError(f"{task.name!r} has {len(task)} examples; give 2 or more to train on")
        check_likelihood(task)
        return sample(task, self.train, self.seed)

    def _learner(self, task: Task) -> Learner:
        """All epochs are trained, so that every network has the same steps."""
        learner = learner_for(task, self.model)
        recipe = learner.recipe
        usual = recipe.epochs if isinstance(self.model, Learner) else EPOCHS
        recipe = dataclasses.replace(
            recipe, epochs=self.epochs or usual, patience=None, optimizer=self.optimizer or recipe.optimizer
        )
        steps = recipe.epochs * -(-len(task) // recipe.batch)
        if self.every is not None and steps < self.every:
            raise ValueError(
                f"a training of {steps} steps is over before the first of every {self.every} is reached; take more "
                "epochs, or every of less"
            )
        return dataclasses.replace(learner, recipe=recipe)


def fisher_training(
    data: Any, model: Model = None, *, context: RunContext = RunContext(), **options: Any
) -> FisherTrainingAnswer:
    """Does the Fisher information rise and then fall? `FisherTraining` asked at once.

    >>> from infoscope.models import MLP
    >>> found = fisher_training("iris", MLP((4,)), every=5, epochs=10, replicates=2)
    >>> [when.step for when in found.times]
    [0, 5, 10, 15, 20, 25, 30]
    """
    return ask(FisherTraining(data, model, **options), context)
