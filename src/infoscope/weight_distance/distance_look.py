"""How far networks went, taken where they were trained: distances in weights, along the way, and as functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from infoscope.data.inputs import each, pieces, take
from infoscope.data.targets import Classes
from infoscope.ensembles.population import Member, Population
from infoscope.ensembles.stacked_weights import Networks, choose, member
from infoscope.symmetry.alignment import aligned_ends
from infoscope.symmetry.permutations import Groups, permutation_groups
from infoscope.symmetry.scales import balance_all, scale_groups
from infoscope.training.forward import forward
from infoscope.training.learner import load_weights
from infoscope.weight_distance.distance import distances_between, weight_distances
from infoscope.weight_distance.function_distance import function_distances
from infoscope.weight_distance.member_distances import MemberDistances
from infoscope.weight_distance.members import example_of
from infoscope.weight_distance.nearest import squared_distances

VERSION = 3
"""Raised when the same population would give other distances, or the same in another form."""

MOST_INPUTS = 1000
"""Inputs on which two networks are compared as functions."""

_AT_A_TIME = 2**28  # bytes of initial weights


@dataclass(frozen=True)
class DistanceLook:
    """What makes `MemberDistances` of a population; `starts` are the members whose first weights are compared."""

    starts: tuple[Member, ...]
    aligned: bool = False
    balanced: bool = False

    def __call__(self, population: Population) -> MemberDistances:
        """The distances of these networks."""
        before, after = self._outputs(population)
        diverged = [] if after is None else (~after.isfinite().flatten(1).all(1)).nonzero()[:, 0].tolist()
        if diverged:
            return self(_without(population, diverged))
        if not len(population):
            none, epochs = torch.empty(0), torch.empty(0, 0)
            no_starts = torch.empty(0, len(self.starts), dtype=torch.float64)
            nobody = MemberDistances((), (), none, epochs, epochs, no_starts)
            return replace(nobody, ways=population.ways, failed=population.failed)
        network = _network(self.starts[0])
        found = weight_distances(population, parameters=network)
        plain = MemberDistances(
            population.names, population.seeds, found.values, population.losses, population.moved,
            _to_starts(population, network, self.starts), found.layers, _curve(population, network),
            note=found.receipt.notes[0], ways=population.ways, failed=population.failed, remarks=population.remarks,
        )  # fmt: skip
        if isinstance(self.starts[0].task.target, Classes):
            plain = _as_functions(plain, before, after)
        return self._without_symmetries(plain, population, network)

    def _without_symmetries(
        self, found: MemberDistances, population: Population, network: nn.Module
    ) -> MemberDistances:
        """The same, and the distances that are left when symmetries are taken out: of scales, of places, of both."""
        plain = Networks(population.initial, population.weights, population.names, population.seeds)
        task, canonical = self.starts[0].task, plain
        if self.balanced:
            scales = scale_groups(network, example_of(task))
            start, end = balance_all(population.initial, scales), balance_all(population.weights, scales)
            canonical = replace(plain, initial=start, weights=end)
            found = replace(found, balanced=weight_distances(canonical, parameters=network).values)
        if self.aligned:
            groups = permutation_groups(network, example_of(task))
            found = replace(found, aligned=_aligned(plain, groups, network), unfollowed=groups.fixed)
            if self.balanced:
                found = replace(found, both=_aligned(canonical, groups, network))
        return found

    @torch.no_grad()
    def _outputs(self, population: Population) -> tuple[Tensor | None, Tensor | None]:
        """Outputs (E, n, outputs) before and after training, in eval mode; None where they have another form."""
        members = {member.called: member for member in self.starts}
        x = take(self.starts[0].task.x, slice(MOST_INPUTS))  # one task for all, so that the same is asked of each
        sides: tuple[list[Tensor], list[Tensor]] = ([], [])
        for i, name in enumerate(population.names):
            network = _network(members[name]).eval()  # its own: a network may hold more than its state dict says
            for rows, weights in zip(sides, (population.initial, population.weights), strict=True):
                load_weights(network, member(weights, i))
                own = (each(part, Tensor.clone) for part in pieces(x, 256))  # a network may write into its input
                parts = [forward(network, part) for part in own]
                if not all(isinstance(part, Tensor) and part.ndim == 2 for part in parts):
                    return None, None
                rows.append(torch.cat(parts))
        before, after = (torch.stack(rows) if rows else None for rows in sides)
        return before, after


def _network(one: Member) -> nn.Module:
    return one.learner.network(one.task.shape, one.task.target.outputs, one.seed)


def _aligned(networks: Networks, groups: Groups, network: nn.Module) -> Tensor:
    """Distances after the units of each end were put in the order of its own start."""
    return weight_distances(aligned_ends(networks, groups), parameters=network).values


def _curve(population: Population, network: nn.Module) -> dict[int, Tensor]:
    """From the weights of each epoch kept to the final ones."""
    chosen = choose(population.weights, network)
    return {
        epoch: distances_between(weights, population.weights, chosen, population).values
        for epoch, weights in population.snapshots.items()
    }


def _as_functions(found: MemberDistances, before: Tensor | None, after: Tensor | None) -> MemberDistances:
    """Distances between the predictions of classifiers; nothing where outputs are no logits."""
    if before is None or after is None:
        return found
    l2, js = (function_distances(before, after, by, names=found.names).values for by in ("l2", "js"))
    return replace(found, l2=l2, js=js)


def _without(population: Population, rows: Sequence[int]) -> Population:
    """The networks whose trained weights give finite outputs; the others are named as failed."""
    failed = {population.names[i]: "its outputs after training are NaN or infinite: it diverged" for i in rows}
    rest = population.take([i for i in range(len(population)) if i not in rows])
    return replace(rest, failed={**population.failed, **failed})


def _to_starts(population: Population, network: nn.Module, starts: Sequence[Member]) -> Tensor:
    """Distance from each final network to every start, drawn anew; empty where all start from the same weights."""
    if any(one.learner.weights is not None for one in starts):
        return torch.empty(len(population), 0, dtype=torch.float64)
    chosen = choose(population.weights, network)
    size = sum(p.numel() * p.element_size() for p in network.parameters())
    step = max(1, _AT_A_TIME // size)
    columns = []
    for at in range(0, len(starts), step):
        states = [_network(one).state_dict() for one in starts[at : at + step]]
        some = {k: torch.stack([state[k] for state in states]) for k in chosen.names}
        columns.append(squared_distances(population.weights, some, chosen.names).clamp(min=0).sqrt())
    return torch.cat(columns, 1)
