"""What a network is made of: components by name, by glob or by kind, as slices of its parameters and buffers."""

from __future__ import annotations

import copy
import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property

import torch
from torch import Tensor, nn

from infoscope.data.inputs import Batch, each
from infoscope.model_information.convolutions import convolutions
from infoscope.symmetry.permutations import occurrences
from infoscope.symmetry.torch_rules import RULES
from infoscope.symmetry.trace import Trace
from infoscope.training.forward import forward

EACH = ":each"
"""Behind a word: a component of its own for everything that the word stands for."""

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


@dataclass(frozen=True)
class Component:
    """A part of a network under a name: slices of its parameters, and of the buffers that go with them.

    `parameters` counts what is learned in it: no buffers, and tied weights once. `fed` names running statistics of
    another module which it makes, and which go with it unless that module is reset as well.
    """

    name: str
    slices: tuple[Slice, ...]
    parameters: int
    fed: frozenset[str] = frozenset()

    def without_fed(self, names: set[str]) -> Component:
        """The component without those of its fed statistics that have these names."""
        kept = tuple(one for one in self.slices if one.name not in self.fed & names)
        return dataclasses.replace(self, slices=kept, fed=self.fed - names)


Chosen = Sequence[str | Component]
"""Components, or words for them: a kind, a module or a glob of modules and tensors, each with or without `:each`."""


