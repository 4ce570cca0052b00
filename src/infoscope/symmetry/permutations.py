"""Groups of interchangeable hidden units of any network, found by running it once with its units tagged."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor, nn

from infoscope.symmetry.torch_rules import RULES
from infoscope.symmetry.trace import FIXED, READ, Classes, Trace, tensors, traced
from infoscope.training.learner import Weights

Permutation = Int[Tensor, " _units"]
"""Unit u of the result is unit p[u] of the original."""

_SAME = 1e-8


@dataclass(frozen=True)
class Place:
    """Where units stand in one weight: unit u at `positions[u]` along `axis`, one or several (after a flattening).

    `power` is that of a unit's scale with which the weight grows there: 1 where the unit is made, −1 where it is read.
    """

    name: str
    axis: int
    positions: Int[Tensor, "units repeats"]
    power: int = 1


@dataclass(frozen=True)
class Group:
    """Units that may change places among themselves without a change of the function.

    A unit may be a head of attention, which moves with all its places; they are then units of groups of their own,
    further on in the list.
    """

    places: tuple[Place, ...]

    @property
    def size(self) -> int:
        """How many units."""
        return len(self.places[0].positions)

    def permuted(self, weights: Weights, permutation: Permutation) -> dict[str, Tensor]:
        """The weights (of one network) after their units have changed places."""
        moved = dict(weights)
        for place in self.places:
            old = moved[place.name]
            index = torch.arange(old.shape[place.axis])
            index[place.positions.flatten()] = place.positions[permutation].flatten()
            moved[place.name] = old.index_select(place.axis, index.to(old.device))
        return moved


@dataclass(frozen=True)
class Groups:
    """All groups of a network, and in words what was left where it is."""

    groups: tuple[Group, ...]
    fixed: tuple[str, ...] = ()

    def __iter__(self):
        return iter(self.groups)

    def __len__(self) -> int:
        return len(self.groups)

    def random(self, seed: int) -> tuple[Permutation, ...]:
        """One uniform permutation a group."""
        draws = torch.Generator().manual_seed(seed)
        return tuple(torch.randperm(group.size, generator=draws) for group in self.groups)

    def permuted(self, weights: Weights, permutations: Sequence[Permutation]) -> dict[str, Tensor]:
        """The same function with its units in other places."""
        moved = dict(weights)
        for group, permutation in zip(self.groups, permutations, strict=True):
            moved = group.permuted(moved, permutation)
        return moved


def permutation_groups(network: nn.Module, example: Tensor | Sequence[int]) -> Groups:
    """Which hidden units of this network are interchangeable, and all the places in its weights where each stands.

    The network runs on an `example` (a batch, or the shape of one input) with every unit tagged. Tags are followed
    through linear layers, embeddings and convolutions (depthwise too), normalisations, activations, pooling,
    flattening, sums (residual connections tie units), concatenations, paddings, slices and attention, whose heads are
    a group, as are the places of queries with keys, and those of values, inside of each head. What enters any other
    function keeps its place, and `fixed` names the function. The groups are then tried: units of a copy with random
    weights change places, and a group that changes the output in eval mode is given up.

    >>> network = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2))
    >>> [(place.name, place.axis) for group in permutation_groups(network, (3,)) for place in group.places]
    [('0.weight', 0), ('0.bias', 0), ('2.weight', 1)]
    """
    tried, x = trial(network, example)
    trace = traced(tried, x, RULES)
    groups = [*_heads(trace), *_exchangeable(trace)]  # heads first: what moves inside of them moves with them
    weights = tried.state_dict()
    good = holding(groups, lambda some: same_function(tried, x, _shuffled(some, weights)))
    reasons = [f"{name} is not followed: units that enter it keep their places" for name in trace.reasons]
    if len(good) < len(groups):
        reasons.append(
            f"{len(groups) - len(good)} groups changed the output when they were tried and keep their places"
        )
    return Groups(tuple(good), tuple(reasons))


def trial(network: nn.Module, example: Tensor | Sequence[int]) -> tuple[nn.Module, Tensor]:
    """A copy in float64 and eval mode whose weights all differ, and an input for it."""
    tried = copy.deepcopy(network).cpu().double().eval().requires_grad_(False)
    draws = torch.Generator().manual_seed(0)
    for name, value in [*tried.named_parameters(), *tried.named_buffers()]:
        if value.is_floating_point():
            noise = torch.randn(value.shape, generator=draws, dtype=value.dtype)
            new = value * (1 + 0.3 * noise) + 0.05 * noise
            value.copy_(new.abs() + 0.5 if name.endswith("running_var") else new)
    x = example if isinstance(example, Tensor) else torch.randn(2, *example, generator=draws)
    return tried, x.double().cpu() if x.is_floating_point() else x.cpu()


def same_function(network: nn.Module, x: Tensor, weights: Weights, tolerance: float = _SAME) -> bool:
    """Whether the network with these weights puts out what it does with its own, to rounding."""
    with torch.no_grad():
        before = list(tensors(network(x)))
        after = list(tensors(torch.func.functional_call(network, dict(weights), (x,), tie_weights=False)))
    return all(
        bool((a - b).abs().max() <= tolerance * b.abs().max()) for a, b in zip(after, before, strict=True) if b.numel()
    )


def holding(groups: Sequence[Group], hold: Callable[[Sequence[Group]], bool]) -> list[Group]:
    """The groups that hold, tried all at once, and one by one only if not all do."""
    return list(groups) if hold(groups) else [group for group in groups if hold([group])]


def occurrences(trace: Trace, classes: Classes) -> dict[int, dict[tuple[str, int], list[int]]]:
    """Class → weight and axis → the positions where it stands, in order; the fixed class left out."""
    found: dict[int, dict[tuple[str, int], list[int]]] = defaultdict(lambda: defaultdict(list))
    fixed = classes.find(FIXED)
    for key, ids in trace.axes.items():
        for position, i in enumerate(ids.tolist()):
            root = classes.find(i)
            if root != fixed:
                found[root][key].append(position)
    return found


def places(trace: Trace, units: Sequence[Mapping[tuple[str, int], list[int]]]) -> tuple[Place, ...]:
    """The places of units that stand in the same weights; a tied weight has one under each of its names."""
    names = {own[0]: own for own in trace.names.values()}
    return tuple(
        Place(name, axis, torch.tensor([unit[first, axis] for unit in units]), trace.powers[first, axis])
        for first, axis in units[0]
        for name in names[first]
    )


def _exchangeable(trace: Trace) -> list[Group]:
    """Units that were made, changed and read by the same calls, and stand in the same weights equally often.

    A unit that no weight reads is no hidden unit: it left the network, by a way that nobody saw perhaps. Queries and
    keys read each other.
    """
    read = {trace.units.find(i) for queries, _ in trace.attended for i in queries.ravel().tolist()}
    marks: dict[int, set[Hashable]] = defaultdict(set)
    for mark, ids in trace.marks:
        for i in {i for i in ids.tolist() if i > FIXED}:
            marks[trace.units.find(i)].add(mark)
    alike: dict[object, list[Mapping[tuple[str, int], list[int]]]] = defaultdict(list)
    for root, where in occurrences(trace, trace.units).items():
        if root in read or any(trace.powers[key] == READ for key in where):
            alike[frozenset(marks[root]), tuple((key, len(at)) for key, at in where.items())].append(where)
    return [Group(places(trace, units)) for units in alike.values() if len(units) > 1]


def _heads(trace: Trace) -> list[Group]:
    """Heads of attention that move as wholes: the places of their queries, keys and values, in the order they have."""
    where = occurrences(trace, trace.units)
    found: dict[tuple[tuple[int, ...], ...], Group] = {}
    for queries, values in trace.attended:
        heads = [
            tuple(dict.fromkeys(trace.units.find(i) for i in (*q, *v)))
            for q, v in zip(queries.tolist(), values.tolist(), strict=True)
        ]
        every = [root for head in heads for root in head]
        if len(heads) < 2 or len(set(every)) < len(every) or not all(root in where for root in every):
            continue
        units = [_together(where, head) for head in heads]
        forms = [{key: len(at) for key, at in unit.items()} for unit in units]
        if all(form == forms[0] for form in forms) and any(trace.powers[key] == READ for key in forms[0]):
            found[tuple(heads)] = Group(places(trace, units))
    return list(found.values())


def _together(
    where: Mapping[int, Mapping[tuple[str, int], list[int]]], roots: Sequence[int]
) -> dict[tuple[str, int], list[int]]:
    """The positions of all units of a head, weight by weight."""
    found: dict[tuple[str, int], list[int]] = defaultdict(list)
    for root in roots:
        for key, at in where[root].items():
            found[key] += at
    return found


def _shuffled(groups: Sequence[Group], weights: Weights) -> dict[str, Tensor]:
    """The weights after the units of these groups were shuffled, none of which keeps its place."""
    return Groups(tuple(groups)).permuted(weights, [torch.arange(group.size).roll(1) for group in groups])
