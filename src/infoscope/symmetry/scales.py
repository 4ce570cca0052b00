"""Scale invariances taken out: of all weights that make one function by rescaled units, a single one to compare."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from infoscope.ensembles.stacked_weights import StackedWeights, member, members, stack
from infoscope.symmetry.permutations import Group, Place, holding, occurrences, places, same_function, trial
from infoscope.symmetry.torch_rules import RULES
from infoscope.symmetry.trace import FIXED, MADE, READ, Trace, traced
from infoscope.training.learner import Weights

_NORMALISATIONS = (
    *(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d),
    *(nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d),
)


@dataclass(frozen=True)
class Scales:
    """Units whose scale is free, in groups that stand in the same weights.

    `balanced`: a rectified unit made α times as large and read with 1/α of the weight gives the same function.
    `normalised`: batch normalisation takes away the scale of a unit, which nothing else reads. `parameters` are the
    weights that count for the norms; running statistics only follow. `fixed` names the functions that end a freedom.
    """

    balanced: tuple[Group, ...]
    normalised: tuple[Group, ...]
    parameters: frozenset[str]
    fixed: tuple[str, ...] = ()

    def scaled(self, weights: Weights, factors: Sequence[Float[Tensor, " _units"]]) -> dict[str, Tensor]:
        """One network's weights after the units of each group, balanced ones first, were made so much larger."""
        moved = dict(weights)
        for group, factor in zip((*self.balanced, *self.normalised), factors, strict=True):
            moved = _scaled(group, moved, factor)
        return moved


def scale_groups(network: nn.Module, example: Tensor | Sequence[int]) -> Scales:
    """Which units of this network may be rescaled without a change of the function, found as permutations are.

    The scale of a unit passes through ReLU and its leaky kin, pooling, flattening, and sums (which tie units); it ends
    at tanh, at products of activations, and at what is not followed. Every group is tried on random weights, with the
    ε of batch normalisation set to 0: with its usual ε the scale is free but for that ε.

    >>> relu, tanh = (nn.Sequential(nn.Linear(3, 5), act, nn.Linear(5, 2)) for act in (nn.ReLU(), nn.Tanh()))
    >>> [len(scale_groups(network, (3,)).balanced) for network in (relu, tanh)]
    [1, 0]
    """
    tried, x = trial(network, example)
    trace = traced(tried, x, RULES)
    for module in tried.modules():
        if isinstance(module, _NORMALISATIONS):
            module.eps = 0.0
    counted = frozenset(k for k, _ in tried.named_parameters(remove_duplicate=False))
    balanced, normalised = _free(trace, counted)
    draws, weights = torch.Generator().manual_seed(1), tried.state_dict()

    def hold(some: Sequence[Group]) -> bool:
        factors = [0.5 + 1.5 * torch.rand(g.size, generator=draws, dtype=torch.float64) for g in some]
        return same_function(tried, x, Scales(tuple(some), (), counted).scaled(weights, factors))

    good = tuple(holding(balanced, hold)), tuple(holding(normalised, hold))
    bad = len(balanced) + len(normalised) - len(good[0]) - len(good[1])
    reasons = [f"{name} is not followed: units that enter it keep their scale" for name in trace.reasons]
    reasons += [f"{bad} groups changed the output when they were tried and keep their scale"] if bad else []
    return Scales(good[0], good[1], counted, tuple(reasons))


def balance(weights: Weights, scales: Scales, *, tolerance: float = 1e-13, most: int = 10_000) -> dict[str, Tensor]:
    """One network's weights with the scales of its units made canonical; the same function, the same for all copies.

    A rectified unit's incoming weights (with bias) get the norm of its outgoing ones; what enters a batch
    normalisation gets norm 1. Together these minimise ½|w|² less the log-scales of the normalised units, which is
    convex in the logarithms of the scales, so that there is one answer; it is found unit by unit ("Equi-normalization
    of neural networks", Stock et al. 2019). A unit without incoming or without outgoing weights stays as it is.

    >>> network = nn.Sequential(nn.Linear(1, 1, bias=False), nn.ReLU(), nn.Linear(1, 1, bias=False))
    >>> scales = scale_groups(network, (1,))
    >>> found = balance({"0.weight": torch.tensor([[8.0]]), "2.weight": torch.tensor([[0.5]])}, scales)
    >>> {k: round(v.item(), 6) for k, v in found.items()}
    {'0.weight': 2.0, '2.weight': 2.0}
    """
    _check_finite(weights, scales)
    groups = (*scales.balanced, *scales.normalised)
    norms = _Norms(weights, groups, scales.parameters)
    factors = [torch.ones(group.size, dtype=torch.float64) for group in groups]
    largest = 0.0
    for _ in range(most):
        largest = 0.0
        for group, so_far in zip(groups, factors, strict=True):
            factor = norms.best(group)
            norms.scale(group, factor)
            so_far *= factor
            largest = max(largest, float(factor.log().abs().max()))
        if largest < tolerance:
            exact = {k: v.detach().double() if v.is_floating_point() else v for k, v in weights.items()}
            return {k: v.to(weights[k].dtype) for k, v in scales.scaled(exact, factors).items()}
    raise ValueError(
        f"the scales still change by a factor of {math.exp(largest):.3g} after {most} passes; allow more with `most`"
    )


