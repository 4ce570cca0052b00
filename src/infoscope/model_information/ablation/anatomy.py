"""What a network is made of, by what its modules are and by what is computed: blocks, heads, convolutions, ties."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from infoscope.data.inputs import Batch
from infoscope.model_information.ablation.convolutions import Convolution, convolutions
from infoscope.symmetry.permutations import occurrences
from infoscope.symmetry.torch_rules import RULES
from infoscope.symmetry.trace import Trace
from infoscope.training.forward import forward
from infoscope.training.learner import copy_network

ATTENTION = {"scaled_dot_product_attention", "multi_head_attention_forward"}
"""Functions that do nothing else than attend."""

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


@dataclass(frozen=True)
class Slice:
    """A tensor of a state dict, or what stands at some positions of one of its axes.

    >>> Slice("w", 1, (0, 2)).put(torch.zeros(1, 3), torch.ones(1, 3))
    tensor([[1., 0., 1.]])
    """

    name: str
    axis: int | None = None
    positions: tuple[int, ...] = ()

    def put(self, old: Tensor, new: Tensor) -> Tensor:
        """`old` with what `new`, of the same shape, has in this slice."""
        return self.write(old, self.take(new))

    def write(self, old: Tensor, values: Tensor) -> Tensor:
        """`old` with these values in this slice."""
        values = values.to(old)
        return values.clone() if self.axis is None else old.index_copy(self.axis, torch.tensor(self.positions), values)

    def take(self, tensor: Tensor) -> Tensor:
        """What stands in this slice."""
        return tensor if self.axis is None else tensor.index_select(self.axis, torch.tensor(self.positions))


@dataclass(frozen=True, eq=False)
class Anatomy:
    """The parts of a network, by names of modules and tensors; it runs on `x` where its dataflow is asked for."""

    network: nn.Module
    x: Batch

    def under(self, module: str) -> list[str]:
        """The tensors of a module."""
        return [name for name in self.state if name.startswith(f"{module}.")]

    def of_type(self, *types: type[nn.Module]) -> list[str]:
        """The modules of these types."""
        return [name for name, module in self.modules.items() if isinstance(module, types)]

    @cached_property
    def modules(self) -> dict[str, nn.Module]:
        """All but the network itself."""
        return {name: module for name, module in self.network.named_modules() if name}

    @cached_property
    def state(self) -> Mapping[str, Tensor]:
        """Parameters and buffers, themselves."""
        return self.network.state_dict(keep_vars=True)

    @cached_property
    def learned(self) -> set[str]:
        """The names of parameters."""
        return {name for name, _ in self.network.named_parameters(remove_duplicate=False)}

    @cached_property
    def tied(self) -> dict[str, list[str]]:
        """All names of the tensor that has this name."""
        by_tensor: dict[int, list[str]] = defaultdict(list)
        for name, tensor in self.state.items():
            by_tensor[id(tensor)].append(name)
        return {name: by_tensor[id(tensor)] for name, tensor in self.state.items()}

    @cached_property
    def blocks(self) -> list[str]:
        """Children of containers that have children with weights themselves, the innermost, and no mere containers.

        In an `nn.Sequential` they count if there are several of their type in the network.
        """
        inside = [
            (name, module, isinstance(parent, nn.ModuleList))
            for path, parent in self.modules.items() | {"": self.network}.items()
            if isinstance(parent, _CONTAINERS)
            for child, module in parent.named_children()
            if not isinstance(module, (*_CONTAINERS, nn.MultiheadAttention)) and _is_composite(module)
            for name in [f"{path}.{child}".removeprefix(".")]
        ]
        types = [type(module) for _, module, _ in inside]
        found = {name for name, module, listed in inside if listed or types.count(type(module)) > 1}
        return [n for n in self.modules if n in found and not any(o.startswith(f"{n}.") for o in found)]

    @cached_property
    def convolutions(self) -> list[Convolution]:
        """Those that are called, with their kinds."""
        if not any(p.ndim > 2 for p in self.network.parameters()):
            return []
        return convolutions(copy.deepcopy(self.network), self.x)

    @cached_property
    def layers(self) -> list[str]:
        """The blocks that attend."""
        return [block for block in self.blocks if any(name.startswith(f"{block}.") for name in self.attention)]

    @cached_property
    def attention(self) -> list[str]:
        """The modules that hold weights of heads."""
        names = dict.fromkeys(one.name.rpartition(".")[0] for head in self.heads.values() for one in head)
        return [name for name in names if name]

    @cached_property
    def _called(self) -> _Attention:
        return _Attention()

    @cached_property
    def _trace(self) -> Trace:
        """One run with the units of heads followed; a cache of keys, which would part them from their maker, is off."""
        copied = copy_network(self.network).eval()
        for parameter in copied.parameters():  # a scripted network has no `requires_grad_`
            parameter.requires_grad_(False)
        if getattr(getattr(copied, "config", None), "use_cache", False):
            copied.config.use_cache = False  # pyright: ignore[reportAttributeAccessIssue, reportArgumentType]
        trace = Trace(copied, RULES)
        with torch.no_grad(), self._called, trace:
            forward(copied, self.x)
        return trace

    @property
    def lost(self) -> list[str]:
        """What attention could not be followed through, where there seems to be some."""
        trace = self._trace
        return sorted(
            ({"softmax"} | ATTENTION) & set(trace.reasons) | (set() if trace.attended else self._called.names)
        )

    @cached_property
    def heads(self) -> dict[str, tuple[Slice, ...]]:
        """Rows of what makes a head's queries, keys and values, and columns of what reads them."""
        trace = self._trace
        where, names = occurrences(trace, trace.units), {own[0]: own for own in trace.names.values()}
        found = {}
        for queries, values in trace.attended:
            for h, (q, v) in enumerate(zip(queries.tolist(), values.tolist(), strict=True)):
                roots = dict.fromkeys(trace.units.find(i) for i in (*q, *v))
                if not all(root in where for root in roots):
                    continue
                at: dict[tuple[str, int], set[int]] = defaultdict(set)
                for root in roots:
                    for key, positions in where[root].items():
                        at[key] |= set(positions)
                slices = tuple(Slice(n, axis, tuple(sorted(p))) for (name, axis), p in at.items() for n in names[name])
                found[f"{_common([one.name for one in slices])}head{h}"] = slices
        return found


class _Attention(TorchFunctionMode):
    """Takes note of which functions that attend are called, whether what they are given could be followed or not."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        """Run the function, and note its name."""
        self.names |= {getattr(func, "__name__", "")} & ATTENTION
        return func(*args, **(kwargs or {}))


def _is_composite(module: nn.Module) -> bool:
    return any(any(True for _ in child.parameters()) for child in module.children())


def _common(names: Sequence[str]) -> str:
    """What dotted names begin with, with its dot.

    >>> _common(["layer.0.q.weight", "layer.0.v.weight"])
    'layer.0.'
    """
    parts = [name.split(".") for name in names]
    same = 0
    while all(len(p) > same + 1 and p[same] == parts[0][same] for p in parts):
        same += 1
    return "".join(f"{part}." for part in parts[0][:same])
