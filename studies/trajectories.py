"""Many trainings of one small network at once, with the weights of every epoch kept.

The 12-bit network has 294 parameters: one step of it is all overhead, and twenty of them stacked cost little more than
one. Seed s starts from the same weights and sees the same batches as `infoscope.learn.fit.fit` with seed s, so that the
trajectories are those of `fit` up to rounding. What is measured, and with which estimator, is decided afterwards.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from infoscope.learn.learner import Learner
from infoscope.learn.look import Look, look, pack, unpack
from infoscope.learn.task import Task, coding_order
from infoscope.learn.tishby import tishby
from infoscope.mi.estimate import layer_information
from infoscope.mi.method import Method
from infoscope.models import MLP
from infoscope.run import Store
from infoscope.run.progress import report

TRAINED_ON = 3277  # four fifths of the 4096 patterns


@dataclass(frozen=True)
class Training:
    """How the networks are trained: Adam on four fifths of the 12-bit patterns.

    With `bits`, weights and activations have 2^bits levels, and gradients pass the rounding unchanged.
    """

    activation: str = "tanh"
    epochs: int = 10_000
    rate: float = 4e-4
    batch: int = 512
    widths: tuple[int, ...] = (10, 7, 5, 4, 3)
    bits: int | None = None


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Weights (epochs + 1, parameters) of one training, epoch 0 before the first step, and its losses in nats."""

    training: Training
    weights: Tensor
    losses: Tensor

    @torch.no_grad()
    def layers(self, epoch: int, x: Tensor) -> list[Tensor]:
        """What each layer answers to x (n, d), in x's precision; the last are logits."""
        stacked = [p.to(x.dtype) for p in unstack(self.weights[epoch][None], self.training.widths)]
        return [t[0].mT.contiguous() for t in forward(self.training, stacked, x.mT[None])]

    def loss_and_accuracy(self, epoch: int, x: Tensor, y: Tensor) -> tuple[float, float]:
        """Cross-entropy, nats, and share of right answers."""
        logits = self.layers(epoch, x)[-1]
        return float(F.cross_entropy(logits, y)), float((logits.argmax(1) == y).double().mean())


@dataclass(frozen=True)
class Numbers:
    """What was measured of one trajectory, as JSON can say it; informations in bits."""

    held: dict[str, Any]

    def to_bytes(self) -> bytes:
        """As JSON."""
        return json.dumps(self.held).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Numbers:
        """The value that `to_bytes` wrote."""
        return cls(json.loads(data))

    def __getitem__(self, name: str) -> Any:
        return self.held[name]


@dataclass(frozen=True, eq=False)
class Stack:
    """Trajectories of several seeds: weights (seeds, epochs + 1, parameters), losses (seeds, epochs)."""

    weights: Tensor
    losses: Tensor

    def to_bytes(self) -> bytes:
        """As one safetensors file."""
        return pack({"weights": self.weights, "losses": self.losses})

    @classmethod
    def from_bytes(cls, data: bytes) -> Stack:
        """The value that `to_bytes` wrote."""
        return cls(**unpack(data)[0])


def trajectories(
    training: Training, seeds: Sequence[int], store: Store, *, together: int = 10, jobs: int = 1
) -> list[Trajectory]:
    """One trajectory a seed; `together` seeds are trained and kept at once."""
    parts = [tuple(seeds[i : i + together]) for i in range(0, len(seeds), together)]
    looks = [Look(train, (training, part), Stack, label=f"{training.activation}-{part[0]}") for part in parts]
    stacks = look(looks, store, jobs=jobs)
    return [Trajectory(training, w, loss) for s in stacks for w, loss in zip(s.weights, s.losses, strict=True)]


