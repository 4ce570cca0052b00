"""What a component is reset to: four answers to four questions."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from infoscope.data.task import Task
from infoscope.model_information.ablation.components import Component
from infoscope.model_information.heads import NEW_DRAW
from infoscope.training.learner import Learner, Weights

Reset = Literal["start", "new", "mean", "resampled"]
"""What a component becomes.

- `start`: what it was when its training began, as in eq. (7). What training put into it is gone; the rest was trained
  to fit that very draw, so that a component that hardly moved shows little.
- `new`: it is drawn anew, by a draw that no training began with. What the rest had fitted itself to is gone too.
- `mean`: each of its tensors becomes its mean. What lies in the differences between its weights is gone.
- `resampled`: in each of its tensors the values change places. How large they are stays; where they stand is gone.
"""


@dataclass(frozen=True)
class Beginnings:
    """What weights are reset to: where their training began, None where that is not known, and another draw."""

    start: Weights | None
    new: Weights


def beginnings(task: Task, learner: Learner, start: Weights | None, seed: int) -> Beginnings:
    """Those of a learner's networks for a task, whose other draw belongs to the seed."""
    drawn = Learner(learner.factory).network(task.shape, task.target.outputs, NEW_DRAW + seed)
    return Beginnings(start, drawn.state_dict())


def with_reset(
    weights: Weights, components: Sequence[Component], reset: Reset, begun: Beginnings, seed: int
) -> dict[str, Tensor]:
    """The weights with these components reset, their buffers with them; what is drawn is drawn by the seed.

    Counters of batch normalisation that a caller's file lacks are those of another draw: 0.

    >>> from infoscope.model_information.ablation.anatomy import Slice
    >>> c, w = Component("c", (Slice("w", 0, (0, 1)),), 2), {"w": torch.tensor([1.0, 3.0, 5.0])}
    >>> with_reset(w, [c], "mean", Beginnings(None, w), 0)["w"]
    tensor([2., 2., 5.])
    """
    weights = {**begun.new, **weights}
    match reset:
        case "start" if begun.start is None:
            raise ValueError("reset 'start' needs the weights that the training began with; give initial, or take new")
        case "start" | "new":
            source = begun.new if reset == "new" or begun.start is None else {**begun.new, **begun.start}
            made = dict(weights)
            for one in (one for component in components for one in component.slices):
                made[one.name] = one.put(made[one.name], source[one.name])
            return made
        case "mean":
            return _each(weights, components, lambda values, name: values.mean().expand(len(values)))
        case "resampled":
            return _each(weights, components, lambda values, name: values[_order(len(values), name, seed)])


def _each(weights: Weights, components: Sequence[Component], change) -> dict[str, Tensor]:
    """What stands in each slice changed, counters left as they are; tied weights change alike."""
    made = dict(weights)
    for component in components:
        changed: list[tuple[Tensor, Tensor]] = []
        for one in component.slices:
            old = one.take(weights[one.name])
            if not old.is_floating_point() or not old.numel():
                continue
            new = next((after for before, after in changed if torch.equal(before, old)), None)
            if new is None:
                new = change(old.flatten(), one.name).reshape(old.shape)
                changed.append((old, new))
            made[one.name] = one.write(made[one.name], new)
    return made


def _order(n: int, name: str, seed: int) -> Tensor:
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed + zlib.crc32(name.encode())))
