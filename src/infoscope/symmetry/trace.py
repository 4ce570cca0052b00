"""A network run once with its units tagged: which places in which weights belong to one and the same unit."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

Ids = np.ndarray
"""One number a unit; `FIXED` for one that may not move, `NEUTRAL` for a constant that is the same in all units."""

FIXED, NEUTRAL = 0, -1

MADE, READ = 1, -1
"""Powers of a unit's scale with which its incoming and its outgoing weights grow."""


@dataclass(frozen=True)
class Tag:
    """What is known of an activation: the axis along which units stand, and who they are.

    `units` are joined wherever they must be permuted together, `scales` wherever they must be scaled together: batch
    normalisation keeps the first and cuts the second.
    """

    axis: int
    units: Ids
    scales: Ids


class Classes:
    """Numbers that were found to be the same, joined (union–find)."""

    def __init__(self) -> None:
        self.parent = [FIXED]

    def grow(self, count: int) -> None:
        """New numbers, each a class of its own."""
        self.parent.extend(range(len(self.parent), len(self.parent) + count))

    def find(self, i: int) -> int:
        """The number that stands for a class."""
        while self.parent[i] != i:
            self.parent[i] = i = self.parent[self.parent[i]]
        return i

    def join(self, a: Ids, b: Ids) -> None:
        """Make a_i and b_i the same for each i, neutral ones apart."""
        for i, j in zip(a.tolist(), np.broadcast_to(b, a.shape).tolist(), strict=True):
            if i != NEUTRAL and j != NEUTRAL:
                i, j = self.find(i), self.find(j)
                self.parent[max(i, j)] = min(i, j)


@dataclass(frozen=True)
class Call:
    """One call of a torch function during the run."""

    name: str
    args: tuple[Any, ...]
    options: dict[str, Any]
    result: Any

    def get(self, place: int, name: str, default: Any = None) -> Any:
        """An argument, by place or by name."""
        return self.args[place] if place < len(self.args) else self.options.get(name, default)


Rule = Callable[["Trace", Call], Any]
"""What a function does to tags: that of its result, or of each of them; None if it can't be followed."""


@dataclass(frozen=True)
class Rules:
    """Rules by the functions' names: for units along one axis, and for heads that stand apart."""

    plain: Mapping[str, Rule]
    heads: Mapping[str, Callable[[Trace, Call], Any]] = field(default_factory=dict)