def train(training: Training, seeds: Sequence[int]) -> Stack:
    """Train the networks of these seeds side by side."""
    task, widths = tishby(), training.widths
    learner = Learner(MLP(widths, training.activation))  # pyright: ignore[reportArgumentType]
    rows = [coding_order(len(task), seed)[:TRAINED_ON] for seed in seeds]
    x = torch.stack([task.x[r].mT for r in rows])
    sides = torch.stack([1.0 - 2.0 * task.y[r] for r in rows])
    starts = [learner.network(task.shape, task.classes, seed).parameters() for seed in seeds]
    flat = torch.stack([torch.cat([p.detach().reshape(-1) for p in start]) for start in starts])
    parameters = [p.clone().requires_grad_() for p in unstack(flat, widths)]
    optimizer = torch.optim.AdamW(parameters, lr=training.rate, weight_decay=0.0, fused=True)
    kept, losses = [flat], []
    draws = [torch.Generator().manual_seed(seed) for seed in seeds]
    for epoch in range(training.epochs):
        total = torch.zeros(len(seeds))
        for picked in _batches(draws, training.batch):
            inputs = x.gather(2, picked[:, None].expand(-1, x.shape[1], -1))
            logits = forward(training, parameters, inputs)[-1]
            # Cross-entropy with two classes, in the layout that is fast.
            loss = F.softplus((logits[:, 1] - logits[:, 0]) * sides.gather(1, picked)).mean(1)
            optimizer.zero_grad()
            loss.sum().backward()
            optimizer.step()
            total += loss.detach() * picked.shape[1]
        losses.append(total / TRAINED_ON)
        kept.append(torch.cat([p.detach().flatten(1) for p in parameters], 1))
        report(epoch + 1, training.epochs)
    return Stack(torch.stack(kept, 1), torch.stack(losses, 1))


def place(trajectory: Trajectory, epoch: int, task: Task, method: Method) -> list[tuple[float, float]]:
    """I(X;T) and I(T;Y) of each hidden layer after this epoch, bits."""
    both = [layer_information(t, task.y, method) for t in trajectory.layers(epoch, task.x)[:-1]]
    return [(one.x_t.bits, one.t_y.bits) for one in both]


def epochs_between(last: int, per_decade: int = 4) -> list[int]:
    """0, 1, and so many a decade up to the last.

    >>> epochs_between(100, 2)
    [0, 1, 3, 10, 32, 100]
    """
    steps = math.floor(math.log10(last) * per_decade + 1e-9)
    return sorted({0, last, *(round(10 ** (k / per_decade)) for k in range(steps + 1))})


def unstack(flat: Tensor, widths: Sequence[int], inputs: int = 12, classes: int = 2) -> list[Tensor]:
    """Weights (seeds, out, in) and biases (seeds, out, 1) in turn, from (seeds, parameters)."""
    parts, at = [], 0
    for a, b in zip((inputs, *widths), (*widths, classes), strict=True):
        parts.append(flat[:, at : at + a * b].unflatten(1, (b, a)))
        parts.append(flat[:, at + a * b : at + a * b + b].unsqueeze(2))
        at += a * b + b
    return parts


def forward(training: Training, parameters: Sequence[Tensor], x: Tensor) -> list[Tensor]:
    """Answers (seeds, width, n) of every layer to inputs (seeds, d, n), activation functions applied; logits last."""
    bend = torch.tanh if training.activation == "tanh" else torch.relu
    answers, h, bits = [], x, training.bits
    for i in range(0, len(parameters), 2):
        weight, bias = parameters[i : i + 2]
        if bits is not None:
            weight, bias = rounded(weight, bits, 2.0), rounded(bias, bits, 2.0)
        h = torch.baddbmm(bias, weight, h)
        if i < len(parameters) - 2:
            h = bend(h) if bits is None else rounded(bend(h), bits, 1.0 if training.activation == "tanh" else 4.0)
        answers.append(h)
    return answers


def rounded(t: Tensor, bits: int, reach: float) -> Tensor:
    """The nearest of 2^bits levels, evenly from −reach to reach; the gradient is that of clipping.

    >>> rounded(torch.tensor([-9.0, -0.4, 0.3, 1.0]), 2, 1.0)
    tensor([-1.0000, -0.3333,  0.3333,  1.0000])
    """
    return _Rounding.apply(t, bits, reach)  # pyright: ignore[reportReturnType]


class _Rounding(torch.autograd.Function):
    """Its own function, so that equal levels have equal bits: t + (level − t) is a level only up to rounding."""

    @staticmethod
    def forward(ctx: Any, t: Tensor, bits: int, reach: float) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx.save_for_backward(t.abs() <= reach)
        step = 2 * reach / (2**bits - 1)
        return torch.round((t.clamp(-reach, reach) + reach) / step) * step - reach

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (inside,) = ctx.saved_tensors
        return gradient * inside, None, None


def _batches(draws: Sequence[torch.Generator], batch: int) -> Iterator[Tensor]:
    """Rows (seeds, b) of each batch of an epoch."""
    orders = torch.stack([torch.randperm(TRAINED_ON, generator=g) for g in draws])
    return iter(orders.split(batch, 1)[: math.ceil(TRAINED_ON / batch)])
