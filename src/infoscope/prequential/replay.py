"""Gradient replay: the code of a network that goes on learning, sample by sample, as labels come in."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from infoscope.data.inputs import Inputs, count, take, to
from infoscope.data.targets import Classes, Labels, Real, Target, Tokens
from infoscope.options import above_zero, at_least
from infoscope.prequential.averages import move, state
from infoscope.prequential.blocks import as_tensor, boundaries
from infoscope.prequential.committee import in_families
from infoscope.prequential.gaussian_process import Block
from infoscope.prequential.heads import as_experts, outputs_of
from infoscope.prequential.kernel import of_examples
from infoscope.prequential.last_layer import LastLayer, Regressions, last_features
from infoscope.prequential.memory_layout import laid_pixelwise, pixelwise
from infoscope.prequential.mixture import Experts
from infoscope.prequential.nearby import Nearby
from infoscope.prequential.online import Online
from infoscope.prequential.readouts import ByExample, by_example
from infoscope.training.forward import device_of, forward
from infoscope.training.isolation import isolated
from infoscope.training.learner import copy_network
from infoscope.training.muon import Muon

PIECE = 1024
"""Examples whose features are taken at once."""


class Lesson(Protocol):
    """What a student learns from besides the labels, such as a teacher's word."""

    def prepare(self, x: Inputs, sent: Tensor) -> None:
        """Be ready for steps on the examples whose labels are sent."""
        ...

    def loss(self, own: Tensor, outputs: Tensor, rows: Tensor, say: Callable[[Tensor], Tensor]) -> Tensor:
        """What is brought down for a batch, given the loss on its labels, what the student says, and its rows.

        `say` gives what the student says of other rows.
        """
        ...


@dataclass(frozen=True)
class Replay:
    """A network predicts a small new batch, learns it, replays the past, and so on.

    After Bornschein, Li & Hutter (2022). Every batch makes the prefix `growth` times longer. Its labels are predicted
    in eval mode by the given network as it was, by the learning one, and by polynomial averages of its weights
    (Shamir & Zhang 2013), each at several `temperatures`: an expert each, for a mixture to weigh. Then the network
    takes steps of `Muon` on the new batch once and on `replays` × (new) examples drawn uniformly from the prefix;
    `start` more are spread over the first `early` labels, the fewer the longer the prefix. So all labels together cost
    (1 + `replays`) n + `start` gradients. What they teach slowly, closed-form regressions on the network's own
    features know at once: the experts of `last_layer` (None leaves them out). With these, classes are predicted by what
    a `Committee` makes of all, a network or a regression being a family of it.

    Images are learned a little moved, turned and stretched, another way each time (`nearby`, None leaves them as they
    are), and the averages' outputs and features are means over each image and its neighbours by a pixel. Which way
    follows from the seed and the place in the order, so both terms of eq. (2) see the same. Other inputs, and images
    below 14 pixels a side, stay as they are.

    The learning rate falls as (1 + prefix / `half`)^−½. Each step also pulls the weights to the given ones by the
    fraction lr · `pull` / √prefix: a network moves no farther than its data says, and one that comes trained does not
    forget in its first steps.

    Documents of `tokens` are coded in a way of their own, see `Online`.

    The caller's network, random state and threads stay as they are, also between two labels. The same seed and the
    same network give the same bits.

    >>> code = Replay().experts(torch.zeros(3, 2), Classes(("a", "b")), network=nn.Linear(2, 2))
    >>> next(code).shape
    (14, 2)
    """

    growth: float = 1.02
    replays: int = 8
    start: int = 5000
    early: int = 200
    batch: int = 32
    lr: float = 0.1
    half: int = 150
    warmup: int = 20
    momentum: float = 0.9
    pull: float = 4.0
    averages: tuple[float, ...] = (8.0, 32.0)
    temperatures: tuple[float, ...] = (0.5, 0.7, 1.0, 1.4, 2.0)
    threads: int = 1
    nearby: Nearby | None = Nearby()
    last_layer: LastLayer | None = LastLayer()
    tokens: Online = Online()
    needs_network: ClassVar[bool] = True
    version: ClassVar[int] = 2
    takes: ClassVar[tuple[type[Target], ...]] = (Classes, Labels, Real, Tokens)

    def __post_init__(self) -> None:
        at_least(self, "replays", 0)
        at_least(self, "start", 0)
        for name in ("early", "batch", "half", "warmup", "threads"):
            at_least(self, name, 1)
        above_zero(self, "lr")
        at_least(self, "pull", 0)
        if min(*self.averages, *self.temperatures, 1) <= 0:
            raise ValueError(f"{self}: averages and temperatures are above 0")
        if not self.growth > 1:
            raise ValueError(
                f"Replay(growth={self.growth}): growth is above 1, by which every batch lengthens the past"
            )
        if not 0 <= self.momentum < 1:
            raise ValueError(f"Replay(momentum={self.momentum}): momentum is from 0 to below 1")

    def gradients(self, k: int) -> float:
        """Examples that are learned from for a prefix of k, an example counting each time.

        (1 + `replays`) k + `start` · log(1 + 20 min(1, k / `early`)) / log 21.
        """
        begun = math.log1p(20 * min(1.0, k / self.early)) / math.log(21)
        return (1 + self.replays) * k + self.start * begun

    def passes(self, x: Inputs, k: int) -> float:
        """Examples that are looked at without learning for a prefix of k of these inputs, one counting each time.

        Each is predicted by the given network, the learning one and the averages, and goes with its features into the
        last layers: those of the given network once, those of an average anew as the past grows.
        """
        views = 1 if self.nearby is None else self.nearby.views(x)
        kept = self.last_layer
        renewed = 0.0 if kept is None else 1 + views * kept.refresh / (kept.refresh - 1)
        return k * (2 + views * len(self.averages) + renewed)

    def experts(self, x: Inputs, target: Target, seed: int = 0, network: nn.Module | None = None) -> Experts:
        """What is predicted of the next label, example or token, which is then sent."""
        if network is None:
            raise ValueError("Replay is the code of a network; give a network")
        if isinstance(target, Tokens):
            return self.tokens.experts(x, target, seed, network, self.threads)
        coded = self.learning(x, target, seed, network)
        if self.last_layer is None or not isinstance(target, Classes):
            return coded
        networks = [len(self.temperatures)] * (2 + len(self.averages))
        return in_families(
            coded, [*networks, *[len(self.last_layer.readouts)] * (2 * len(self.last_layer.noises))], target.outputs
        )

    def learning(
        self, x: Inputs, target: Target, seed: int, network: nn.Module, lesson: Lesson | None = None
    ) -> Experts:
        """The code of a network that learns example by example, from the labels and from a `lesson` if there is one.

        With a lesson it takes the same steps, on the same examples.
        """
        n, past = count(x), list[object]()
        with isolated(seed, self.threads):
            student = _Student(self, network, x, of_examples(target), seed, lesson)
        for event, (start, stop) in enumerate(boundaries(n, 1, self.growth)):
            # No context may stay open across a yield: the caller draws and computes there as if we were not here.
            with isolated(seed + event, self.threads):
                table, blocks = student.predict(x, start, stop)
            targets = None
            if not blocks:
                for row in table:
                    past.append((yield row))
            else:
                targets = yield from _joined(table, by_example(blocks, student.lasts[0].read), past)
            if stop < n:
                sent = as_tensor(past)
                if lesson is not None:
                    with isolated(seed, self.threads):
                        lesson.prepare(x, sent)
                with isolated(seed + event, self.threads):
                    if targets is not None:
                        student.solve(targets)
                    student.learn(x, sent)


