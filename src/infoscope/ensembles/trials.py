"""A few steps of training in each way: whether it gives what the networks give by themselves, and how fast it is."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from infoscope.data.inputs import Batch, each, take, to
from infoscope.ensembles.population import Member
from infoscope.ensembles.stack import Stack
from infoscope.ensembles.ways import NotStackable, Way, WayName
from infoscope.training.forward import forward

_SIZES = (4, 10, 30, 100, 300, 1000)
_WORSE = 1.15  # times the best so far: larger stacks won't help
_TIMED = 0.1  # seconds of steps that are timed


class Trials:
    """Seconds that a step takes for one network; `other` is that of another member."""

    def __init__(self, network: nn.Module, other: nn.Module, member: Member, device: Any):
        self.network, self.other, self.recipe, self.loss = network, other, member.recipe, member.loss
        rows = torch.arange(min(self.recipe.batch, len(member.task)))
        self.x, self.y = to(take(member.task.x, rows), device), member.task.y[rows].to(device)

    def of_loop(self) -> float:
        """One network by itself, which stays as it was."""
        network, loss = self.network.train(), self.loss
        before = {k: v.clone() for k, v in network.state_dict().items()}
        optimizer = self.recipe.optimizer(network.parameters())

        def step() -> None:
            value = loss(forward(network, self.x), self.y)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()

        seconds = self._timed(step)
        network.load_state_dict(before)
        return seconds

    def of_sizes(self, name: WayName, most: int) -> Iterator[tuple[Way, float]]:
        """Stacks of growing size, at most so many networks, until larger ones are slower."""
        self._check_two(name)
        best = math.inf
        for size in sorted({*(s for s in _SIZES if s < most), min(most, _SIZES[-1])}):
            way = Way(name, size)
            seconds = self.of(way)
            yield way, seconds
            if seconds > _WORSE * best:
                return
            best = min(best, seconds)

    def of(self, way: Way) -> float:
        """A stack of this size."""
        size = way.stacked
        stack = Stack([self.network] * size, [self.recipe] * size, way.name)
        x, y = each(self.x, lambda t: _copies(t, size)), _copies(self.y, size)
        self._check(stack, each(x, lambda t: t[:, :8]), y[:, :8])
        return self._timed(lambda: stack.step(x, y, 0, 1)) / size

    @torch.no_grad()
    def _check(self, stack: Stack, x: Batch, y: Tensor) -> None:
        """A way must give the losses that the network itself gives."""
        want = self.loss(forward(self.network.eval(), take(x, 0)), y[0])
        if not torch.allclose(stack.loss(x, y), want.expand(len(y)), rtol=1e-3, atol=1e-4):
            raise NotStackable("its losses differ from those of the network by itself")

    @torch.no_grad()
    def _check_two(self, name: WayName) -> None:
        """Networks may differ in more than their state dicts, and do more in training than a stack takes note of."""
        both, x, y = [self.network, self.other], take(self.x, slice(8)), self.y[:8]
        for training, when in ((False, "predicting"), (True, "training")):
            if training and self._draws(x, y):
                return
            # Compiled is vmap once more, and takes a minute.
            stack = Stack(both, [self.recipe] * 2, "vmap" if name == "compiled" else name)
            losses = stack.loss(each(x, lambda t: _copies(t, 2)), _copies(y, 2), training)
            for i, network in enumerate(both):
                loss, state = self._by_itself(network, x, y, training)
                if not torch.allclose(losses[i], loss, rtol=1e-3, atol=1e-4):
                    raise NotStackable(f"networks of two seeds have other losses together than each by itself, {when}")
                other = [k for k, t in stack.tensors.items() if not _equal(t[i], state[k])]
                if other:
                    raise NotStackable(f"{other[0]} changes otherwise in a stack than in a network by itself, {when}")

    def _draws(self, x: Batch, y: Tensor) -> bool:
        """Whether training draws at random, as dropout does: two of its losses cannot be compared then."""
        return len({float(self._by_itself(self.network, x, y, True)[0]) for _ in range(2)}) > 1

    def _by_itself(self, network: nn.Module, x: Batch, y: Tensor, training: bool) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a network that stays as it was, and the state that its forward pass put it in."""
        before = {k: v.clone() for k, v in network.state_dict().items()}
        loss = self.loss(forward(network.train(training), each(x, Tensor.clone)), y)
        after = {k: v.clone() for k, v in network.state_dict().items()}
        network.load_state_dict(before)
        return loss, after

    def _timed(self, step: Callable[[], Any]) -> float:
        """The fastest of the steps that fit into a short time, the first left out."""
        step()
        best, begun = math.inf, time.perf_counter()
        while True:
            start = time.perf_counter()
            step()
            if self.y.is_cuda:
                torch.cuda.synchronize()
            now = time.perf_counter()
            best = min(best, now - start)
            if now - begun > _TIMED:
                return best


def _copies(t: Tensor, size: int) -> Tensor:
    return t.expand(size, *t.shape).contiguous()


def _equal(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a.double(), b.double(), rtol=1e-3, atol=1e-4, equal_nan=True)
