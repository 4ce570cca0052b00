"""Gradient replay: the code of a network that goes on learning, sample by sample, as labels come in."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from infoscope.prequential.blocks import boundaries, log_probabilities
from infoscope.prequential.mixture import Experts
from infoscope.training.forward import device_of
from infoscope.training.isolation import isolated
from infoscope.training.muon import Muon


@dataclass(frozen=True)
class Replay:
    """A network predicts a small new batch, learns it, replays the past, and so on.

    After Bornschein, Li & Hutter (2022). Every batch makes the prefix `growth` times longer. Its labels are predicted
    in eval mode by the given network as it was, by the learning one, and by polynomial averages of its weights
    (Shamir & Zhang 2013), each at several `temperatures`: an expert each, for a mixture to weigh. Then the network
    takes steps of `Muon` on the new batch once and on `floor` + `replays` × (new) examples drawn uniformly from the
    prefix, so all labels cost about (1 + `replays`) n gradients.

    The learning rate falls as (1 + prefix / `half`)^−½. Each step also pulls the weights to the given ones by the
    fraction lr · `pull` / √prefix: a network moves no farther than its data says, and one that comes trained does not
    forget in its first steps.

    The caller's network, random state and threads stay as they are, also between two labels. The same seed and the
    same network give the same bits.

    >>> code = Replay().experts(torch.zeros(3, 2), classes=2, network=nn.Linear(2, 2))
    >>> next(code).shape
    (20, 2)
    """

    growth: float = 1.02
    replays: int = 8
    floor: int = 512
    batch: int = 64
    lr: float = 0.1
    half: int = 150
    warmup: int = 20
    momentum: float = 0.9
    pull: float = 4.0
    averages: tuple[float, ...] = (8.0, 32.0)
    temperatures: tuple[float, ...] = (0.5, 0.7, 1.0, 1.4, 2.0)
    threads: int = 1
    needs_network: ClassVar[bool] = True

    def experts(self, x: Tensor, classes: int, seed: int = 0, network: nn.Module | None = None) -> Experts:
        """Log-probabilities of the next label, which is then sent."""
        if network is None:
            raise ValueError("Replay is the code of a network; give a network")
        student = _Student(self, network, classes, seed)
        labels: list[int] = []
        for event, (start, stop) in enumerate(boundaries(len(x), 1, self.growth)):
            # No context may stay open across a yield: the caller draws and computes there as if we were not here.
            with isolated(seed + event, self.threads):
                table = student.predict(x[start:stop])
            for row in table:
                labels.append((yield row))
            if stop < len(x):
                with isolated(seed + event, self.threads):
                    student.learn(x[:stop], torch.tensor(labels), start)


class _Student:
    """The network that learns, its averages, and its beginning."""

    @torch.inference_mode(False)
    def __init__(self, preset: Replay, network: nn.Module, classes: int, seed: int):
        self.preset, self.classes = preset, classes
        self.beginning, self.network = copy.deepcopy(network).eval(), copy.deepcopy(network)
        self.averages = [copy.deepcopy(network).eval() for _ in preset.averages]
        self.draws = torch.Generator().manual_seed(seed)
        self.weights = [p for p in self.network.parameters() if p.requires_grad]
        self.start = [p.detach().clone() for p in self.weights]
        self.device = device_of(network)
        self.step = 0
        if self.weights:
            self.optimizer = Muon(self.weights, preset.lr, preset.momentum)

    def predict(self, x: Tensor) -> Float[np.ndarray, "n experts classes"]:
        """Log-probabilities by the given network, the learning one and its averages, at every temperature."""
        networks = [self.beginning, self.network, *self.averages]
        return log_probabilities(networks, self.preset.temperatures, x, self.classes)

    @torch.inference_mode(False)
    @torch.enable_grad()
    def learn(self, x: Tensor, y: Tensor, start: int) -> None:
        """Gradient steps on the new examples, from `start` on, once and on uniform draws from all."""
        if not self.weights:
            return
        self.network.train()
        pull = self.preset.pull / len(x) ** 0.5
        full = self.preset.lr / (1 + len(x) / self.preset.half) ** 0.5
        for rows in self._rows(start, len(x)).split(self.preset.batch):
            self.step += 1
            rate = full * min(1.0, self.step / self.preset.warmup)
            self.optimizer.param_groups[0]["lr"] = rate
            loss = F.cross_entropy(self.network(x[rows].to(self.device)), y[rows].to(self.device))
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self._pull_and_average(min(1.0, rate * pull))

    def _rows(self, start: int, stop: int) -> Tensor:
        """The new rows once and old and new ones at random, shuffled, filling whole batches."""
        wanted = self.preset.floor + (1 + self.preset.replays) * (stop - start)
        random = -(-wanted // self.preset.batch) * self.preset.batch - (stop - start)
        rows = torch.cat([torch.arange(start, stop), torch.randint(stop, (random,), generator=self.draws)])
        return rows[torch.randperm(len(rows), generator=self.draws)]

    @torch.no_grad()
    def _pull_and_average(self, pull: float) -> None:
        _move(self.weights, self.start, pull)
        now = _state(self.network)
        for average, power in zip(self.averages, self.preset.averages, strict=True):
            _move(_state(average), now, (power + 1) / (self.step + power))


def _move(here: Iterable[Tensor], there: Iterable[Tensor], fraction: float) -> None:
    """In place, by a fraction of the way."""
    for a, b in zip(here, there, strict=True):
        a.lerp_(b, fraction)


def _state(network: nn.Module) -> list[Tensor]:
    """Everything that training changes: parameters and the running statistics of normalisation."""
    return [t for t in (*network.parameters(), *network.buffers()) if t.is_floating_point()]
