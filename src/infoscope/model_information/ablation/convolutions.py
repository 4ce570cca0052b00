"""How a network's convolutions stand to one another, found by running it once: who feeds whom, and what is summed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from infoscope.data.inputs import Batch
from infoscope.symmetry.trace import tensors
from infoscope.training.forward import forward

_SUMS = ("add", "iadd", "radd")


@dataclass(frozen=True)
class Convolution:
    """A convolution by its module's name.

    `kind` is `stem` for one with none before it; `residual` for one on the way around others, whose output is added to
    theirs; `1x1-before` for a 1×1 that feeds a larger one, `1x1-after` for another that a larger one feeds; else its
    kernel, such as `3x3`. `statistics` are the running statistics of the batch normalisation that takes its output.
    """

    name: str
    kind: str
    statistics: tuple[str, ...]


def convolutions(network: nn.Module, x: Batch) -> list[Convolution]:
    """The convolutions that a network in eval mode calls on these examples, in order.

    >>> net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 1), nn.BatchNorm2d(2), nn.Conv2d(2, 2, 3))
    >>> [(one.name, one.kind) for one in convolutions(net, torch.zeros(1, 3, 8, 8))]
    [('0', 'stem'), ('1', '1x1-before'), ('3', '3x3')]
    """
    flow = _Flow(network)
    with torch.no_grad(), flow:
        forward(network.eval(), x)
    found: dict[str, Convolution] = {}
    for i, call in enumerate(flow.calls):
        found.setdefault(call.module, Convolution(call.module, flow.kind(i), tuple(flow.statistics.get(i, ()))))
    return list(found.values())


@dataclass(frozen=True)
class _Call:
    """One call of a convolution: those that feed it, all before it, and how many lie on the longest way to it."""

    module: str
    kernel: tuple[int, ...]
    fed_by: frozenset[int]
    above: frozenset[int]
    depth: int

    @property
    def pointwise(self) -> bool:
        return max(self.kernel) == 1


class _Flow(TorchFunctionMode):
    """For every activation, which convolutions it comes from with none in between."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.weights = {id(p): name.rpartition(".")[0] for name, p in network.named_parameters()}
        self.buffers = {id(b): name for name, b in network.named_buffers()}
        self.calls: list[_Call] = []
        self.around: set[int] = set()
        self.statistics: dict[int, list[str]] = {}
        self._from: dict[int, frozenset[int]] = {}
        self._made: dict[int, int] = {}
        self._alive: list[Tensor] = []  # an id is a tensor's own only while it lives

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        """Run the function; what it gives comes from where its arguments come from."""
        options, name = kwargs or {}, getattr(func, "__name__", str(func)).strip("_")
        given = list(tensors((args, options)))
        known = frozenset().union(*(self._from.get(id(t), frozenset()) for t in given))
        if name in _SUMS:
            self._summed([self._from.get(id(t), frozenset()) for t in tensors(args)])
        if name == "batch_norm":
            self._normalised(given)
        result = func(*args, **options)
        weight = next((t for t in given[1:] if id(t) in self.weights and t.ndim > 2), None)
        if weight is not None and name.startswith("conv"):
            known = frozenset({self._called(weight, known)})
            self._made[id(result)] = len(self.calls) - 1
        for t in tensors(result):
            self._from[id(t)] = known
            self._alive.append(t)
        return result

    def kind(self, i: int) -> str:
        """What `Convolution` says of a call."""
        call = self.calls[i]
        if not call.fed_by:
            return "stem"
        if i in self.around:
            return "residual"
        kernel = "x".join(map(str, call.kernel))
        if call.pointwise and self._any_large(j for j, other in enumerate(self.calls) if i in other.fed_by):
            return f"{kernel}-before"
        return f"{kernel}-after" if call.pointwise and self._any_large(call.fed_by) else kernel

    def _any_large(self, calls: Iterable[int]) -> bool:
        return any(not self.calls[i].pointwise for i in calls)

    def _called(self, weight: Tensor, fed_by: frozenset[int]) -> int:
        above = fed_by.union(*(self.calls[i].above for i in fed_by))
        depth = 1 + max((self.calls[i].depth for i in fed_by), default=0)
        self.calls.append(_Call(self.weights[id(weight)], tuple(weight.shape[2:]), fed_by, above, depth))
        return len(self.calls) - 1

    def _summed(self, sides: list[frozenset[int]]) -> None:
        """Of two branches that are added, neither of which leads to the other, the shorter is the way around."""
        if len(sides) != 2:
            return
        for a in sides[0]:
            for b in sides[1]:
                first, second = self.calls[a], self.calls[b]
                if a not in second.above and b not in first.above and first.depth != second.depth:
                    self.around.add(a if first.depth < second.depth else b)

    def _normalised(self, given: list[Tensor]) -> None:
        maker = self._made.get(id(given[0]))
        if maker is not None:
            names = [self.buffers[id(t)] for t in given if id(t) in self.buffers]
            counters = [f"{name.rpartition('.')[0]}.num_batches_tracked" for name in names[:1]]
            known = set(self.buffers.values())
            self.statistics[maker] = names + [name for name in counters if name in known]
