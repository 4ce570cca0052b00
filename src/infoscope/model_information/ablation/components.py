"""What a network is made of: components by name, by glob or by kind, as slices of its parameters and buffers."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property

import torch
from torch import Tensor, nn

from infoscope.data.inputs import Batch
from infoscope.model_information.ablation.anatomy import Anatomy, Slice

EACH = ":each"
"""Behind a word: a component of its own for everything that the word stands for."""


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
                return tuple(map(self._module, self._anatomy.blocks))
            case "layers":
                return tuple(map(self._module, self._anatomy.layers))
            case "heads":
                return tuple(Component(name, head, self._count(head)) for name, head in self._anatomy.heads.items())
            case "mlps":
                return tuple(mlp for layer in self._anatomy.layers if (mlp := self._mlp(layer)).slices)
            case "embeddings":
                return tuple(self._module(name) for name in self._anatomy.of_type(nn.Embedding, nn.EmbeddingBag))
            case "fc":
                taken = (
                    *(f"{block}." for block in self._anatomy.blocks),
                    *(f"{name}." for name in self._anatomy.attention),
                )
                return tuple(self._module(n) for n in self._anatomy.of_type(nn.Linear) if not f"{n}.".startswith(taken))
        return tuple(
            dataclasses.replace(
                self._whole(one.name, [*self._anatomy.under(one.name), *one.statistics]), fed=frozenset(one.statistics)
            )
            for one in self._anatomy.convolutions
            if one.kind == kind
        )

    def kinds(self) -> dict[str, int]:
        """How many components the network has of each kind."""
        static = ("blocks", "layers", "heads", "mlps", "embeddings", "fc")
        dynamic = dict.fromkeys(one.kind for one in self._anatomy.convolutions)
        counted = {kind: len(self.of_kind(kind)) for kind in (*static, *dynamic)}
        return {kind: n for kind, n in counted.items() if n}

    def _choice(self) -> str:
        kinds = ", ".join(f"{kind} ({n})" for kind, n in self.kinds().items())
        names = [name for name in self._anatomy.modules if self._anatomy.under(name)]
        told = ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
        why = f" (heads could not be followed through {', '.join(self._anatomy.lost)})" if self._anatomy.lost else ""
        return f"the kinds {kinds or 'none'}{why}, and the modules {told or 'none'}"

    def _matching(self, glob: str) -> list[Component]:
        """The outermost modules that a glob matches, and the tensors that lie in none of them."""
        modules = [name for name in self._anatomy.modules if fnmatchcase(name, glob) and self._anatomy.under(name)]
        outer = [name for name in modules if not any(name.startswith(f"{other}.") for other in modules)]
        within = tuple(f"{name}." for name in outer)
        tensors = [name for name in self._anatomy.state if fnmatchcase(name, glob) and not name.startswith(within)]
        return [*map(self._module, outer), *(self._whole(name, [name]) for name in tensors)]

    def _parts(self) -> list[str | Component]:
        """Every block, and what lies outside of them module by module, in the order of the weights."""
        owners = dict.fromkeys(self._owner(name) for name in self._anatomy.state if name in self._anatomy.learned)
        parts, taken = [], set[str]()
        for owner in owners:
            part = self._module(owner) if owner in self._anatomy.modules else self._whole(owner, [owner])
            if not taken & {one.name for one in part.slices}:  # tied weights go with the first
                parts.append(part)
            taken |= {one.name for one in part.slices}
        return parts

    def _owner(self, tensor: str) -> str:
        """The block of a tensor, else its module; itself where blocks lie below that module too."""
        blocks, module = self._anatomy.blocks, tensor.rpartition(".")[0]
        block = next((block for block in blocks if tensor.startswith(f"{block}.")), None)
        return block or (tensor if any(one.startswith(f"{module}.") for one in blocks) else module) or tensor

    def _own(self, given: Component) -> Component:
        """A component of the caller's, which must fit."""
        for one in given.slices:
            shape = self._anatomy.state[one.name].shape if one.name in self._anatomy.state else None
            if shape is None or (one.axis is not None and max(one.positions, default=0) >= shape[one.axis]):
                raise ValueError(f"the component {given.name!r} names {one}, which {type(self.network).__name__} lacks")
        return self.joined(given.name, [given])

    def _check_apart(self, chosen: Sequence[Component]) -> None:
        owner: dict[str, Tensor] = {}
        for i, component in enumerate(chosen, start=1):
            for one in component.slices:
                taken = owner.setdefault(one.name, torch.zeros(self._anatomy.state[one.name].shape, dtype=torch.int32))
                others = one.take(taken)
                if bool((clash := others[(others > 0) & (others != i)]).numel()):
                    other = chosen[int(clash.flatten()[0]) - 1]
                    raise ValueError(
                        f"the components {other.name!r} and {component.name!r} both hold {one.name}; components must "
                        "not overlap: choose one of them, or ask for each by itself"
                    )
                owner[one.name] = one.put(taken, torch.full_like(taken, i))

    def _module(self, name: str) -> Component:
        return self._whole(name, self._anatomy.under(name))

    def _whole(self, name: str, tensors: Iterable[str]) -> Component:
        """A component of whole tensors, under all the names of those that are tied."""
        every = dict.fromkeys(other for tensor in tensors for other in self._anatomy.tied[tensor])
        slices = tuple(Slice(tensor) for tensor in self._anatomy.state if tensor in every)
        return Component(name, slices, self._count(slices))

    def _count(self, slices: Iterable[Slice]) -> int:
        marked: dict[str, Tensor] = {}
        for one in slices:
            first = self._anatomy.tied[one.name][0]
            if first in self._anatomy.learned:
                mask = marked.setdefault(first, torch.zeros(self._anatomy.state[first].shape, dtype=torch.bool))
                marked[first] = one.put(mask, torch.ones_like(mask))
        return sum(int(mask.sum()) for mask in marked.values())

    def _mlp(self, layer: str) -> Component:
        leaves = [
            name
            for name, module in self._anatomy.modules.items()
            if name.startswith(f"{layer}.") and not any(True for _ in module.children())
            and not f"{name}.".startswith(tuple(f"{a}." for a in self._anatomy.attention))
            and any(p.ndim > 1 for p in module.parameters())
        ]  # fmt: skip
        return self._whole(f"{layer}.mlp", [tensor for leaf in leaves for tensor in self._anatomy.under(leaf)])

    @cached_property
    def _anatomy(self) -> Anatomy:
        return Anatomy(self.network, self.x)
