"""The examples of the members of a stack, those that members share held once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from infoscope.data.inputs import Array, Batch, Inputs
from infoscope.data.task import Task


class SharedExamples:
    """The examples of every member's task, all of one size; `batch` picks rows of each."""

    def __init__(self, tasks: Sequence[Task], device: Any):
        self.n = len(tasks[0])
        self._x = _across([task.x for task in tasks], lambda parts: _Held(parts, device))
        self._y = _Held([task.y for task in tasks], device)

    def batch(self, members: Sequence[int], rows: Tensor) -> tuple[Batch, Tensor]:
        """Inputs (E, b, …) and targets (E, b, …) of the rows (E, b) of each member's task."""
        y = self._y.rows(members, rows)
        if isinstance(self._x, dict):
            return {name: held.rows(members, rows) for name, held in self._x.items()}, y
        return self._x.rows(members, rows), y


def arrays(x: Inputs) -> tuple[Array, ...]:
    """The arrays of one task's inputs."""
    return (x,) if isinstance(x, Array) else tuple(x.values())


def stacked_inputs(parts: Sequence[Batch]) -> Batch:
    """Batches (E, b, …) from one a network."""
    return _across(parts, torch.stack)


def _across(parts: Sequence[Inputs], make: Callable[[list[Any]], Any]) -> Any:
    """What is made of the arrays of all parts; a mapping where inputs go by name."""
    named = [part for part in parts if not isinstance(part, Array)]
    if named:
        return {name: make([part[name] for part in named]) for name in named[0]}
    return make(list(parts))


def place(tensor: Tensor) -> tuple[Any, ...]:
    """What two views of the same numbers have in common."""
    return tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype


class _Held:
    """One array of every member: in memory all rows one after another, each once; or on disk, read when picked."""

    def __init__(self, parts: Sequence[Array], device: Any):
        self.device, self.parts = device, parts
        in_memory = [part for part in parts if isinstance(part, Tensor)]
        self.values: Tensor | None = None
        if len(in_memory) == len(parts):
            firsts = {place(part): part for part in reversed(in_memory)}
            begins = {where: i * len(parts[0]) for i, where in enumerate(firsts)}
            held = torch.cat(list(firsts.values())) if len(firsts) > 1 else in_memory[0]
            self.values, self.begins = held.to(device), torch.tensor([begins[place(part)] for part in in_memory])

    def rows(self, members: Sequence[int], rows: Tensor) -> Tensor:
        """The rows (E, b) of each of these members' part."""
        if self.values is None:
            return torch.stack([self.parts[m][own] for m, own in zip(members, rows, strict=True)]).to(self.device)
        flat = (rows + self.begins[members][:, None]).flatten().to(self.values.device)
        return self.values.index_select(0, flat).unflatten(0, rows.shape)
