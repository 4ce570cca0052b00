"""The network of a question: the caller's, a named one, or the default for the task's inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import nn

from infoscope.data.task import Task
from infoscope.models import model
from infoscope.training.learner import Learner

Model = Learner | Callable[..., nn.Module] | str | None
"""A learner, a factory of networks, or a name as `infoscope list models` has it."""

Models = Any
"""A `Model`, or a list or tuple of such."""


def default_model(task: Task) -> str:
    """A convolutional network for images of 16 pixels a side and more, else one hidden layer.

    >>> default_model(Task.from_dataset("digits"))
    'mlp'
    """
    shape = task.shape
    return "cnn" if isinstance(shape, tuple) and len(shape) == 3 and min(shape[1:]) >= 16 else "mlp"


def learner_for(task: Task, given: Model = None, epochs: int | None = None) -> Learner:
    """The learner that was given, or one of the factory or the name that was given, or the default.

    With `epochs` its recipe takes as many at most.
    """
    if not isinstance(given, Learner):
        given = Learner(model(given or default_model(task)) if given is None or isinstance(given, str) else given)
    return given if epochs is None else replace(given, recipe=replace(given.recipe, epochs=epochs))


def model_name(task: Task, given: Model = None) -> str:
    """What a model is called in a report."""
    if given is None or isinstance(given, str):
        return given or default_model(task)
    factory = given.factory if isinstance(given, Learner) else given
    return getattr(factory, "__name__", type(factory).__name__)


def several(given: Models) -> tuple[Model, ...]:
    """The models, one alone as a tuple of one.

    >>> several("mlp"), several(["mlp", "cnn"])
    (('mlp',), ('mlp', 'cnn'))
    """
    return tuple(given) if isinstance(given, list | tuple) else (given,)
