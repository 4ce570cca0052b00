"""The online code of a causal network: documents are coded with fixed weights, learned from, and replayed."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from infoscope.data.inputs import Batch, Inputs, take, to
from infoscope.data.targets import MASKED, Tokens, check_outputs
from infoscope.options import above_zero, at_least
from infoscope.prequential.averages import move, state
from infoscope.prequential.blocks import boundaries
from infoscope.prequential.language import ids_of, with_ids
from infoscope.prequential.mixture import Experts
from infoscope.training.forward import device_of, forward
from infoscope.training.isolation import isolated
from infoscope.training.learner import copy_network
from infoscope.training.optimizers import Adam


@dataclass(frozen=True)
class Online:
    """How a network codes documents of tokens, from the weights that it is given.

    Every batch makes what is coded `growth` times longer, a document at least. It is coded in eval mode with fixed
    weights, by the network as it was given, by the learning one and by polynomial averages of its weights, the last two
    at several `temperatures`; then Adam takes steps of `batch` documents, the new ones once and (`replays` × as many)
    old and new ones at random, and each step pulls the weights to the given ones by the fraction lr · `pull`. So what
    is coded first costs what the network as given says, bit for bit.

    A document is one forward pass of one shape, whatever is known of it, so the receiver, who fills it in token by
    token, computes the same bits. The network must be causal, which is checked by changing what follows.
    """

    growth: float = 1.02
    replays: int = 4
    batch: int = 4
    lr: float = 1e-3
    warmup: int = 10
    pull: float = 0.5
    averages: tuple[float, ...] = (8.0,)
    temperatures: tuple[float, ...] = (0.8, 1.0, 1.25)

    def __post_init__(self) -> None:
        above_zero(self, "lr")
        for name in ("batch", "warmup"):
            at_least(self, name, 1)
        for name in ("replays", "pull"):
            at_least(self, name, 0)
        if not (self.growth > 1 and min(*self.averages, *self.temperatures, 1) > 0):
            raise ValueError(f"{self}: growth is above 1, averages and temperatures above 0")

    def experts(self, x: Inputs, target: Tokens, seed: int, network: nn.Module, threads: int) -> Experts:
        """Log-probabilities of the next token, which is then sent, or −100 where it is masked."""
        with isolated(seed, threads):
            check_causal(network, take(x, slice(1)), target)
            student = _Student(self, network, x, target, seed)
        n = len(student.sent)
        for event, (start, stop) in enumerate(boundaries(n, 1, self.growth)):
            for i in range(start, stop):
                yield from self._document(student, i, seed + event, threads)
            if stop < n:
                with isolated(seed + event, threads):
                    student.learn(start, stop)

    def _document(self, student: _Student, i: int, seed: int, threads: int) -> Generator[np.ndarray, int, None]:
        """Code one document; where the inputs do not hold its tokens yet, they are filled in as they come."""
        with isolated(seed, threads):
            logits = student.logits(i)
        length = student.sent.shape[1]
        for t in range(length):
            token = yield student.rows(logits[:, t])
            if token == MASKED:
                continue
            student.sent[i, t] = token
            if t + 1 < length and student.ids[i, t + 1] != token:
                student.ids[i, t + 1] = token
                with isolated(seed, threads):
                    logits = student.logits(i)


class _Student:
    """The network that learns, its averages, its beginning, and what was sent."""

    @torch.inference_mode(False)
    def __init__(self, preset: Online, network: nn.Module, x: Inputs, target: Tokens, seed: int):
        self.preset, self.target, self.x, self.ids = preset, target, x, ids_of(x).clone()
        self.sent = torch.full(self.ids.shape, MASKED)
        self.beginning, self.network = copy_network(network).eval(), copy_network(network)
        self.averages = [copy_network(network).eval() for _ in preset.averages]
        self.draws, self.step = torch.Generator().manual_seed(seed), 0
        self.device = device_of(network)
        self.weights = [p for p in self.network.parameters() if p.requires_grad]
        self.start = [p.detach().clone() for p in self.weights]
        if self.weights:
            self.optimizer = Adam(self.weights, preset.lr, (0.9, 0.99))

    @torch.no_grad()
    def logits(self, i: int) -> Float[np.ndarray, "networks length vocabulary"]:
        """Of one document, whatever is known of it, by every network."""
        x = to(self._inputs(slice(i, i + 1)), self.device)
        networks = (self.beginning, self.network.eval(), *self.averages)
        return torch.cat([forward(each, x).float().cpu() for each in networks]).numpy()

    def rows(self, logits: Float[np.ndarray, "networks vocabulary"]) -> Float[np.ndarray, "experts vocabulary"]:
        """Log-probabilities of one token: the beginning's, then the others' at every temperature; uniform if lost."""
        inverse = 1 / np.array(self.preset.temperatures)
        scaled = (logits[1:, None].astype(np.float64) * inverse[:, None]).reshape(-1, logits.shape[1])
        z = np.concatenate([logits[:1].astype(np.float64), scaled])
        z = np.where(np.isfinite(z).all(1, keepdims=True), z, 0.0)
        z -= z.max(1, keepdims=True)
        return z - np.log(np.exp(z).sum(1, keepdims=True))

    @torch.inference_mode(False)
    @torch.enable_grad()
    def learn(self, start: int, stop: int) -> None:
        """Gradient steps on the new documents, once and on uniform draws from all."""
        if not self.weights:
            return
        self.network.train()
        for rows in self._rows(start, stop).split(self.preset.batch):
            self.step += 1
            rate = self.preset.lr * min(1.0, self.step / self.preset.warmup)
            self.optimizer.param_groups[0]["lr"] = rate
            outputs = forward(self.network, to(self._inputs(rows), self.device))
            loss = self.target.loss(outputs, self.sent[rows].to(self.device))
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            with torch.no_grad():
                move(self.weights, self.start, min(1.0, rate * self.preset.pull))
                for average, power in zip(self.averages, self.preset.averages, strict=True):
                    move(state(average), state(self.network), (power + 1) / (self.step + power))

    def _inputs(self, rows: Tensor | slice) -> Batch:
        return with_ids(take(self.x, rows), self.ids[rows])

    def _rows(self, start: int, stop: int) -> Tensor:
        """The new documents once and old and new ones at random, shuffled, filling whole batches."""
        new, batch = stop - start, self.preset.batch
        random = -(-(1 + self.preset.replays) * new // batch) * batch - new
        rows = torch.cat([torch.arange(start, stop), torch.randint(stop, (random,), generator=self.draws)])
        return rows[torch.randperm(len(rows), generator=self.draws)]


@torch.no_grad()
def check_causal(network: nn.Module, x: Batch, target: Tokens) -> None:
    """ValueError if what a network says at a place changes with the tokens that follow; `x` is one document."""
    network = copy_network(network).eval()
    device, ids = device_of(network), ids_of(x)
    said = forward(network, to(x, device))
    check_outputs(said, target, torch.empty(ids.shape), network)
    for place in {0, ids.shape[1] // 2}:
        other = ids.clone()
        other[:, place + 1 :] = (other[:, place + 1 :] + 1) % target.vocabulary
        again = forward(network, to(with_ids(x, other), device))[:, : place + 1]
        if not torch.allclose(said[:, : place + 1], again, rtol=1e-3, atol=1e-4, equal_nan=True):
            raise ValueError(
                f"{type(network).__name__} looks ahead: what it says at place {place} changes with the tokens that "
                "follow; tokens are coded by a causal network"
            )
