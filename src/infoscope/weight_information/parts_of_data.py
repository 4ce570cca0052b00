"""The loss of weights on a part of the examples, drawn anew each time: for networks too large for all of them."""

from __future__ import annotations

import copy

import torch
from jaxtyping import Float
from torch import Tensor, nn

from infoscope.data.task import Task
from infoscope.training.learner import load_weights
from infoscope.training.operations import operations
from infoscope.weight_information.example_losses import losses

LARGE = 4e9
"""Operations of a pass over all examples, from which on a part of them is taken at a time."""

_PART = 1e10  # operations of a pass over a part
_LEAST = 64


def pass_operations(network: nn.Module, task: Task) -> float:
    """Operations of a forward pass over all examples: of products, and at least two a weight."""
    weights = sum(p.numel() for p in network.parameters())
    return len(task) * max(operations(network, task, examples=2), 2.0 * weights)


class PartOfData:
    """L(w) of a network on n examples, nats, each row of weights on a part of them of its own, n over its size times.

    Without bias over draws of the part, in single precision and in eval mode. A row holds the trained weights side by
    side, as `StackedLoss` has them; the network itself is copied.
    """

    def __init__(self, network: nn.Module, task: Task, size: int | None = None) -> None:
        self.task = task
        own = max(_LEAST, int(_PART * len(task) / pass_operations(network, task))) if size is None else size
        self.size = min(len(task), own)
        self._network = copy.deepcopy(network)
        self._shapes = {name: p.shape for name, p in self._network.named_parameters() if p.requires_grad}

    def drawn(self, draws: torch.Generator, times: int = 1) -> Task:
        """So many parts together."""
        return self.task[torch.randperm(len(self.task), generator=draws)[: times * self.size]]

    def loss(self, rows: Float[Tensor, "rows d"], draws: torch.Generator, times: int = 1) -> Float[Tensor, " rows"]:
        """The losses of these weights, each on its own `times` parts."""
        found = []
        for row in rows:
            some = self.drawn(draws, times)
            load_weights(self._network, self._named(row))
            found.append(losses(self._network, some).mean() * len(self.task))
        return torch.stack(found)

    def _named(self, row: Float[Tensor, " d"]) -> dict[str, Tensor]:
        parts = row.float().split([shape.numel() for shape in self._shapes.values()])
        named = {name: t.view(shape) for (name, shape), t in zip(self._shapes.items(), parts, strict=True)}
        return {**self._network.state_dict(), **named}
