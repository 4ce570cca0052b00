"""The code of a network that does not learn: what it says as it stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from infoscope.data.inputs import Inputs, count, take
from infoscope.data.targets import Classes, Labels, Real, Target
from infoscope.prequential.heads import predicted
from infoscope.prequential.mixture import Experts
from infoscope.training.isolation import isolated
from infoscope.training.learner import copy_network


@dataclass(frozen=True)
class Fixed:
    """A network predicts every label by the weights that it was given, at each of several `temperatures`.

    No weight learns. All that is learned of the labels is what any mixture learns: which temperature to trust, and how
    often each class occurs. So a network that is sure of wrong answers costs no more than one that knows nothing, but
    for the logarithm of the number of experts.

    >>> import torch
    >>> code = Fixed().experts(torch.zeros(3, 2), Classes(("a", "b")), network=nn.Linear(2, 2))
    >>> next(code).shape
    (5, 2)
    """

    temperatures: tuple[float, ...] = (0.5, 0.7, 1.0, 1.4, 2.0)
    batch: int = 256
    needs_network: ClassVar[bool] = True
    takes: ClassVar[tuple[type[Target], ...]] = (Classes, Labels, Real)

    def experts(self, x: Inputs, target: Target, seed: int = 0, network: nn.Module | None = None) -> Experts:
        """What is predicted of the next label, which is then sent."""
        if network is None:
            raise ValueError("Fixed is the code of a network; give a network")
        network = copy_network(network)
        for start in range(0, count(x), self.batch):
            with isolated(seed, threads=1):
                rows = predicted([network], self.temperatures, take(x, slice(start, start + self.batch)), target)
            for row in rows:  # noqa: UP028 - an iterator of arrays can't be sent what is let fall
                yield row