@dataclass(frozen=True, eq=False)
class Components:
    """The components of a network, which runs once on some examples where its dataflow is asked for.

    Kinds are found by what modules are and by what is computed, not by names: `blocks` (parts that are repeated),
    `fc` (linear layers outside of blocks), `embeddings`; of convolutions `stem`, `1x1-before`, `3x3`, `1x1-after`,
    `residual` (see `Convolution`), with the statistics of the batch normalisation behind them; of attention `heads`
    (rows of what makes queries, keys and values, columns of what reads them), `layers` (blocks that attend) and `mlps`
    (what else multiplies in them). A word stands for one component of all that it finds, with `:each` for one of each.

    >>> net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    >>> [(c.name, c.parameters) for c in Components(net, torch.zeros(2, 3)).choose(["fc:each"])]
    [('0', 16), ('2', 10)]
    """

    network: nn.Module
    x: Batch

    def choose(self, words: Chosen = ()) -> tuple[Component, ...]:
        """The components that these words stand for; without words every block, and every layer outside of blocks.

        A ValueError says what there is where a word finds nothing, and what is shared where two components overlap.
        """
        given = list(words) or self._parts()
        chosen = tuple(c for word in given for c in ([self._own(word)] if isinstance(word, Component) else
                                                     self._meant(word)))  # fmt: skip
        held = [{one.name for one in c.slices if one.name not in c.fed} for c in chosen]
        chosen = tuple(c.without_fed(set().union(*held[:i], *held[i + 1 :])) for i, c in enumerate(chosen))
        self._check_apart(chosen)
        return chosen

    @property
    def parameters(self) -> int:
        """How many the network has in all; tied ones once."""
        return sum(p.numel() for p in self.network.parameters())

    def joined(self, name: str, parts: Iterable[Component]) -> Component:
        """One component of several."""
        given = list(parts)
        slices = tuple(dict.fromkeys(one for part in given for one in part.slices))
        return Component(name, slices, self._count(slices), frozenset().union(*(part.fed for part in given)))

    def _meant(self, word: str) -> list[Component]:
        name, apart = word.removesuffix(EACH), word.endswith(EACH)
        found = list(self.of_kind(name)) or self._matching(name)
        if not found:
            raise ValueError(
                f"no component of {type(self.network).__name__} is meant by {word!r}; there are {self._choice()}; "
                f"add {EACH} for one component of each"
            )
        return found if apart else [self.joined(name, found)]

    def of_kind(self, kind: str) -> tuple[Component, ...]:
        """What the network has of a kind; nothing where it has none, or where there is no such kind."""
        match kind:
            case "blocks":
                return tuple(map(self._module, self._blocks))
            case "layers":
                return tuple(map(self._module, self._layers))
            case "heads":
                return self._heads
            case "mlps":
                return tuple(mlp for layer in self._layers if (mlp := self._mlp(layer)).slices)
            case "embeddings":
                return tuple(self._module(name) for name in self._of_type(nn.Embedding, nn.EmbeddingBag))
            case "fc":
                taken = (*(f"{block}." for block in self._blocks), *(f"{name}." for name in self._attention))
                return tuple(self._module(n) for n in self._of_type(nn.Linear) if not f"{n}.".startswith(taken))
        return tuple(
            dataclasses.replace(
                self._whole(one.name, [*self._under(one.name), *one.statistics]), fed=frozenset(one.statistics)
            )
            for one in self._convolutions
            if one.kind == kind
        )

    def kinds(self) -> dict[str, int]:
        """How many components the network has of each kind."""
        static = ("blocks", "layers", "heads", "mlps", "embeddings", "fc")
        dynamic = dict.fromkeys(one.kind for one in self._convolutions)
        counted = {kind: len(self.of_kind(kind)) for kind in (*static, *dynamic)}
        return {kind: n for kind, n in counted.items() if n}

    def _choice(self) -> str:
        kinds = ", ".join(f"{kind} ({n})" for kind, n in self.kinds().items())
        names = [name for name in self._modules if self._under(name)]
        told = ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
        why = f" (heads could not be followed through {', '.join(self._lost)})" if self._lost else ""
        return f"the kinds {kinds or 'none'}{why}, and the modules {told or 'none'}"

    def _matching(self, glob: str) -> list[Component]:
        """The outermost modules that a glob matches, and the tensors that lie in none of them."""
        modules = [name for name in self._modules if fnmatchcase(name, glob) and self._under(name)]
        outer = [name for name in modules if not any(name.startswith(f"{other}.") for other in modules)]
        within = tuple(f"{name}." for name in outer)
        tensors = [name for name in self._state if fnmatchcase(name, glob) and not name.startswith(within)]
        return [*map(self._module, outer), *(self._whole(name, [name]) for name in tensors)]

    def _parts(self) -> list[str | Component]:
        """Every block, and what lies outside of them module by module, in the order of the weights."""
        blocks = self._blocks
        owners = dict.fromkeys(
            next((block for block in blocks if name.startswith(f"{block}.")), name.rpartition(".")[0] or name)
            for name in self._state
            if name in self._learned
        )
        parts, taken = [], set[str]()
        for owner in owners:
            part = self._module(owner) if owner in self._modules else self._whole(owner, [owner])
            if not taken & {one.name for one in part.slices}:  # tied weights go with the first
                parts.append(part)
            taken |= {one.name for one in part.slices}
        return parts

    def _own(self, given: Component) -> Component:
        """A component of the caller's, which must fit."""
        for one in given.slices:
            shape = self._state[one.name].shape if one.name in self._state else None
            if shape is None or (one.axis is not None and max(one.positions, default=0) >= shape[one.axis]):
                raise ValueError(f"the component {given.name!r} names {one}, which {type(self.network).__name__} lacks")
        return self.joined(given.name, [given])

    def _check_apart(self, chosen: Sequence[Component]) -> None:
        owner: dict[str, Tensor] = {}
        for i, component in enumerate(chosen, start=1):
            for one in component.slices:
                taken = owner.setdefault(one.name, torch.zeros(self._state[one.name].shape, dtype=torch.int32))
                others = one.take(taken)
                if bool((clash := others[(others > 0) & (others != i)]).numel()):
                    other = chosen[int(clash.flatten()[0]) - 1]
                    raise ValueError(
                        f"the components {other.name!r} and {component.name!r} both hold {one.name}; components must "
                        "not overlap: choose one of them, or ask for each by itself"
                    )
                owner[one.name] = one.put(taken, torch.full_like(taken, i))

    def _module(self, name: str) -> Component:
        return self._whole(name, self._under(name))

    def _under(self, module: str) -> list[str]:
        return [name for name in self._state if name.startswith(f"{module}.")]

    def _whole(self, name: str, tensors: Iterable[str]) -> Component:
        """A component of whole tensors, under all the names of those that are tied."""
        every = dict.fromkeys(other for tensor in tensors for other in self._tied[tensor])
        slices = tuple(Slice(tensor) for tensor in self._state if tensor in every)
        return Component(name, slices, self._count(slices))

    def _count(self, slices: Iterable[Slice]) -> int:
        marked: dict[str, Tensor] = {}
        for one in slices:
            first = self._tied[one.name][0]
            if first in self._learned:
                mask = marked.setdefault(first, torch.zeros(self._state[first].shape, dtype=torch.bool))
                marked[first] = one.put(mask, torch.ones_like(mask))
        return sum(int(mask.sum()) for mask in marked.values())

    def _mlp(self, layer: str) -> Component:
        leaves = [
            name
            for name, module in self._modules.items()
            if name.startswith(f"{layer}.") and not any(True for _ in module.children())
            and not f"{name}.".startswith(tuple(f"{a}." for a in self._attention))
            and any(p.ndim > 1 for p in module.parameters())
        ]  # fmt: skip
        return self._whole(f"{layer}.mlp", [tensor for leaf in leaves for tensor in self._under(leaf)])

    def _of_type(self, *types: type[nn.Module]) -> list[str]:
        return [name for name, module in self._modules.items() if isinstance(module, types)]

    @cached_property
    def _modules(self) -> dict[str, nn.Module]:
        return {name: module for name, module in self.network.named_modules() if name}

    @cached_property
    def _state(self) -> Mapping[str, Tensor]:
        return self.network.state_dict(keep_vars=True)

    @cached_property
    def _learned(self) -> set[str]:
        return {name for name, _ in self.network.named_parameters(remove_duplicate=False)}

    @cached_property
    def _tied(self) -> dict[str, list[str]]:
        """All names of the tensor that has this name."""
        by_tensor: dict[int, list[str]] = defaultdict(list)
        for name, tensor in self._state.items():
            by_tensor[id(tensor)].append(name)
        return {name: by_tensor[id(tensor)] for name, tensor in self._state.items()}

    @cached_property
    def _blocks(self) -> list[str]:
        """Children of containers that have children with weights themselves, the innermost, and no mere containers.

        In an `nn.Sequential` they count if there are several of their type in the network.
        """
        inside = [
            (name, module, isinstance(parent, nn.ModuleList))
            for path, parent in self._modules.items() | {"": self.network}.items()
            if isinstance(parent, _CONTAINERS)
            for child, module in parent.named_children()
            if not isinstance(module, (*_CONTAINERS, nn.MultiheadAttention)) and _is_composite(module)
            for name in [f"{path}.{child}".removeprefix(".")]
        ]
        types = [type(module) for _, module, _ in inside]
        found = {name for name, module, listed in inside if listed or types.count(type(module)) > 1}
        return [n for n in self._modules if n in found and not any(o.startswith(f"{n}.") for o in found)]

    @cached_property
    def _convolutions(self):
        if not any(p.ndim > 2 for p in self.network.parameters()):
            return []
        return convolutions(copy.deepcopy(self.network), self.x)

    @cached_property
    def _layers(self) -> list[str]:
        return [block for block in self._blocks if any(name.startswith(f"{block}.") for name in self._attention)]

    @cached_property
    def _attention(self) -> list[str]:
        """The modules that hold weights of heads."""
        names = dict.fromkeys(one.name.rpartition(".")[0] for head in self._heads for one in head.slices)
        return [name for name in names if name]

    @cached_property
    def _trace(self) -> Trace:
        """One run with the units of heads followed; a cache of keys, which would part them from their maker, is off."""
        copied = copy.deepcopy(self.network).cpu().double().eval().requires_grad_(False)
        if getattr(getattr(copied, "config", None), "use_cache", False):
            copied.config.use_cache = False  # pyright: ignore[reportAttributeAccessIssue]
        trace = Trace(copied, RULES)
        with torch.no_grad(), trace:
            forward(copied, each(self.x, lambda t: t.double() if t.is_floating_point() else t))
        return trace

    @property
    def _lost(self) -> list[str]:
        """What attention could not be followed through, where there seems to be some."""
        attends = {"scaled_dot_product_attention", "softmax", "multi_head_attention_forward"}
        return sorted(attends & set(self._trace.reasons))

    @cached_property
    def _heads(self) -> tuple[Component, ...]:
        trace = self._trace
        where, names = occurrences(trace, trace.units), {own[0]: own for own in trace.names.values()}
        found = []
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
                found.append(Component(f"{_common([s.name for s in slices])}head{h}", slices, self._count(slices)))
        return tuple(found)


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
