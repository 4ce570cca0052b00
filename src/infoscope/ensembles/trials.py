"""A few steps of training in each way, each beside a step of one network by itself: how many times faster it is."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from infoscope.data.inputs import Batch, each, take, to
from infoscope.ensembles.agreement import EXAMPLES, check_agreement, copies
from infoscope.ensembles.population import Member
from infoscope.ensembles.stack import Stack
from infoscope.ensembles.ways import NotStackable, Way, WayName
from infoscope.training.forward import forward

PAIRS = 3
"""Steps that are timed at least, in turn with those of the loop."""

_SIZES = (4, 10, 30, 100, 300, 1000)
_WORSE = 1.15  # times the best so far: larger stacks won't help
_TIMED = 0.1  # seconds of steps that are timed at most
_EACH = 2 * (PAIRS + 1)  # steps of a stack's size that its trial costs, about

LEAST = _EACH * _SIZES[0]
"""Steps of one network that the trial of a way costs at least, about."""


class Trials:
    """What a step costs for one network: alone in seconds (`spare` is spent on that), and in stacks by how many times
    that, from so many `pairs` of steps at least. `networks` are those of some of the `members`.

    Other work on the machine slows both sides of a pair alike, so what counts is the middle one of their ratios, and
    on a processor its own seconds, not those of the clock.
    """

    def __init__(
        self,
        networks: Sequence[nn.Module],
        spare: nn.Module,
        members: Sequence[Member],
        device: Any,
        pairs: int = PAIRS,
    ):
        self._pairs = pairs
        self.networks, self.recipes, self.loss = networks, [m.recipe for m in members], members[0].loss
        rows = torch.arange(min(self.recipes[0].batch, len(members[0].task)))
        self.x, self.y = to(take(members[0].task.x, rows), device), members[0].task.y[rows].to(device)
        self._clock = time.perf_counter if self.y.is_cuda else time.process_time
        self._loop = self._alone(spare.train())
        self._loop()  # the first step is slow
        self.alone = self._seconds(self._loop)
        if self.alone < _TIMED:
            self.alone = min(self.alone, *(self._seconds(self._loop) for _ in range(PAIRS - 1)))

    def of_sizes(self, name: WayName, most: int, seconds: float) -> Iterator[tuple[Way, float]]:
        """Costs (see `of`) of stacks of growing size, until larger ones are slower or take too many `seconds`."""
        x, y = each(self.x, lambda t: t[:EXAMPLES]), self.y[:EXAMPLES]
        check_agreement(self.networks, self.recipes, name, self.loss, x, y)
        begun, best = self._clock(), 0.0
        for size in sorted({*(s for s in _SIZES if s < most), min(most, _SIZES[-1])}):
            left = seconds - (self._clock() - begun)
            if best and _EACH * size * best * self.alone > left:
                return
            found = self.of(Way(name, size), left / 4)
            yield Way(name, size), found
            if best and found > _WORSE * best:
                return
            best = min(best, found) if best else found

    def of(self, way: Way, seconds: float = _TIMED) -> float:
        """What a step of such a stack costs each of its networks, by what it costs one alone; timed for so long."""
        size = way.stacked
        stack = Stack([self.networks[0]] * size, self.recipes[:1] * size, way.name)
        x, y = each(self.x, lambda t: copies(t, size)), copies(self.y, size)
        self._check(stack, each(x, lambda t: t[:, :EXAMPLES]), y[:, :EXAMPLES])
        return self._ratio(lambda: stack.step(x, y, 0, 1), min(seconds, _TIMED)) / size

    def _ratio(self, step: Callable[[], Any], seconds: float) -> float:
        """How many times as long as one of the loop a step takes: the median of pairs."""
        step()
        begun, ratios = self._clock(), []
        while len(ratios) < self._pairs or self._clock() - begun < seconds:
            loop = self._seconds(self._loop)
            ratios.append(self._seconds(step) / loop)
            self.alone = min(self.alone, loop)
        return statistics.median(ratios)

    def _seconds(self, step: Callable[[], Any]) -> float:
        start = self._clock()
        step()
        if self.y.is_cuda:
            torch.cuda.synchronize()
        return self._clock() - start

    def _alone(self, network: nn.Module) -> Callable[[], None]:
        """A step of one network by itself, which it trains."""
        loss = self.loss
        optimizer = self.recipes[0].optimizer(network.parameters())

        def step() -> None:
            value = loss(forward(network, self.x), self.y)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()

        return step

    @torch.no_grad()
    def _check(self, stack: Stack, x: Batch, y: Tensor) -> None:
        """Stacks of any size must give the losses that the network itself gives."""
        network = copy.deepcopy(self.networks[0]).eval()
        want = self.loss(forward(network, take(x, 0)), y[0])
        if not torch.allclose(stack.loss(x, y), want.expand(len(y)), rtol=1e-3, atol=1e-4):
            raise NotStackable("its losses differ from those of the network by itself")