def balance_all(weights: StackedWeights, scales: Scales) -> dict[str, Tensor]:
    """Stacked networks, each balanced."""
    return stack([balance(member(weights, i), scales) for i in range(members(weights))])


class _Norms:
    """Squared norms of the units' weights under changing scales, from sums of squares that are taken once."""

    def __init__(self, weights: Weights, groups: Sequence[Group], counted: frozenset[str]):
        self._counted = counted
        axes: dict[str, set[int]] = defaultdict(set)
        for place in (place for group in groups for place in group.places if place.name in counted):
            axes[place.name].add(place.axis)
        self._squares, self._scales = {}, {}
        for name, free in axes.items():
            squares = weights[name].detach().double().cpu().square()
            fixed = [axis for axis in range(squares.ndim) if axis not in free]
            self._squares[name] = squares.sum(fixed, keepdim=True) if fixed else squares
            for axis in free:
                self._scales[name, axis] = torch.ones(squares.shape[axis], dtype=torch.float64)

    def best(self, group: Group) -> Float[Tensor, " units"]:
        """The best scale of each unit when all others stay."""
        made, read = (self._of(group, power) for power in (MADE, READ))
        reads = any(place.power == READ for place in group.places)
        best = (read / made) ** 0.25 if reads else made**-0.5
        # Units of one group that feed each other change each other's norms: half a step at a time converges.
        names = [place.name for place in group.places if place.name in self._counted]
        best = best.sqrt() if len(set(names)) < len(names) else best
        alive = (made > 0) & (read > 0) if reads else made > 0
        return torch.where(alive, best, 1.0)

    def scale(self, group: Group, factor: Float[Tensor, " units"]) -> None:
        """Make the units so much larger."""
        for place in group.places:
            if place.power and place.name in self._counted:
                times = (factor**place.power).repeat_interleave(place.positions.shape[1])
                self._scales[place.name, place.axis][place.positions.flatten()] *= times

    def _of(self, group: Group, power: int) -> Float[Tensor, " units"]:
        total = torch.zeros(group.size, dtype=torch.float64)
        for place in group.places:
            if place.power == power and place.name in self._counted:
                total += self._rows(place.name, place.axis)[place.positions].sum(1)
        return total

    def _rows(self, name: str, axis: int) -> Float[Tensor, " rows"]:
        """Squared norm of each slice along the axis."""
        rows = self._squares[name].movedim(axis, 0)
        for other in sorted((a for n, a in self._scales if n == name and a != axis), reverse=True):
            at = other + 1 if other < axis else other  # where movedim has put it
            rows = rows.movedim(at, -1) @ self._scales[name, other].square()
            rows = rows.unsqueeze(-1).movedim(-1, at)
        return rows.flatten() * self._scales[name, axis].square()


def _scaled(group: Group, weights: Weights, factor: Float[Tensor, " units"]) -> dict[str, Tensor]:
    moved = dict(weights)
    for place in group.places:
        if place.power:
            moved[place.name] = moved[place.name] * _along(place, moved[place.name], factor)
    return moved


def _along(place: Place, weight: Tensor, factor: Float[Tensor, " units"]) -> Tensor:
    """The factor of each position along the axis, 1 where no unit of the group stands."""
    values = torch.ones(weight.shape[place.axis], dtype=factor.dtype)
    values[place.positions.flatten()] = (factor**place.power).repeat_interleave(place.positions.shape[1])
    shape = [1] * weight.ndim
    shape[place.axis] = -1
    return values.view(shape).to(weight)


def _free(trace: Trace, counted: frozenset[str]) -> tuple[list[Group], list[Group]]:
    """Groups that can be balanced, and groups that a normalisation makes free."""
    normalised = {trace.scales.find(i) for ids in trace.normalised for i in ids.tolist() if i > FIXED}
    alike: dict[tuple[str, object], list[Mapping[tuple[str, int], list[int]]]] = defaultdict(list)
    for root, where in occurrences(trace, trace.scales).items():
        powers = {trace.powers[key] for key in where if key[0] in counted}
        kind = "balanced" if {MADE, READ} <= powers else "normalised" if MADE in powers and root in normalised else ""
        if kind:
            alike[kind, tuple((key, len(at)) for key, at in where.items())].append(where)
    found: dict[str, list[Group]] = {"balanced": [], "normalised": []}
    for (kind, _), units in alike.items():
        found[kind].append(Group(places(trace, units)))
    return found["balanced"], found["normalised"]


def _check_finite(weights: Weights, scales: Scales) -> None:
    for group in (*scales.balanced, *scales.normalised):
        for place in group.places:
            if place.name not in weights:
                raise ValueError(f"the weights lack {place.name}; give the state dict of the network that was traced")
            if not bool(torch.isfinite(weights[place.name]).all()):
                raise ValueError(f"{place.name} has NaN or infinity; the network diverged: leave it out")
