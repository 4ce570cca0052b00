"""Every use of every parameter of a network while it runs: what enters a function, and what comes back to it."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.overrides import TorchFunctionMode

from infoscope.observation.closed_forms import CLOSED_FORMS, COMMUTES, OPENED, Call, Rule
from infoscope.observation.forms import Slot


@dataclass(frozen=True)
class Part:
    """A parameter's part in a function."""

    role: str
    slot: Slot
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Use:
    """One call of a function with a closed form: what entered, what left, and where gradients come back to it."""

    rule: Rule
    parts: tuple[Part, ...]
    entered: Tensor
    left: tuple[int, ...]
    edge: GradientEdge


@dataclass(frozen=True)
class Placement:
    """Where the examples stand in a tensor: along `axis`, or folded into the first one with what is `inner`.

    `shared` says that the tensor is one for all examples.
    """

    axis: int = 0
    folded: bool = False
    inner: bool = False
    shared: bool = False

    def of(self, t: Shaped[Tensor, "*shape"], n: int, lead: int = 0) -> Shaped[Tensor, "*other"]:
        """The tensor with its examples first; `lead` axes before it stay where they are."""
        if self.shared:
            return t.expand(n, *(t.shape[1:] if t.shape[:1] == (1,) else t.shape))
        if not self.folded:
            return t.movedim(lead + self.axis, lead)
        return t.unflatten(lead, (-1, n)).transpose(lead, lead + 1) if self.inner else t.unflatten(lead, (n, -1))


def placement(one: Sequence[int], all_: Sequence[int], n: int) -> Placement | None:
    """Where n examples stand in a shape, found by the shape that one of them gives alone; None where it can't be told.

    >>> placement((1, 4), (3, 4), 3), placement((2, 4), (6, 4), 3).folded, placement((4,), (4,), 3).shared
    (Placement(axis=0, folded=False, inner=False, shared=False), True, True)
    """
    grown = [i for i, (k, m) in enumerate(zip(one, all_, strict=False)) if k != m]
    if len(one) != len(all_) or len(grown) > 1:
        return None
    if not grown:
        return Placement(shared=True)
    axis = grown[0]
    if one[axis] == 1 and all_[axis] == n:
        return Placement(axis)
    return Placement(folded=True) if axis == 0 and all_[0] == one[0] * n else None


class Listening(TorchFunctionMode):
    """While this is on, uses of these parameters are noted in `uses`, and in `unknown` those without a closed form.

    Uses whose number is in `spread`, which would be one for all n examples, give every example its own.
    """

    def __init__(self, parameters: Mapping[str, Tensor], n: int = 1, spread: frozenset[int] = frozenset()) -> None:
        super().__init__()
        self.uses: list[Use] = []
        self.unknown: set[str] = set()
        self._n, self._spread = n, spread
        self.names = frozenset(parameters)
        self._held = {p.untyped_storage().data_ptr(): (name, p) for name, p in parameters.items() if p.numel()}

    def __torch_function__(
        self, func: Any, types_: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call the function, and note it if it uses a parameter."""
        kwargs = kwargs or {}
        owned = [t for t in tensors((args, kwargs)) if self._owner(t) is not None]
        if not owned:
            return func(*args, **kwargs)
        if func in OPENED:
            with self:
                return _opened(func)(*args, **kwargs)
        # What runs without gradients may bring its own, out of sight.
        call = self._call(func, args, kwargs) if torch.is_grad_enabled() else None
        parts = tuple(self._parts(call, owned)) if call is not None else ()
        faster = call.faster if call is not None and parts else None
        result = func(*args, **kwargs) if faster is None else faster()
        if call is None or not parts:
            if any(self._owner(t) is None for t in tensors(result)):  # a view of a parameter, a number: no use yet
                self.unknown |= {name for t in owned if (name := self._owner(t)) is not None}
            return result
        return self._noted(call, parts, result)

    def _call(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Call | None:
        if func not in CLOSED_FORMS:
            return None
        if func in COMMUTES and len(args) == 2 and isinstance(args[0], Tensor) and self._owner(args[0]) is not None:
            args = (args[1], args[0])
        try:
            return CLOSED_FORMS[func](*args, **kwargs)
        except TypeError:  # a way of calling it that the table does not know
            return None

    def _parts(self, call: Call, owned: Sequence[Tensor]) -> Iterator[Part]:
        """What each parameter plays; nothing if one of them plays no part that is known."""
        found = [(role, t) for role, t in call.parts.items() if isinstance(t, Tensor) and self._owner(t) is not None]
        slots = [self._slot(role, t) for role, t in found]
        if len(found) == len(owned) and None not in slots:
            yield from (slot for slot in slots if slot is not None)

    def _noted(self, call: Call, parts: tuple[Part, ...], result: Tensor) -> Tensor:
        number = len(self.uses)
        if number in self._spread:
            result = Placement(shared=True).of(result, self._n).clone()
        if not result.requires_grad:
            result = result.detach().requires_grad_()
        # A leaf may not be changed in place, and what comes next may want to.
        result = result.clone() if result.is_leaf else result
        use = Use(call.rule, parts, call.entered.detach(), tuple(result.shape), get_gradient_edge(_whole(result)))
        self.uses.append(use)
        return result

    def _owner(self, t: Tensor) -> str | None:
        """The parameter that lies where this tensor lies."""
        found = self._held.get(t.untyped_storage().data_ptr()) if t.layout is torch.strided else None
        return None if found is None else found[0]

    def _slot(self, role: str, t: Tensor) -> Part | None:
        """Which box of a parameter this is, as it is or transposed."""
        _, p = self._held[t.untyped_storage().data_ptr()]
        name = self._owner(t) or ""
        if t.ndim == 2 and t.stride() != p.stride() and t.T.stride() == p.stride():
            t, role = t.T, role.removeprefix(_TRANSPOSED) if role.startswith(_TRANSPOSED) else _TRANSPOSED + role
        whole = t.shape == p.shape and t.stride() == p.stride() and t.storage_offset() == p.storage_offset()
        if whole:
            return Part(role, Slot(name), tuple(p.shape))
        if t.ndim != p.ndim or t.stride() != p.stride() or not p.is_contiguous():
            return None
        start, offset = [], int(t.storage_offset() - p.storage_offset())
        for stride in p.stride():
            start.append(offset // int(stride))
            offset %= int(stride)
        return Part(role, Slot(name, tuple(start), tuple(t.shape)), tuple(t.shape))


_TRANSPOSED = "transposed "


def _whole(result: Tensor) -> Tensor:
    """What a result is another shape of: a change in place of it is one of that, whose gradient stays where it was."""
    base = result._base
    reshaped = base is not None and base.numel() == result.numel() and result.is_contiguous() and base.is_contiguous()
    return base if reshaped and base is not None and base.requires_grad else result


def tensors(held: Any) -> Iterator[Tensor]:
    """All tensors in lists, tuples and mappings, however deep."""
    if isinstance(held, Tensor):
        yield held
    elif isinstance(held, list | tuple):
        for item in held:
            yield from tensors(item)
    elif isinstance(held, Mapping):
        yield from tensors(list(held.values()))


def _opened(func: types.FunctionType) -> Callable[..., Any]:
    """The same function without the question of whether somebody overrides it, so that what it calls is heard."""
    body = func.__globals__ | {"has_torch_function": lambda _: False}
    opened = types.FunctionType(func.__code__, body, func.__name__, func.__defaults__, func.__closure__)
    opened.__kwdefaults__ = func.__kwdefaults__
    return opened