def _joined(
    table: Float[np.ndarray, "b experts ..."], last: ByExample, past: list[object]
) -> Generator[np.ndarray, Any, Float[np.ndarray, "kernels b width"]]:
    """Predictions of networks and of last layers for a batch, what is sent being added to the past; the targets."""
    own = next(last)
    for row in table:
        past.append((yield np.concatenate([row, own])))
        try:
            own = last.send(past[-1])
        except StopIteration as end:
            return end.value
    raise AssertionError("a batch has as many rows in the table as in the blocks")


class _Student:
    """The network that learns, its averages, and its beginning."""

    @torch.inference_mode(False)
    def __init__(
        self,
        preset: Replay,
        network: nn.Module,
        x: Inputs,
        target: Classes | Labels | Real,
        seed: int,
        lesson: Lesson | None = None,
    ):
        self.preset, self.target, self.lesson = preset, target, lesson
        if pixelwise(network, x):
            network = laid_pixelwise(network)
        self.beginning, self.network = copy_network(network).eval(), copy_network(network)
        self.averages = [copy_network(network).eval() for _ in preset.averages]
        # Parameters stay where they are, but a network may put another tensor in a buffer's place.
        held = (self.network, *self.averages)
        self.states = None if any(True for _ in network.buffers()) else [state(each) for each in held]
        self.draws = torch.Generator().manual_seed(seed)
        self.weights = [p for p in self.network.parameters() if p.requires_grad]
        self.start = [p.detach().clone() for p in self.weights]
        self.device = device_of(network)
        self.step = self.learned = self.drawn = 0
        kept = preset.last_layer
        self.lasts = [] if kept is None else [Regressions(kept, target) for _ in ("given", "learning")]
        if self.weights:
            self.optimizer = Muon(self.weights, preset.lr, preset.momentum)

    def predict(self, x: Inputs, start: int, stop: int) -> tuple[Float[np.ndarray, "b experts ..."], list[Block]]:
        """What the given network, the learning one and its averages say, at every temperature; and the last layers."""
        part = take(x, slice(start, stop))
        outputs = [self._outputs(each, part) for each in (self.beginning, self.network)]
        outputs += [self._mean(partial(self._outputs, each), part) for each in self.averages]
        table = as_experts(torch.stack(outputs), self.preset.temperatures, self.target)
        if self.lasts:
            self._renew(x, stop)
        return table, [block for each in self.lasts for block in each.blocks(start, stop)]

    def solve(self, targets: Float[np.ndarray, "kernels b width"]) -> None:
        """Give the last layers what was sent."""
        for each, own in zip(self.lasts, np.split(targets, len(self.lasts)), strict=True):
            each.learn(own)

    def _renew(self, x: Inputs, stop: int) -> None:
        """Features where the last layers do not reach: of the given network once, of all inputs; of an average anew."""
        given, own = self.lasts
        if stop > given.reach:
            given.renew([self._features(self.beginning, x, count(x))], self.draws)
        if stop > own.reach:
            reach, network = own.next_reach(stop, count(x)), [*self.averages, self.network][0]
            own.renew([self._features(network, x, reach)], self.draws)

    def _features(self, network: nn.Module, x: Inputs, reach: int) -> Float[Tensor, "reach d"]:
        say = partial(last_features, network)
        parts = (take(x, slice(start, min(reach, start + PIECE))) for start in range(0, reach, PIECE))
        return torch.cat([say(part) if network is self.beginning else self._mean(say, part) for part in parts])

    def _mean(self, say: Callable[[Any], Tensor], part: Any) -> Tensor:
        """What is said of inputs, or the mean over images and their neighbours."""
        return say(part) if self.preset.nearby is None else self.preset.nearby.mean(say, part)

    def _outputs(self, network: nn.Module, part: Any) -> Float[Tensor, "b ..."]:
        return outputs_of(network, part, self.target)

    @torch.inference_mode(False)
    @torch.enable_grad()
    def learn(self, x: Inputs, sent: Tensor) -> None:
        """Gradient steps on what was sent and not yet learned from, once, and on uniform draws from all."""
        if not self.weights:
            return
        self.network.train()
        y = sent if not isinstance(self.target, Real) else self.target.centre + self.target.scale * sent
        pull = self.preset.pull / len(y) ** 0.5
        full = self.preset.lr / (1 + len(y) / self.preset.half) ** 0.5
        for rows in self._rows(len(y)).split(self.preset.batch):
            self.step += 1
            rate = full * min(1.0, self.step / self.preset.warmup)
            self.optimizer.param_groups[0]["lr"] = rate
            self._slopes(x, y, rows)
            self.optimizer.step()
            self._pull_and_average(min(1.0, rate * pull))

    def _slopes(self, x: Inputs, y: Tensor, rows: Tensor) -> None:
        """Gradients of a batch; none of an empty one, with which a step goes on as it was going.

        A network is not asked about no examples: statistics of nothing would be NaN from then on.
        """
        if not len(rows):
            for weight in self.weights:
                weight.grad = torch.zeros_like(weight)
            return
        outputs = self._say(x, rows)
        loss = self.target.loss(outputs, y[rows].to(self.device))
        if self.lesson is not None:
            loss = self.lesson.loss(loss, outputs, rows, lambda some: self._say(x, some))
        self.optimizer.zero_grad()
        loss.backward()

    def _say(self, x: Inputs, rows: Tensor) -> Any:
        """What the learning network gives for these rows."""
        part = take(x, rows)
        part = part if self.preset.nearby is None else self.preset.nearby.drawn(part, self.draws)
        return forward(self.network, to(part, self.device))

    def _rows(self, stop: int) -> Tensor:
        """The new rows once and old and new ones at random, shuffled, in whole batches; none while less is due."""
        batches = int(self.preset.gradients(stop) - self.drawn) // self.preset.batch
        if not batches:
            return torch.empty(0, dtype=torch.long)
        new = torch.arange(self.learned, stop)[: batches * self.preset.batch]
        random = torch.randint(stop, (batches * self.preset.batch - len(new),), generator=self.draws)
        self.learned, self.drawn = stop, self.drawn + batches * self.preset.batch
        rows = torch.cat([new, random])
        return rows[torch.randperm(len(rows), generator=self.draws)]

    @torch.no_grad()
    def _pull_and_average(self, pull: float) -> None:
        move(self.weights, self.start, pull)
        now, *averages = self.states or [state(each) for each in (self.network, *self.averages)]
        for average, power in zip(averages, self.preset.averages, strict=True):
            move(average, now, (power + 1) / (self.step + power))
