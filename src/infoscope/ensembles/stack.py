"""Networks of one architecture in one: stacked weights, one optimizer over all of them, one forward pass."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from infoscope.data.inputs import Batch
from infoscope.data.targets import Classes, Labels, Real
from infoscope.ensembles.grouped_forward import GroupedForward, aliases
from infoscope.ensembles.stacked_weights import StackedWeights
from infoscope.ensembles.ways import WAYS, NotStackable, WayName
from infoscope.training import optimizers
from infoscope.training.forward import forward
from infoscope.training.recipe import SGD, Adam, Loss, Recipe

_ELEMENTWISE = (
    torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.RMSprop, torch.optim.Adagrad,
    torch.optim.Adamax, torch.optim.NAdam, torch.optim.RAdam, torch.optim.Adadelta,
)  # fmt: skip
_FUSED = (
    torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.Adagrad,
    optimizers.SGD, optimizers.Adam, optimizers.AdamW,
)  # fmt: skip

_AT_A_TIME = 1 << 20  # weights

StackedLosses = Callable[[StackedWeights, Batch, Tensor], Tensor]
"""From stacked weights and batches (E, b, …) to a loss a network."""


class Stack:
    """E networks that train in step: one row of weights each, the trained ones of a row side by side in memory.

    `recipes` may differ in what acts on each weight by itself: the optimizer's numbers, decay, epochs. A row never
    feels another: a network that diverges fills its own row with NaN, and no other.
    """

    def __init__(self, networks: Sequence[nn.Module], recipes: Sequence[Recipe], way: WayName):
        check_stackable(networks[0], recipes)
        # Its own copy: what a forward pass leaves in it is no network's of the caller.
        self._template = copy.deepcopy(networks[0])
        self._way: WayName = way
        self._loss = cast("Loss", recipes[0].loss)  # a member's recipe has one
        states = [network.state_dict() for network in networks]
        trained = {name: p for name, p in networks[0].named_parameters() if p.requires_grad}
        self._names = list(states[0])
        self._shapes = {name: p.shape for name, p in trained.items()}
        rows = [torch.cat([state[name].detach().reshape(-1) for name in trained]) for state in states]
        self._one = aliases(networks[0])  # a tied weight goes by several names, and is held once
        others = [name for name in self._names if name not in trained and self._one[name] == name]
        self._others = {name: torch.stack([state[name] for state in states]).contiguous() for name in others}
        self._forward: dict[bool, StackedLosses] = {}
        self._start = torch.stack(rows)
        self._hold(self._start.clone(), list(recipes), None)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The live stacked state dict: each tensor has a leading axis of E networks; do not change it."""
        own = self._own
        return {name: own[self._one[name]] for name in self._names}

    @property
    def _own(self) -> dict[str, Tensor]:
        return {**self._views, **self._others}

    def step(self, x: Batch, y: Tensor, step: int, an_epoch: int) -> Tensor:
        """Step number `step`, with so many `an_epoch`, on batches (E, b, …); the losses (E,), nats."""
        for (optimizer, rates), recipe in zip(self._optimizers, self._leaders, strict=True):
            factor = recipe.decay(step / (an_epoch * recipe.epochs))
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * factor
        losses = self._losses(True)(self._own, x, y)
        gradients = torch.autograd.grad(losses.sum(), list(self._views.values()), allow_unused=True)
        parts = [torch.zeros_like(v) if g is None else g for g, v in zip(gradients, self._views.values(), strict=True)]
        torch.cat([part.flatten(1) for part in parts], 1, out=self._gradient)
        # A weight that the loss does not see has no gradient, and an optimizer passes it by: its decay too.
        unseen = [(v, v.detach().clone()) for g, v in zip(gradients, self._views.values(), strict=True) if g is None]
        for optimizer, _ in self._optimizers:
            optimizer.step()
        for view, before in unseen:
            view.detach().copy_(before)
        return losses.detach()

    @torch.no_grad()
    def loss(self, x: Batch, y: Tensor, training: bool = False) -> Tensor:
        """Losses (E,) on batches (E, b, …); nothing changes but, in training mode, buffers."""
        return self._losses(training)(self._own, x, y)

    def moved(self) -> Tensor:
        """How far the trained weights of each row are from where they began: (E,), float64."""
        size = max(1, _AT_A_TIME // max(1, self._rows.shape[1]))
        pairs = zip(self._rows.detach().split(size), self._start.split(size), strict=True)
        return torch.cat([torch.linalg.vector_norm(row - first, dim=1, dtype=torch.float64) for row, first in pairs])

    def keep(self, rows: Sequence[int], recipes: Sequence[Recipe] | None = None) -> None:
        """Go on with these rows only, one of them several times perhaps, under these recipes or their own."""
        which = torch.tensor(rows, device=self._rows.device)
        states = [state for optimizer, _ in self._optimizers for state in self._spread(optimizer)]
        self._others = {name: t[which].contiguous() for name, t in self._others.items()}
        self._start = self._start[which]
        own = [self._recipes[r] for r in rows]
        self._hold(self._rows[which], own if recipes is None else list(recipes), [states[r] for r in rows])

    def state(self) -> dict[str, Any]:
        """All that changes while it trains, as tensors, numbers and their containers."""
        states = [state for optimizer, _ in self._optimizers for state in self._spread(optimizer)]
        return {"rows": self._rows.detach(), "start": self._start, "others": self._others, "optimizers": states}

    def restore(self, state: Mapping[str, Any], recipes: Sequence[Recipe]) -> None:
        """Go on from what `state` gave."""
        device = self._rows.device
        self._others = {name: t.to(device) for name, t in state["others"].items()}
        self._start = state["start"].to(device)
        self._hold(state["rows"].to(device), list(recipes), state["optimizers"])

    def _hold(self, rows: Tensor, recipes: list[Recipe], states: list[dict[str, Any]] | None) -> None:
        """Lay out the rows and their optimizers, one for each run of rows that are trained alike."""
        self._rows, self._recipes = rows.contiguous(), recipes
        self._gradient = torch.zeros_like(self._rows)
        self._views, at = {}, 0
        for name, shape in self._shapes.items():
            size = shape.numel()
            view = self._rows[:, at : at + size].view(len(rows), *shape)
            self._views[name] = view.detach().requires_grad_()
            at += size
        self._optimizers, self._leaders, at = [], [], 0
        for _, run in groupby(recipes, key=lambda r: (r.optimizer, r.decay, r.epochs)):
            alike = list(run)
            leaf = nn.Parameter(self._rows[at : at + len(alike)])
            leaf.grad = self._gradient[at : at + len(alike)]
            optimizer = _fused(alike[0].optimizer([leaf]))
            if states is not None:
                _gather(optimizer, leaf, states[at : at + len(alike)])
            self._optimizers.append((optimizer, [group["lr"] for group in optimizer.param_groups]))
            self._leaders.append(alike[0])
            at += len(alike)

    @staticmethod
    def _spread(optimizer: torch.optim.Optimizer) -> list[dict[str, Any]]:
        """The optimizer's state, row by row."""
        (leaf,) = optimizer.param_groups[0]["params"]
        state = optimizer.state[leaf]
        by_row = {k for k, v in state.items() if isinstance(v, Tensor) and v.shape == leaf.shape}
        return [{k: v[i] if k in by_row else v for k, v in state.items()} for i in range(len(leaf))]

    def _losses(self, training: bool) -> StackedLosses:
        if training not in self._forward:
            self._forward[training] = self._made(training)
        if self._template.training != training:
            self._template.train(training)
        return self._forward[training]

    def _made(self, training: bool) -> StackedLosses:
        return stacked_losses(self._template.train(training), self._loss, self._way)


def stacked_losses(network: nn.Module, loss: Loss, way: WayName) -> StackedLosses:
    """Losses (E,) of a stack of networks like this one, in the mode that it is in, on batches (E, b, …)."""
    if way == "grouped":
        kind = _cross_entropies if _is_of(loss, Classes) else functools.partial(_grouped_losses, loss)
        return functools.partial(kind, GroupedForward(network))

    # A layer that goes by several names is put in place by one: torch would leave its stacked weights behind in it.
    first, paths = aliases(network), {path for path, _ in network.named_modules()}
    names = {name: first[name] for name in network.state_dict() if name.rpartition(".")[0] in paths}

    def one(tensors: StackedWeights, x: Batch, y: Tensor) -> Tensor:
        own = {name: tensors[first] for name, first in names.items()}
        call = functools.partial(_call, network, own)
        return loss(forward(call, x), y)

    together = vmap(one, randomness="different")
    return torch.compile(together, dynamic=False) if way == "compiled" else together


def check_stackable(network: nn.Module, recipes: Sequence[Recipe]) -> None:
    """NotStackable unless networks like this one can train as rows of one tensor under these recipes."""
    for recipe in recipes:
        if not _acts_on_each_weight(recipe.optimizer):
            raise NotStackable("the optimizer is not known to treat every weight by itself")
        if recipe.penalty is not None:
            raise NotStackable("the recipe has a penalty, which looks at one network at a time")
    kinds = {(p.dtype, p.device) for p in network.parameters() if p.requires_grad}
    if len(kinds) != 1:
        raise NotStackable("it has no weights to train, or they differ in type or device")


def _acts_on_each_weight(optimizer: Any) -> bool:
    made_by = optimizer.func if isinstance(optimizer, functools.partial) else optimizer
    # Not their subclasses: one may clip the norm of a gradient, which would then be that of all networks.
    return type(optimizer) in (Adam, SGD) or made_by in _ELEMENTWISE


def _fused(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """The same optimizer with its step in one pass over memory, where torch has that."""
    if type(optimizer) in _FUSED:
        for group in optimizer.param_groups:
            if not any(group.get(k) for k in ("foreach", "differentiable", "maximize", "capturable")):
                group["fused"] = True
    return optimizer


def _gather(optimizer: torch.optim.Optimizer, leaf: Tensor, states: Sequence[Mapping[str, Any]]) -> None:
    """Put the rows' states back together."""
    merged: dict[str, Any] = {}
    for k, v in states[0].items():
        rows = isinstance(v, Tensor) and v.shape == leaf.shape[1:]
        if rows:
            merged[k] = torch.stack([state[k].to(leaf.device) for state in states])
        else:
            merged[k] = v.clone() if isinstance(v, Tensor) else v
    if merged:
        optimizer.state[leaf] = merged


def _grouped_losses(loss: Loss, networks: GroupedForward, tensors: StackedWeights, x: Batch, y: Tensor) -> Tensor:
    """Losses (E,) of networks that give (E, outputs, n)."""
    return vmap(loss)(networks.logits(tensors, _one_tensor(x)).mT, y)


def _cross_entropies(networks: GroupedForward, tensors: StackedWeights, x: Batch, y: Tensor) -> Tensor:
    """Mean cross-entropy of each network, from logits (E, classes, n)."""
    logits = networks.logits(tensors, _one_tensor(x))
    return (logits.logsumexp(1) - logits.gather(1, y[:, None]).squeeze(1)).mean(1)


def closed_ways(network: nn.Module, recipes: Sequence[Recipe]) -> dict[WayName, str]:
    """The ways that are not open to such networks, and why."""
    try:
        check_stackable(network, recipes)
    except NotStackable as error:
        return dict.fromkeys(WAYS[1:], str(error))
    try:
        if not any(_is_of(recipes[0].loss, target) for target in (Classes, Labels, Real)):
            raise NotStackable("the loss is not that of classes, labels or numbers")
        GroupedForward(network)
    except NotStackable as error:
        return {"grouped": str(error)}
    return {}


def _is_of(loss: Loss | None, target: type) -> bool:
    """Whether this is the likelihood of such a target."""
    return getattr(loss, "__func__", None) is target.loss


def _one_tensor(x: Batch) -> Tensor:
    if not isinstance(x, Tensor):
        raise NotStackable("its inputs are a mapping")
    return x


def _call(network: nn.Module, tensors: dict[str, Tensor], *args: Any, **words: Any) -> Any:
    """The network with these in place of its own parameters and buffers."""
    return functional_call(network, tensors, args, words, tie_weights=False)
