"""Permutation alignment: the units of one network put in the order of another's."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

import torch
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from infoscope.ensembles.stacked_weights import (
    Networks,
    Parameters,
    StackedWeights,
    TrainedNetworks,
    choose,
    member,
    members,
    stack,
)
from infoscope.symmetry.permutations import Group, Groups, Permutation, Place
from infoscope.training.learner import Weights

_PASSES = 100


@dataclass(frozen=True)
class Alignment:
    """A network after its units changed places to lie as near as was found to a reference; its function is the same.

    `before` and `after` are the Euclidean distances to the reference; `start` says which start led there.
    """

    weights: dict[str, Tensor]
    permutations: tuple[Permutation, ...]
    before: float
    after: float
    start: str


def align(
    reference: Weights,
    other: Weights,
    groups: Groups,
    *,
    parameters: Parameters = None,
    restarts: int = 0,
    seed: int = 0,
) -> Alignment:
    """The permutation of `other`'s hidden units that brings its weights near to the `reference`'s.

    Weight matching (Ainsworth, Hayase & Srinivasa 2023, algorithm 1): one group of units at a time is assigned
    optimally given the others, until nothing improves. That ends in a local optimum, from the order as it is even
    for a permuted copy of a narrow network. So a second start matches what permutations can't hide: groups in turn,
    the best known first, by their weights to fixed or already matched units as they are, and by the others sorted. It
    finds the permutation of an exact copy unless units are equal. The nearest end wins; `restarts` adds random starts.

    >>> from torch import nn
    >>> from infoscope.symmetry import permutation_groups
    >>> network = nn.Sequential(nn.Linear(3, 50), nn.ReLU(), nn.Linear(50, 50), nn.ReLU(), nn.Linear(50, 2))
    >>> groups = permutation_groups(network, (3,))
    >>> copy = groups.permuted(network.state_dict(), groups.random(seed=1))
    >>> align(network.state_dict(), copy, groups).after
    0.0
    """
    names = choose(other, parameters).names
    _check_fit(reference, other, groups, names)
    matching = _Matching(groups, reference, frozenset(names))
    identity = tuple(torch.arange(group.size) for group in groups)
    before = matching.distance(other)
    starts: dict[str, Callable[[], tuple[Permutation, ...]]] = {
        "sorted": lambda: matching.sorted_start(other),
        "as it is": lambda: identity,
        **{f"random {i}": partial(groups.random, seed + i) for i in range(restarts)},
    }
    best: Alignment | None = None
    for start, first in starts.items():
        if best is not None and best.after == 0:
            break
        permutations = matching.descend(other, first(), seed)
        weights = groups.permuted(other, permutations)
        after = matching.distance(weights)
        if best is None or after < best.after:
            best = Alignment(weights, permutations, before, after, start)
    assert best is not None  # there are two starts at least
    return best


def nearer(
    reference: Weights, other: Weights, groups: Groups, start: tuple[Permutation, ...], names: tuple[str, ...]
) -> tuple[Permutation, ...]:
    """From permutations that are known already to such as bring the other network no farther from the reference."""
    return _Matching(groups, reference, frozenset(names)).descend(other, start, 0)


def align_all(
    weights: StackedWeights, groups: Groups, reference: Weights | None = None, **options
) -> dict[str, Tensor]:
    """Stacked networks, each aligned to the reference (one network's weights; the first of them unless given)."""
    to = member(weights, 0) if reference is None else reference
    return stack([align(to, member(weights, i), groups, **options).weights for i in range(members(weights))])


def aligned_ends(population: TrainedNetworks, groups: Groups, **options) -> Networks:
    """The same networks, the final weights of each aligned to its own initial ones; snapshots are left out.

    What is left of a distance then is not a change of places. Training moves little enough that it rarely is.
    """
    ends = [
        align(member(population.initial, i), member(population.weights, i), groups, **options).weights
        for i in range(len(population.names))
    ]
    return Networks(
        population.initial, stack(ends), tuple(population.names), tuple(population.seeds), {}, population.losses
    )


@dataclass(frozen=True)
class _Matching:
    """The groups, the reference, and the names of the weights that count."""

    groups: Groups
    reference: Weights
    counted: frozenset[str]

    def distance(self, weights: Weights) -> float:
        """Euclidean, over the weights that count."""
        return sum(float(_squares(self.reference[k], weights[k])) for k in sorted(self.counted)) ** 0.5

    def descend(self, other: Weights, start: tuple[Permutation, ...], seed: int) -> tuple[Permutation, ...]:
        """Coordinate descent over groups, in a new random order each pass, until no group improves."""
        draws = torch.Generator().manual_seed(seed)
        found, moved = list(start), self.groups.permuted(other, start)
        for _ in range(_PASSES):
            better = False
            for i in torch.randperm(len(found), generator=draws).tolist():
                group = self.groups.groups[i]
                turn = _assigned(sum(self._similarity(place, moved) for place in self._places(group)))
                tried = group.permuted(moved, turn)
                if self._gain(group, moved, tried) > 0:
                    self._turn(found, i, turn)
                    moved, better = tried, True
            if not better:
                break
        return tuple(found)

    def sorted_start(self, other: Weights) -> tuple[Permutation, ...]:
        """Groups in turn, the one with most weights to matched units first; what is not matched yet is sorted."""
        found = {i: torch.arange(group.size) for i, group in enumerate(self.groups)}
        moved, left = dict(other), set(found)
        while left:
            free = [j for j in left if not self._within(j, left)]
            i = max(free, key=lambda j: self._known(j, left))
            group = self.groups.groups[i]
            turn = _assigned(
                sum(
                    self._similarity(place, moved, self._hidden(place, left), i in self.heads)
                    for place in self._places(group)
                )
            )
            found[i], moved = turn, group.permuted(moved, turn)
            left.remove(i)
        return tuple(found.values())

    def _places(self, group: Group) -> list[Place]:
        return [place for place in group.places if place.name in self.counted]

    def _known(self, i: int, left: set[int]) -> tuple[float, int]:
        """The share of a group's weights that lead to matched units, and its place in the network for ties."""
        sizes = [
            (self.reference[p.name].numel(), not self._hidden(p, left)) for p in self._places(self.groups.groups[i])
        ]
        total = sum(size for size, _ in sizes)
        return sum(size for size, known in sizes if known) / max(total, 1), -i

    def _hidden(self, place: Place, left: set[int]) -> tuple[int, ...]:
        """The other axes of a weight along which units are not matched yet."""
        return tuple(
            {
                other.axis
                for i in left
                for other in self.groups.groups[i].places
                if other.name == place.name and other.axis != place.axis
            }
        )

    def _turn(self, found: list[Permutation], i: int, turn: Permutation) -> None:
        """Take note that the units of a group moved; what had moved inside of them is carried along."""
        found[i] = found[i][turn]
        inside = self.heads.get(i, [])
        before = [[found[j] for j in head] for head in inside]
        for head, source in enumerate(turn.tolist() if inside else []):
            for j, one in zip(inside[head], before[source], strict=False):
                if len(found[j]) == len(one):
                    found[j] = one

    def _within(self, j: int, left: set[int]) -> bool:
        """Whether a group stands inside of heads that are not matched yet."""
        return any(j in head for i in left & set(self.heads) for head in self.heads[i])

    @cached_property
    def heads(self) -> dict[int, list[list[int]]]:
        """Groups of heads, and the groups that stand inside of each head."""
        owner: dict[tuple[str, int, int], list[tuple[int, int]]] = defaultdict(list)
        for i, group in enumerate(self.groups):
            for place in group.places:
                for unit, positions in enumerate(place.positions.tolist()):
                    for position in positions if len(positions) > 1 else ():
                        owner[place.name, place.axis, position].append((i, unit))
        found: dict[int, list[list[int]]] = {}
        for j, group in enumerate(self.groups):
            place = group.places[0]
            positions = place.positions.flatten().tolist()
            sets = [set(owner[place.name, place.axis, position]) for position in positions]
            for i, head in set.intersection(*sets):
                if i != j:
                    found.setdefault(i, [[] for _ in range(self.groups.groups[i].size)])[head].append(j)
        return found

    def _similarity(
        self, place: Place, moved: Weights, hidden: tuple[int, ...] = (), shuffled: bool = False
    ) -> Float[Tensor, "units units"]:
        """⟨reference's weights of unit i, the other's of unit j⟩, hidden axes sorted, and units inside if shuffled."""
        a, b = (_rows(weights[place.name], place, hidden, shuffled) for weights in (self.reference, moved))
        return a @ b.T

    def _gain(self, group: Group, moved: Weights, tried: Weights) -> float:
        """By how much the squared distance falls, less rounding."""
        names = {place.name for place in self._places(group)}
        before = sum(float(_squares(self.reference[k], moved[k])) for k in names)
        return before * (1 - 1e-12) - sum(float(_squares(self.reference[k], tried[k])) for k in names)


def _rows(weight: Tensor, place: Place, hidden: tuple[int, ...], shuffled: bool) -> Float[Tensor, "units weights"]:
    """The weights of each unit as a row."""
    values = weight.detach().double().cpu()
    for axis in hidden:
        values = values.sort(axis)[0]
    units = values.movedim(place.axis, 0)[place.positions]
    return (units.sort(1)[0] if shuffled else units).flatten(1)


def _assigned(similarity: Tensor | int) -> Permutation:
    if not isinstance(similarity, Tensor):
        raise ValueError("a group of units has no counted weights; leave `parameters` to the network's own")
    return torch.as_tensor(linear_sum_assignment(similarity.numpy(), maximize=True)[1], dtype=torch.long)


def _squares(a: Tensor, b: Tensor) -> Tensor:
    return (a.detach().double().cpu() - b.detach().double().cpu()).square().sum()


def _check_fit(reference: Weights, other: Weights, groups: Groups, names: tuple[str, ...]):
    for k in dict.fromkeys([*names, *(place.name for group in groups for place in group.places)]):
        missing = k not in reference or k not in other
        if missing or reference[k].shape != other[k].shape:
            raise ValueError(f"the two networks differ in {k}, or it has no place in one of them; align equal shapes")
        for what, weights in (("reference", reference), ("network", other)):
            if not bool(torch.isfinite(weights[k]).all()):
                raise ValueError(f"the {what} has NaN or infinity in {k}; it diverged: leave it out")
