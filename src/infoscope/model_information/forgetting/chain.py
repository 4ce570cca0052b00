"""Tasks that one network learns one after another: which outputs are whose, and how each task is read off it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn

from infoscope.data.inputs import Shape
from infoscope.data.partition import Partition
from infoscope.data.targets import Classes
from infoscope.data.task import Task
from infoscope.training.learner import Learner, Weights
from infoscope.training.recipe import Loss, Penalty

Heads = Literal["shared", "own"]
"""Whether all tasks use the same outputs, or each has its own."""


@dataclass(frozen=True)
class Wide:
    """A factory's networks with the outputs of all tasks side by side."""

    factory: Callable[..., nn.Module]
    outputs: int

    def __call__(self, shape: Shape, outputs: int) -> nn.Module:
        """The network; what one task alone would ask for is not looked at."""
        return self.factory(shape, self.outputs)


@dataclass(frozen=True)
class OfColumns:
    """The loss of a task whose outputs are the columns from `start` to before `stop`."""

    start: int
    stop: int
    loss: Loss

    def __call__(self, outputs: Any, y: Tensor) -> Tensor:
        """The loss of these columns alone."""
        return self.loss(outputs[..., self.start : self.stop], y)


@dataclass(frozen=True)
class Chain:
    """Tasks in the order in which they are learned, each in its parts, and who learns them.

    With `heads` "own" each task has its own rows of the last layer, and nobody else's loss touches them. With "shared"
    class i of every task is output i.
    """

    names: tuple[str, ...]
    parts: tuple[Partition, ...]
    learner: Learner
    heads: Heads

    def __len__(self) -> int:
        return len(self.parts)

    @property
    def sizes(self) -> list[int]:
        """Outputs of each task."""
        return [part.train.target.outputs for part in self.parts]

    def columns(self, t: int) -> tuple[int, int]:
        """The outputs of task t."""
        if self.heads == "shared":
            return 0, self.sizes[t]
        start = sum(self.sizes[:t])
        return start, start + self.sizes[t]

    def loss(self, t: int) -> Loss:
        """What training brings down on task t."""
        own = self.learner.recipe.loss_on(self.parts[t].train.target)
        return own if self.heads == "shared" else OfColumns(*self.columns(t), own)

    def student(self, t: int, weights: Weights | None = None, penalty: Penalty | None = None) -> Learner:
        """Who learns task t from these weights, under this penalty."""
        recipe = dataclasses.replace(self.learner.recipe, penalty=penalty)
        if self.heads == "shared":
            return dataclasses.replace(self.learner, recipe=recipe, weights=weights)
        recipe = dataclasses.replace(recipe, loss=self.loss(t))
        return Learner(Wide(self.learner.factory, sum(self.sizes)), recipe, weights)

    def reader(self, t: int, weights: Weights) -> Learner:
        """The network of these weights as one of task t alone."""
        return Learner(self.learner.factory, self.learner.recipe, self._narrow(t, weights))

    def _narrow(self, t: int, weights: Weights) -> Weights:
        """The weights with the rows of task t alone where there are rows for every output."""
        if self.heads == "shared":
            return weights
        shape, total, (start, stop) = self.parts[t].train.shape, sum(self.sizes), self.columns(t)
        own = Learner(self.learner.factory).network(shape, self.sizes[t], 0).state_dict()
        found: dict[str, Tensor] = {}
        for name, tensor in weights.items():
            rows = (
                len(tensor) == total and (stop - start, *tensor.shape[1:]) == own[name].shape if tensor.ndim else False
            )
            found[name] = tensor if tensor.shape == own[name].shape else tensor[start:stop] if rows else own[name]
            if found[name].shape != own[name].shape or (not rows and tensor.shape != own[name].shape):
                raise ValueError(
                    f"{name} of {type(self.learner.factory).__name__} has no row for each output, so that tasks can't "
                    "have heads of their own; take heads shared, with tasks of the same classes"
                )
        return found


def chain_of(tasks: Sequence[Task], parts: Sequence[Partition], learner: Learner, heads: Heads | None) -> Chain:
    """The chain of these tasks, if one network can learn them all; a ValueError otherwise.

    Without `heads` they share one head if they have the same target, and have their own if they don't.
    """
    first = tasks[0]
    for task in tasks[1:]:
        if task.shape != first.shape:
            raise ValueError(
                f"{task.name!r} has examples of shape {task.shape} and {first.name!r} of {first.shape}; one network "
                "learns all: scale images to one size (--size 28), or bring them together with like(task, other)"
            )
        if type(task.target) is not type(first.target):
            raise ValueError(f"{task.name!r} has {task.target} and {first.name!r} {first.target}; chain like with like")
    alike = all(task.target == first.target for task in tasks)
    chosen: Heads = heads or ("shared" if alike else "own")
    if chosen == "own" and not isinstance(first.target, Classes):
        raise ValueError(f"{first.name!r} has {first.target}; tasks have heads of their own where they have classes")
    if chosen == "shared" and len({task.target.outputs for task in tasks}) > 1:
        sizes = ", ".join(f"{task.name} {task.target.outputs}" for task in tasks)
        raise ValueError(
            f"the tasks have different numbers of outputs ({sizes}) and can't share a head; take heads own"
        )
    chain = Chain(tuple(task.name for task in tasks), tuple(parts), learner, chosen)
    if chosen == "own":
        start = chain.student(0).network(first.shape, chain.sizes[0], 0).state_dict()
        for t in range(len(chain)):
            chain.reader(t, start)
    return chain
