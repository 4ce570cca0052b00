"""Many networks put in one order of units, so that distances among them can be compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from infoscope.ensembles.stacked_weights import Parameters, StackedWeights, choose, member, members, stack
from infoscope.symmetry.alignment import align, nearer
from infoscope.symmetry.permutations import Groups, Permutation
from infoscope.training.learner import Weights

_PASSES = 3


@dataclass(frozen=True)
class JointAlignment:
    """Stacked networks after their units changed places; networks of one bundle changed theirs in one way.

    `permutations` are those of each bundle; `before` and `after` the mean distances between two of the networks.
    """

    weights: dict[str, Tensor]
    permutations: tuple[tuple[Permutation, ...], ...]
    before: float
    after: float


def align_jointly(
    weights: StackedWeights, groups: Groups, *, bundles: Sequence[int] | None = None, parameters: Parameters = None
) -> JointAlignment:
    """All networks in one order of units, that of the first at best; their mean distance is never larger than before.

    `bundles` numbers from 0 the networks that keep their order among each other, such as those of one start, whose
    units correspond already: aligned one by one, each would end in an order of its own, and lie apart from the others
    for no reason but that. Each bundle's mean is aligned to that of the first, or left as it is; then each to the mean
    of all others until nothing improves (Ainsworth, Hayase & Srinivasa 2023, algorithm 3). The better of the two is
    kept, or the order as it was.

    >>> from torch import nn
    >>> from infoscope.symmetry import permutation_groups
    >>> network = nn.Sequential(nn.Linear(3, 20), nn.ReLU(), nn.Linear(20, 2))
    >>> groups, own = permutation_groups(network, (3,)), network.state_dict()
    >>> copies = stack([own, groups.permuted(own, groups.random(1)), groups.permuted(own, groups.random(2))])
    >>> align_jointly(copies, groups).after
    0.0
    """
    count = members(weights)
    own = list(range(count)) if bundles is None else list(bundles)
    names = choose(weights, parameters).names
    means = [_mean(weights, [i for i in range(count) if own[i] == b]) for b in range(max(own) + 1)]
    sizes = [own.count(b) for b in range(len(means))]
    identity = tuple(torch.arange(group.size) for group in groups)
    as_it_is = [identity] * len(means)
    to_first = [identity, *(align(means[0], mean, groups, parameters=names).permutations for mean in means[1:])]
    found = JointAlignment(dict(weights), tuple(as_it_is), *[mean_distance(weights, names)] * 2)
    for start in (as_it_is, to_first):
        turns = _merged(means, sizes, start, groups, names)
        moved = stack([groups.permuted(member(weights, i), turns[own[i]]) for i in range(count)])
        after = mean_distance(moved, names)
        if after < found.after:
            found = JointAlignment(moved, tuple(turns), found.before, after)
    return found


def mean_distance(weights: StackedWeights, parameters: Parameters = None) -> float:
    """The mean Euclidean distance between two of these networks."""
    squares = torch.zeros((), dtype=torch.float64)
    for name in choose(weights, parameters).names:
        x = weights[name].detach().flatten(1).double().cpu()
        x = x - x.mean(0)
        norms = x.square().sum(1)
        squares = squares + norms[:, None] + norms - 2 * x @ x.T
    n = len(squares)
    upper = torch.triu(torch.ones(n, n, dtype=torch.bool), 1)
    return float(squares[upper].clamp(min=0).sqrt().mean())  # below 0 by rounding alone


def _merged(
    means: Sequence[Weights], sizes: Sequence[int], start: Sequence[tuple[Permutation, ...]], groups: Groups,
    names: tuple[str, ...],
) -> list[tuple[Permutation, ...]]:  # fmt: skip
    """Each in turn brought nearer to the mean of all others, which lowers the sum of squared distances."""
    turns = list(start)
    moved = [groups.permuted(mean, turn) for mean, turn in zip(means, turns, strict=True)]
    for _ in range(_PASSES if len(means) > 1 else 0):
        better = False
        for b in range(len(means)):
            others = [i for i in range(len(means)) if i != b]
            centre = _weighted([moved[i] for i in others], [sizes[i] for i in others], names)
            turn = nearer(centre, means[b], groups, turns[b], names)
            if any(not torch.equal(p, q) for p, q in zip(turn, turns[b], strict=True)):
                turns[b], moved[b], better = turn, groups.permuted(means[b], turn), True
        if not better:
            break
    return turns


def _mean(weights: StackedWeights, rows: list[int]) -> dict[str, Tensor]:
    return {k: v[rows].detach().double().mean(0) if v.is_floating_point() else v[rows[0]] for k, v in weights.items()}


def _weighted(parts: Sequence[Weights], sizes: Sequence[int], names: tuple[str, ...]) -> dict[str, Tensor]:
    share: Float[Tensor, " parts"] = torch.tensor(sizes, dtype=torch.float64) / sum(sizes)
    centre = dict(parts[0])
    for name in names:
        centre[name] = torch.tensordot(share, torch.stack([part[name].double() for part in parts]), 1)
    return centre
