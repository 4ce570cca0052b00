"""The networks that a question of this room trains: one a seed, all for the same number of steps."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from torch import Tensor

from infoscope.data.inputs import take
from infoscope.data.named import training_part
from infoscope.data.task import Task
from infoscope.ensembles.population import Member
from infoscope.models import loss_of
from infoscope.models.default import Model, learner_for
from infoscope.training.learner import Learner
from infoscope.training.recipe import Adam, Optimizer, Recipe

USUAL = Recipe(optimizer=Adam(), batch=64, epochs=20)
"""What is taken of a recipe where neither a learner nor an option says otherwise."""


@dataclass(frozen=True)
class Training:
    """Epochs, optimizer and batch as they were asked for; None where the learner's own, or the usual, will do."""

    epochs: int | None = None
    optimizer: Optimizer | None = None
    batch: int | None = None

    def learner(self, task: Task, model: Model) -> Learner:
        """The learner of this model, trained so, without early stopping."""
        learner = learner_for(task, model)
        own = learner.recipe if isinstance(model, Learner) else USUAL
        recipe = dataclasses.replace(
            learner.recipe,
            optimizer=self.optimizer or own.optimizer,
            batch=self.batch or own.batch,
            epochs=self.epochs or own.epochs,
            patience=None,
            loss=learner.recipe.loss or loss_of(learner.factory),
        )
        return dataclasses.replace(learner, recipe=recipe)


def members_of(task: Task, learner: Learner, replicates: int, seed: int) -> tuple[Member, ...]:
    """One network a seed, from `seed` on."""
    return tuple(Member(learner, task, s) for s in range(seed, seed + replicates))


def trained_part(task: Task, examples: int | None, seed: int) -> Task:
    """What is trained on: the train split where there is one, or so many examples of it, drawn by the seed."""
    part = training_part(task)
    if examples is None or examples >= len(part):
        return part
    return dataclasses.replace(part.shuffled(seed)[:examples], name=part.name)


def example_of(task: Task) -> Tensor | tuple[int, ...]:
    """What a network is traced with: the shape of an example, or examples themselves where they are no floats."""
    x = take(task.x, slice(2))
    if not isinstance(x, Tensor):
        raise ValueError(
            f"{task.name!r} has inputs by name ({', '.join(x)}), and hidden units are traced from one array; leave out "
            "aligned and balanced"
        )
    return tuple(x.shape[1:]) if x.is_floating_point() else x
