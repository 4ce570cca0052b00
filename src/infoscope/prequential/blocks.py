"""Doubling blocks: the code of Blier & Ollivier, Voita & Titov and Zhang et al."""

from __future__ import annotations

import copy
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from infoscope.data.targets import Classes, check_outputs
from infoscope.data.task import Task
from infoscope.training.fit import fit
from infoscope.training.forward import device_of
from infoscope.training.isolation import isolated
from infoscope.training.learner import Learner, Weights
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

    def experts(
        self, x: Tensor, classes: int, seed: int = 0, network: nn.Module | None = None
    ) -> Generator[Float[np.ndarray, "experts classes"], int, None]:
        """Log-probabilities of the next label, which is then sent."""
        if network is None:
            raise ValueError("Blocks is the code of a network; give a network")
        network = copy.deepcopy(network)
        learner = Learner(lambda: copy.deepcopy(network), self.recipe)
        labels: list[int] = []
        for start, stop in boundaries(len(x), self.first, self.growth):
            table = np.full((stop - start, len(self.temperatures), classes), -np.log(classes))
            if start:
                trained = learner.starting_from(self._train(learner, x[:start], labels, classes, seed))
                with isolated(seed):
                    coder = trained.network((), classes, seed)
                    table = log_probabilities([coder], self.temperatures, x[start:stop], classes)
                learner = trained if self.warm else learner
            for row in table:
                labels.append((yield row))

    def _train(self, learner: Learner, x: Tensor, labels: list[int], classes: int, seed: int) -> Weights:
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
        past = Task.from_arrays(x[order], torch.tensor(labels)[order], alphabet=[str(c) for c in range(classes)])
        aside = int(self.held_out * len(past))
        device = device_of(learner.factory())
        return fit(learner, past[aside:], past[:aside] if aside else None, seed=seed, device=device).weights


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


@torch.no_grad()
def log_probabilities(
    networks: Sequence[nn.Module], temperatures: Sequence[float], x: Tensor, classes: int
) -> Float[np.ndarray, "n experts classes"]:
    """Log softmax(f(x) / T) of every network, put in eval mode, at every T; uniform where a network has diverged."""
    logits = torch.stack([torch.cat([_logits(each, part, classes) for part in x.split(1024)]) for each in networks])
    inverse = 1 / torch.tensor(temperatures, dtype=torch.float64)
    logs = (logits[:, None] * inverse[:, None, None]).log_softmax(-1).flatten(0, 1).transpose(0, 1)
    finite = logs.isfinite().all(-1, keepdim=True)
    return torch.where(finite, logs, -np.log(classes)).contiguous().numpy()


def _logits(network: nn.Module, x: Tensor, classes: int) -> Tensor:
    logits = network.eval()(x.to(device_of(network)))
    check_outputs(logits, Classes(tuple(map(str, range(classes)))), x, network)
    return logits.double().cpu()
