"""Doubling blocks: the code of Blier & Ollivier, Voita & Titov and Zhang et al."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from infoscope.data.inputs import Inputs, count, take
from infoscope.data.targets import Classes, Labels, Real, Target
from infoscope.data.task import Task
from infoscope.options import at_least
from infoscope.prequential.heads import predicted
from infoscope.prequential.mixture import Experts
from infoscope.training.fit import fit
from infoscope.training.forward import device_of
from infoscope.training.isolation import isolated
from infoscope.training.learner import Learner, Weights, copy_network
from infoscope.training.recipe import Recipe


@dataclass(frozen=True)
class Blocks:
    """Each block is coded by a network trained to convergence on all blocks before it.

    L = s_1 log C − Σ_b Σ_{s_b < i ≤ s_b+1} log p_θ(s_b)(y_i | x_i), the s_b growing by `growth` from `first`
    (Blier & Ollivier 2018, sec. 3.3; Voita & Titov 2020, eq. 4). The first block is sent by a uniform code. Training
    starts anew from the given weights for every block, or with `warm` from those of the block before.

    A fifth of the past (`held_out`, drawn with the seed) stops the training early and teaches nothing else: it is
    part of the past, so it is paid for. With temperatures beyond (1,), each is one more expert; the papers have one.

    The code is what the papers did, not a tight one: where the loss above its limit falls as n^−½, growth 2 inflates it
    by a factor 1.207.
    """

    first: int = 64
    growth: float = 2.0
    warm: bool = False
    held_out: float = 0.2
    temperatures: tuple[float, ...] = (1.0,)
    recipe: Recipe = Recipe()
    needs_network: ClassVar[bool] = True
    takes: ClassVar[tuple[type[Target], ...]] = (Classes, Labels, Real)

    def __post_init__(self) -> None:
        at_least(self, "first", 1)
        if not (self.growth > 1 and min(*self.temperatures, 1) > 0):
            raise ValueError(f"{self}: growth is above 1, temperatures above 0")
        if not 0 <= self.held_out < 1:
            raise ValueError(f"Blocks(held_out={self.held_out}): held_out is a share from 0 to below 1")

    def experts(self, x: Inputs, target: Target, seed: int = 0, network: nn.Module | None = None) -> Experts:
        """What is predicted of the next example, which is then sent."""
        if network is None:
            raise ValueError("Blocks is the code of a network; give a network")
        network = copy_network(network)
        learner, n = Learner(lambda: copy_network(network), self.recipe), count(x)
        past: list[object] = []
        for start, stop in boundaries(n, self.first, self.growth):
            part = take(x, slice(start, stop))
            table = ignorant(target, stop - start, 1 if isinstance(target, Real) else len(self.temperatures))
            if start:
                weights = self._train(learner, take(x, slice(start)), as_tensor(past), target, seed)
                trained = learner.starting_from(weights)
                with isolated(seed):
                    table = predicted([trained.network((), target.outputs, seed)], self.temperatures, part, target)
                learner = trained if self.warm else learner
            for row in table:
                past.append((yield row))

    def _train(self, learner: Learner, x: Inputs, y: Tensor, target: Target, seed: int) -> Weights:
        order = torch.randperm(count(x), generator=torch.Generator().manual_seed(seed))
        values = y if not isinstance(target, Real) else target.centre + target.scale * y
        past = Task.from_arrays(take(x, order), values[order], target=target, as_is=True)
        aside = int(self.held_out * len(past))
        device = device_of(learner.factory())
        return fit(learner, past[aside:], past[:aside] if aside else None, seed=seed, device=device).weights


def ignorant(target: Target, n: int, experts: int) -> Float[np.ndarray, "n experts ..."]:
    """What experts predict of n examples before anything was learned."""
    match target:
        case Classes():
            return np.full((n, experts, target.outputs), -np.log(target.outputs))
        case Labels():
            return np.zeros((n, experts, target.outputs))
    return np.stack([np.zeros((n, experts, target.outputs)), np.ones((n, experts, target.outputs))], -1)


def as_tensor(sent: list[Any]) -> Tensor:
    """What was sent, an example a row."""
    return torch.from_numpy(np.array(sent))


def boundaries(n: int, first: int, growth: float) -> Iterator[tuple[int, int]]:
    """Blocks [start, stop) that cover n examples, each prefix `growth` times the one before, or `first` longer.

    >>> list(boundaries(10, first=2, growth=2.0))
    [(0, 2), (2, 4), (4, 8), (8, 10)]
    """
    start = 0
    while start < n:
        stop = min(n, max(start + first, int(start * growth)))
        yield start, stop
        start = stop
