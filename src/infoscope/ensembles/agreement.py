"""Whether a stack of networks computes what each of them computes by itself."""

from __future__ import annotations

import copy
import pickle
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from infoscope.data.inputs import Batch, each
from infoscope.ensembles.stack import Stack
from infoscope.ensembles.ways import NotStackable, WayName
from infoscope.training.forward import device_of, forward
from infoscope.training.isolation import isolated
from infoscope.training.learner import Weights
from infoscope.training.recipe import Loss, Recipe

EXAMPLES = 8
"""On so many it is compared what a stack gives, and what its networks give by themselves."""

_ROUNDS = 4  # passes in training mode that are compared, buffers going on from one to the next
_RTOL, _ATOL = 1e-4, 1e-5
_DROPOUTS = (F.dropout, F.dropout1d, F.dropout2d, F.dropout3d, F.alpha_dropout, F.feature_alpha_dropout, torch.dropout)


def check_agreement(
    networks: Sequence[nn.Module], recipes: Sequence[Recipe], way: WayName, loss: Loss, x: Batch, y: Tensor
) -> None:
    """NotStackable unless a stack of these networks gives the losses and buffers that each of them gives by itself.

    Compared are the first, and every one that may hold something else than the first besides its state dict: once
    predicting, then in four passes in training mode, each from the same seed. Dropout is left out of the comparison;
    what else is drawn with torch is compared row by row, what is drawn otherwise closes the stack. The networks and
    the random state are left as they are.
    """
    _check_one_form(networks)
    rows = _unlike(networks)
    alone = [_alone(networks[i], loss, x, y) for i in rows]
    draws = any(one.draws for one in alone)
    if draws and way == "grouped":
        raise NotStackable("its forward pass draws at random otherwise than by dropout, which is traced once")
    chosen, own = [networks[i] for i in rows], [recipes[i] for i in rows]
    # Compiled is vmap once more, and takes a minute.
    tried: WayName = "vmap" if way == "compiled" else way
    parts = [[i] for i in range(len(rows))] if draws else [list(range(len(rows)))]
    for part in parts:
        stack = Stack([_without_dropout(chosen[0]), *chosen], [own[0], *own], tried)
        stack.keep([1 + i for i in part])
        _compare(stack, [alone[i] for i in part], x, y)


@dataclass(frozen=True)
class _Alone:
    """What a network computes by itself: losses (passes,), its state after them, whether it drew at random."""

    losses: Tensor
    state: Weights
    draws: bool


@torch.no_grad()
def _alone(network: nn.Module, loss: Loss, x: Batch, y: Tensor) -> _Alone:
    one, device = _without_dropout(network), device_of(network)
    before: list[Any] = []
    drawn: list[bool] = []

    def measured(training: bool) -> Tensor:
        before[:] = [_outside_torch(), _torch_state(device)]
        found = loss(forward(one.train(training), each(x, Tensor.clone)), y)
        if _outside_torch() != before[0]:
            raise NotStackable("its forward pass draws from the random numbers of Python or numpy, once for a stack")
        drawn.append(not torch.equal(_torch_state(device), before[1]))
        return found

    losses = _passes(measured)
    return _Alone(losses, one.state_dict(), any(drawn))


def _passes(loss: Callable[[bool], Tensor]) -> Tensor:
    """The losses of one pass in eval mode and some in training mode, each from a seed of its own."""
    found = []
    for k in range(1 + _ROUNDS):
        with isolated(k), _WithoutDropout():
            found.append(loss(k > 0))
    return torch.stack(found)


def _compare(stack: Stack, alone: Sequence[_Alone], x: Batch, y: Tensor) -> None:
    wide = each(x, lambda t: copies(t, len(alone)))
    targets = copies(y, len(alone))
    together = _passes(lambda training: stack.loss(each(wide, Tensor.clone), targets, training))
    same = torch.isclose(together, torch.stack([one.losses for one in alone], 1), rtol=_RTOL, atol=_ATOL)
    if not same.all():
        when = "training" if same[0].all() else "predicting"
        raise NotStackable(f"networks have other losses together than each by itself, {when}")
    for name, stacked in stack.tensors.items():
        if not all(_equal(row, one.state[name]) for row, one in zip(stacked, alone, strict=True)):
            raise NotStackable(f"{name} changes otherwise in a stack than in a network by itself, training")


def copies(t: Tensor, size: int) -> Tensor:
    """The same examples for so many networks."""
    return t.expand(size, *t.shape).contiguous()


def _check_one_form(networks: Sequence[nn.Module]) -> None:
    """NotStackable unless all have the same weights to train, in the same shapes."""
    first = _form(networks[0])
    for other in networks[1:]:
        if _form(other) != first:
            raise NotStackable("networks of two seeds differ in their weights' shapes, or in which of them train")


def _form(network: nn.Module) -> list[tuple[Any, ...]]:
    trained = {name for name, p in network.named_parameters(remove_duplicate=False) if p.requires_grad}
    return [(name, t.shape, t.dtype, name in trained) for name, t in network.state_dict().items()]


def _unlike(networks: Sequence[nn.Module]) -> list[int]:
    """The first, and every network that is not known to hold just what the first holds besides its state."""
    first = _unsaved(networks[0])
    return [0, *(i for i in range(1, len(networks)) if first is None or _unsaved(networks[i]) != first)]


def _unsaved(network: nn.Module) -> bytes | None:
    """What a network holds besides its state dict, as bytes; None where that cannot be told."""
    held = [
        (
            path,
            type(module),
            {k: v for k, v in vars(module).items() if k not in ("_parameters", "_buffers", "_modules")},
            [module._buffers[k] for k in sorted(module._non_persistent_buffers_set)],
        )
        for path, module in network.named_modules()
    ]
    try:
        return pickle.dumps(held)
    except Exception:  # closures, open files …: each says so in its own way
        return None


def _without_dropout(network: nn.Module) -> nn.Module:
    """A copy whose layers drop nothing: what they drop differs from network to network, and in a stack too."""
    try:
        still = copy.deepcopy(network)
    except Exception as error:  # a tensor with a graph, a file, a lock …
        raise NotStackable(f"{type(network).__name__} can't be copied to be compared ({error})") from error
    for module in still.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.p = 0.0
        elif isinstance(module, nn.MultiheadAttention | nn.RNNBase):
            module.dropout = 0.0
    return still


class _WithoutDropout(TorchFunctionMode):
    """Inside, dropout by function drops nothing."""

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        """Run the function, or pass its input on."""
        options = kwargs or {}
        if func in _DROPOUTS:
            return args[0] if args else options["input"]
        if func is F.scaled_dot_product_attention:
            args, options = (*args[:4], *((0.0,) if len(args) > 4 else ()), *args[5:]), {**options}
            if "dropout_p" in options:
                options["dropout_p"] = 0.0
        return func(*args, **options)


def _outside_torch() -> tuple[Any, ...]:
    """The random state of Python and of numpy, to be compared."""
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002 - what a caller's network may draw from
    return random.getstate(), kind, np.asarray(keys).tobytes(), *rest


def _torch_state(device: torch.device) -> Tensor:
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


def _equal(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a.double(), b.double(), rtol=_RTOL, atol=_ATOL, equal_nan=True)