class Trace(TorchFunctionMode):
    """Follows tags through every torch function that the network calls, by its `rules`.

    What no rule follows fixes the units that enter it, and those after it: they keep their places. `powers` says with
    which power of a unit's scale each axis of each weight grows: 1 where the unit is made, −1 where it is read.
    """

    def __init__(self, network: nn.Module, rules: Rules) -> None:
        super().__init__()
        self.rules = rules
        self.units, self.scales = Classes(), Classes()
        self.names: dict[int, list[str]] = {}
        for k, v in [*network.named_parameters(remove_duplicate=False), *network.named_buffers(remove_duplicate=False)]:
            if v.is_floating_point():
                self.names.setdefault(id(v), []).append(k)
        self.axes: dict[tuple[str, int], Ids] = {}
        self.powers: dict[tuple[str, int], int] = {}
        self.normalised: list[Ids] = []
        self.marks: list[tuple[Hashable, Ids]] = []
        self.attended: list[tuple[Ids, Ids]] = []
        self.reasons: dict[str, None] = {}
        self.seen: set[int] = set()
        self._tags: dict[int, Tag] = {}
        self._apart: dict[int, Any] = {}
        self._alive: list[Tensor] = []  # an id is a tensor's own only while it lives
        self._calls = 0

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        """Run the function, then follow the tags."""
        options = kwargs or {}
        result = func(*args, **options)
        name = getattr(func, "__name__", str(func)).strip("_")
        met = [t for t in tensors((args, options)) if self._meets(id(t))]
        if met and (any(True for _ in tensors(result)) or name in _READS):
            self._follow(Call(name, args, options, result), met)
        return result

    def _meets(self, i: int) -> bool:
        return i in self._tags or i in self._apart or i in self.names

    def _follow(self, call: Call, met: list[Tensor]) -> None:
        self._calls += 1
        self.seen |= {id(t) for t in met}
        for slot, t in enumerate(met):
            if id(t) in self._tags:
                self.marks.append((8 * self._calls + min(slot, 7), self._tags[id(t)].units))
        # Where heads stand apart other rules hold: they know several axes of units.
        apart = any(id(t) in self._apart for t in met)
        rule = (self.rules.heads if apart else self.rules.plain).get(call.name)
        found = rule(self, call) if rule else None
        if found is None:
            self.reasons[call.name] = None
            for t in met:
                self.fix(t)
            return
        for t, tag in zip(tensors(call.result), found if isinstance(found, (list, tuple)) else [found], strict=True):
            self._tags.pop(id(t), None)
            self._apart.pop(id(t), None)
            (self._tags if isinstance(tag, Tag) else self._apart)[id(t)] = tag
            self._alive.append(t)

    def tag(self, t: Any) -> Tag | None:
        """What is known of a tensor; None says that its units are fixed."""
        return self._tags.get(id(t))

    def apart(self, t: Any) -> Any:
        """What is known of an activation whose heads stand apart; None of any other."""
        return self._apart.get(id(t))

    def attend(self, queries: Ids, values: Ids) -> None:
        """Heads that read by these units (heads, places) of their queries, joined with their keys, from these values.

        The units of one head are told from those of another; heads may change places as wholes.
        """
        self.rigid(queries.ravel())
        self.rigid(values.ravel())
        for side, units in (("queries", queries), ("values", values)):
            self.marks += [((len(self.attended), side, head), ids) for head, ids in enumerate(units)]
        self.attended.append((queries, values))

    def knows(self, t: Any) -> bool:
        """Whether this is one of the network's own parameters or buffers."""
        return id(t) in self.names

    def along(self, weight: Tensor, axis: int, power: int) -> Ids:
        """The units along an axis of a weight, which grows with this power of their scales."""
        key = self.names[id(weight)][0], axis
        if key not in self.axes:
            first = len(self.units.parent)
            self.units.grow(weight.shape[axis])
            self.scales.grow(weight.shape[axis])
            self.axes[key] = np.arange(first, first + weight.shape[axis])
            self.powers[key] = power
        if self.powers[key] != power:
            self.rigid(self.axes[key])
        return self.axes[key]

    def join(self, tag: Tag, ids: Ids) -> None:
        """These are the tagged units, to permute and to scale."""
        self.units.join(tag.units, ids)
        self.scales.join(tag.scales, ids)

    def rigid(self, ids: Ids) -> None:
        """These units may not be scaled."""
        self.scales.join(ids, np.zeros_like(ids))

    def fix(self, t: Tensor) -> None:
        """The units of this activation, or along all axes of this parameter, stay as they are."""
        tag = self._tags.get(id(t))
        known = [] if tag is None else [(tag.units, tag.scales)]
        if id(t) in self._apart:
            units = self._apart[id(t)].units.ravel()
            known.append((units, units))
        if self.knows(t):
            for axis in range(t.ndim):
                key = self.names[id(t)][0], axis
                ids = self.along(t, axis, self.powers.get(key, 0))
                known.append((ids, ids))
        for units, scales in known:
            self.units.join(units, np.zeros_like(units))
            self.rigid(scales)


_READS = ("item", "tolist", "numpy", "bool", "float", "int", "len", "contains")


def tensors(value: Any) -> Iterable[Tensor]:
    """All tensors in nested arguments, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        yield from tensors(tuple(value.values()))
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from tensors(item)


def traced(network: nn.Module, x: Tensor, rules: Rules) -> Trace:
    """The trace of one run in eval mode and one in training mode (some heads are for training only).

    What comes out of the network is fixed.
    """
    trace = Trace(network, rules)
    for training in (False, True):
        try:
            with torch.no_grad(), trace:
                out = network.train(training)(x)
        except ValueError as error:
            if not training:
                raise
            trace.reasons[f"training mode ({error})"] = None
            continue
        for t in tensors(out):
            trace.fix(t)
    network.eval()
    unseen = [names[0] for i, names in trace.names.items() if i not in trace.seen]
    if unseen:
        trace.reasons[f"what reads {', '.join(unseen[:3])}{' …' if len(unseen) > 3 else ''}"] = None
    return trace
