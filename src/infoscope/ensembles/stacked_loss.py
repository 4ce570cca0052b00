"""The loss of many weights of one network on all examples, and its gradient: what chains of weights walk on."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from infoscope.data.inputs import Batch, count, each, pieces
from infoscope.data.targets import MASKED, Boxes, Classes, Tokens
from infoscope.data.task import Task
from infoscope.ensembles.agreement import EXAMPLES, check_agreement
from infoscope.ensembles.grouped_forward import GroupedForward, aliases
from infoscope.ensembles.stack import StackedLosses, closed_ways, stacked_losses
from infoscope.ensembles.stacked_weights import StackedWeights
from infoscope.ensembles.ways import WayName
from infoscope.training.check_network import check_network
from infoscope.training.forward import forward
from infoscope.training.learner import Weights
from infoscope.training.recipe import Loss, Recipe

_AT_A_TIME = 1 << 20
"""Numbers of inputs, over all rows, that go through the networks at once."""


class StackedLoss:
    """L(w) = −Σ_i log p(y_i | x_i, w) of rows of weights, nats, on all examples of a task, and ∂L/∂w.

    In double precision (or `in_precision` of another kind) and in eval mode: dropout is off, batch normalisation uses
    what it has averaged. A row holds the trained weights side by side (`flat`); the network itself is copied, and left
    as it is. Of `Tokens` every one that is not masked counts, of `Real` it is the declared Gaussian's but for a
    constant. `way` says how it goes. Rows come and go on their own device; the network computes on `device`. Another
    `loss` is one of outputs and targets, the mean over examples.
    """

    def __init__(
        self, network: nn.Module, task: Task, device: str | torch.device = "cpu", loss: Loss | None = None
    ) -> None:
        if isinstance(task.target, Boxes):
            raise ValueError(f"{task.name!r} asks for boxes, which have no likelihood here; take another target")
        if not len(task):
            raise ValueError(f"{task.name!r} has no examples")
        check_network(copy.deepcopy(network), task)
        self._network = copy.deepcopy(network).to(device).double()
        self._dtype = torch.float64
        self._loss, self._tokens = loss or task.target.loss, isinstance(task.target, Tokens)
        self._classes = loss is None and isinstance(task.target, Classes)
        self._device = device
        self._x, self._y = task.x, task.y
        trained = {name: p for name, p in self._network.named_parameters() if p.requires_grad}
        if not trained:
            raise ValueError(f"{type(network).__name__} has no weights to train; set requires_grad on some")
        self._shapes = {name: p.shape for name, p in trained.items()}
        self._others = self._untrained()
        with _attention_by_its_parts():
            self.way: WayName = self._open_way()
        self._together = self._made()

    def in_precision(self, dtype: torch.dtype) -> StackedLoss:
        """The same loss, computed in another precision; rows come and go as they are.

        >>> from infoscope.data.task import Task
        >>> loss = StackedLoss(nn.Linear(4, 3), Task.from_dataset("iris"))
        >>> row = torch.ones(1, 15, dtype=torch.float64)
        >>> [round(one.values(row).item(), 3) for one in (loss, loss.in_precision(torch.float32))]
        [164.792, 164.792]
        """
        other = copy.copy(self)
        other._network, other._dtype = copy.deepcopy(self._network).to(dtype), dtype
        other._others, other._together = other._untrained(), other._made()
        return other

    def _untrained(self) -> dict[str, Tensor]:
        first = aliases(self._network)
        state = self._network.state_dict()
        return {name: t for name, t in state.items() if name not in self._shapes and first[name] == name}

    def _made(self) -> StackedLosses | None:
        if self.way == "grouped" and self._classes:
            return functools.partial(_cross_entropies, GroupedForward(self._network.eval()))
        return None if self.way == "loop" else stacked_losses(self._network.eval(), self._loss, self.way)

    @property
    def dimension(self) -> int:
        """How many weights a row has."""
        return sum(shape.numel() for shape in self._shapes.values())

    @property
    def places(self) -> dict[str, range]:
        """Where in a row each trained parameter lies."""
        found, begin = {}, 0
        for name, shape in self._shapes.items():
            found[name] = range(begin, begin := begin + shape.numel())
        return found

    def flat(self, weights: Weights) -> Float[Tensor, " d"]:
        """The trained ones of a state dict as a row."""
        return torch.cat([weights[name].detach().cpu().double().reshape(-1) for name in self._shapes])

    def weights(self, row: Float[Tensor, " d"]) -> dict[str, Tensor]:
        """A row as a state dict, with what is not trained beside it."""
        return {name: t[0] for name, t in self._views(row[None]).items()} | {
            k: t.cpu() for k, t in self._others.items()
        }

    def __call__(self, rows: Float[Tensor, "rows d"]) -> tuple[Float[Tensor, " rows"], Float[Tensor, "rows d"]]:
        """The losses of these weights, and their gradients."""
        there = rows.detach().to(self._device, self._dtype)
        value, slope = torch.zeros_like(there[:, 0]), torch.zeros_like(there)
        with _attention_by_its_parts():
            for x, y in self._pieces(len(rows)):
                leaf = there.detach().requires_grad_()
                total = self._losses(leaf, x, y) * self._counted(y)
                (part,) = torch.autograd.grad(total.sum(), leaf)
                value, slope = value + total.detach(), slope + part
        return value.to(rows), slope.to(rows)

    @torch.no_grad()
    def values(self, rows: Float[Tensor, "rows d"]) -> Float[Tensor, " rows"]:
        """The losses alone, at a third of the price."""
        there = rows.detach().to(self._device, self._dtype)
        with _attention_by_its_parts():
            parts = [self._losses(there, x, y) * self._counted(y) for x, y in self._pieces(len(rows))]
        return torch.stack(parts).sum(0).to(rows)

    def _counted(self, y: Tensor) -> int:
        return int((y != MASKED).sum()) if self._tokens else len(y)

    def _losses(self, rows: Tensor, x: Batch, y: Tensor) -> Tensor:
        """Mean losses (rows,)."""
        views, n = self._views(rows), len(rows)
        if self._together is None:
            ones = [{name: t[i] for name, t in views.items()} | self._others for i in range(n)]
            return torch.stack([self._loss(forward(_Called(self._network, one), x), y) for one in ones])
        others = {name: t.expand(n, *t.shape).contiguous() for name, t in self._others.items()}
        wide = each(x, lambda t: t.expand(n, *t.shape))
        return self._together({**views, **others}, wide, y.expand(n, *y.shape))

    def _views(self, rows: Tensor) -> dict[str, Tensor]:
        parts = rows.split([shape.numel() for shape in self._shapes.values()], 1)
        return {
            name: part.view(len(rows), *shape) for (name, shape), part in zip(self._shapes.items(), parts, strict=True)
        }

    def _pieces(self, rows: int) -> Iterator[tuple[Batch, Tensor]]:
        whole = each(self._x, lambda t: t.shape[1:].numel())
        width = whole if isinstance(whole, int) else sum(whole.values())
        size = max(1, _AT_A_TIME // (rows * max(1, width)))
        for x, y in zip(pieces(self._x, size), self._y.split(size), strict=True):
            yield each(x, self._wide), self._wide(y)

    def _wide(self, t: Tensor) -> Tensor:
        return t.to(self._device, self._dtype if t.is_floating_point() else t.dtype)

    def _open_way(self) -> WayName:
        """The first way in which a stack gives what the network gives by itself."""
        recipes = [Recipe(loss=self._loss)]
        closed = closed_ways(self._network, recipes)
        size = min(EXAMPLES, count(self._x))
        x, y = next(zip(pieces(self._x, size), self._y.split(size), strict=False))
        ways: tuple[WayName, ...] = ("grouped", "vmap")
        for way in ways:
            if way in closed:
                continue
            try:
                check_agreement([self._network], recipes, way, self._loss, each(x, self._wide), self._wide(y))
            except Exception:
                continue
            return way
        return "loop"


_NOTHING = 60.0  # nats below the likeliest class, where a class adds nothing even in double precision


def _cross_entropies(networks: GroupedForward, tensors: StackedWeights, x: Batch, y: Tensor) -> Tensor:
    """Mean cross-entropies, without classes that add nothing: products of subnormal numbers take 50 times as long."""
    logits = networks.logits(tensors, cast(Tensor, x))
    counted = logits.maximum(logits.detach().amax(1, keepdim=True) - _NOTHING)
    return (counted.logsumexp(1) - logits.gather(1, y[:, None]).squeeze(1)).mean(1)


class _Called:
    """A network with these in place of its own parameters and buffers."""

    def __init__(self, network: nn.Module, tensors: dict[str, Tensor]):
        self._network, self._tensors = network.eval(), tensors

    def __call__(self, *args: Tensor, **words: Tensor) -> object:
        return functional_call(self._network, self._tensors, args, words)


@contextmanager
def _attention_by_its_parts() -> Iterator[None]:
    """Without fused kernels of attention: that of eval mode has no derivative, and `vmap` knows none of them."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
