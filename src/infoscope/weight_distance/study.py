"""What is kept of networks that were trained only to see how far they go: distances, not weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from infoscope.ensembles.population import Member, Population, padded
from infoscope.ensembles.stacked_weights import Networks, choose
from infoscope.run.look import pack, unpack
from infoscope.symmetry.alignment import aligned_ends
from infoscope.symmetry.permutations import permutation_groups
from infoscope.symmetry.scales import balance_all, scale_groups
from infoscope.training.learner import load_weights
from infoscope.weight_distance.along_training import matched_distances
from infoscope.weight_distance.distance import measured, weight_distances
from infoscope.weight_distance.function_distance import function_distances
from infoscope.weight_distance.nearest import squared_distances

MOST_INPUTS = 1000
"""Inputs on which two networks are compared as functions."""

_AT_A_TIME = 2**28  # bytes of initial weights


@dataclass(frozen=True, eq=False)
class Travelled:
    """Numbers of E trained networks, one a network in each column, float64.

    Columns: `d` (from initial to final weights), `layer/NAME`, `epoch/T` (from the weights after T epochs to the final
    ones), `matched` (from the initial weights to those at the matched loss, NaN for never) and `matched epoch`, `l2`
    and `js` (between initial and final predictions), `aligned`, `balanced`. `to_starts` (E, starts) are distances from
    each final to every initial network, where those differ. `losses` (E, epochs), nats.
    """

    names: tuple[str, ...]
    seeds: tuple[int, ...]
    columns: Mapping[str, Float[Tensor, " members"]]
    losses: Float[Tensor, "members epochs"]
    to_starts: Float[Tensor, "members starts"]
    note: str = ""
    way: str = ""
    failed: Mapping[str, str] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """As one safetensors file."""
        tensors = {f"column/{k}": v for k, v in self.columns.items()}
        tensors |= {"losses": self.losses, "to_starts": self.to_starts}
        facts = {"names": self.names, "seeds": self.seeds, "note": self.note, "way": self.way}
        return pack(tensors, **facts, failed=dict(self.failed), columns=list(self.columns))

    @classmethod
    def from_bytes(cls, data: bytes) -> Travelled:
        """The value that `to_bytes` wrote."""
        tensors, facts = unpack(data)
        losses, to_starts = tensors.pop("losses"), tensors.pop("to_starts")
        columns = {k: tensors[f"column/{k}"] for k in facts["columns"]}
        names, seeds = tuple(facts["names"]), tuple(facts["seeds"])
        return cls(names, seeds, columns, losses, to_starts, facts["note"], facts["way"], facts["failed"])


@dataclass(frozen=True)
class Travel:
    """What makes a `Travelled` of a population; `starts` are the members whose first weights are compared."""

    starts: tuple[Member, ...]
    aligned: bool = False
    balanced: bool = False

    def __call__(self, population: Population) -> Travelled:
        """The distances of these networks."""
        before, after = self._outputs(population)
        wild = [] if after is None else (~after.isfinite().flatten(1).all(1)).nonzero()[:, 0].tolist()
        if wild:
            return self(_without(population, wild))
        if not len(population):
            empty = torch.empty(0, len(self.starts), dtype=torch.float64)
            return Travelled((), (), {}, torch.empty(0, 0), empty, way=population.way, failed=population.failed)
        network = _network(self.starts[0])
        found = weight_distances(population, parameters=network)
        columns = {"d": found.values} | {f"layer/{k}": v for k, v in found.layers.items()}
        columns |= _along(population, network) | _as_functions(before, after, population)
        if len(population.matched_epochs) and population.matched:
            columns |= _matched(population, network)
        if self.balanced:
            columns["balanced"] = _balanced(population, network, self.starts[0])
        if self.aligned:
            groups = permutation_groups(network, self.starts[0].task.shape)
            columns["aligned"] = weight_distances(aligned_ends(population, groups), parameters=network).values
        to_starts = _to_starts(population, network, self.starts)
        return Travelled(
            population.names, population.seeds, columns, population.losses, to_starts,
            found.receipt.notes[0], population.way, population.failed,
        )  # fmt: skip

    @torch.no_grad()
    def _outputs(self, population: Population) -> tuple[Tensor | None, Tensor | None]:
        """Outputs (E, n, classes) before and after training, in eval mode; None where they are no logits."""
        members = {member.called: member for member in self.starts}
        x = self.starts[0].task.array[:MOST_INPUTS]  # one task for all, so that the same is asked of each
        sides: tuple[list[Tensor], list[Tensor]] = ([], [])
        for i, name in enumerate(population.names):
            network = _network(members[name]).eval()  # its own: a network may hold more than its state dict says
            for rows, weights in zip(sides, (population.initial, population.weights), strict=True):
                load_weights(network, {k: v[i] for k, v in weights.items()})
                parts = [network(part.clone()) for part in x.split(256)]  # it may write into its input
                if not all(isinstance(part, Tensor) and part.ndim == 2 for part in parts):
                    return None, None
                rows.append(torch.cat(parts))
        before, after = (torch.stack(rows) if rows else None for rows in sides)
        return before, after


def joined(parts: Sequence[Travelled]) -> Travelled:
    """All networks of all parts, in order of the parts; a ValueError if every one of them failed."""
    failed = {name: why for part in parts for name, why in part.failed.items()}
    full = [part for part in parts if part.names]
    if not full:
        raise ValueError(f"all {len(failed)} networks failed: {next(iter(failed))}: {next(iter(failed.values()))}")
    columns = {k: torch.cat([part.columns[k] for part in full]) for k in full[0].columns}
    return replace(
        full[0],
        names=tuple(name for part in full for name in part.names),
        seeds=tuple(seed for part in full for seed in part.seeds),
        columns=columns,
        losses=padded([row for part in full for row in part.losses]),
        to_starts=torch.cat([part.to_starts for part in full]),
        way=", ".join(dict.fromkeys(part.way for part in full)),
        failed=failed,
    )


def _network(member: Member) -> nn.Module:
    return member.learner.network(member.task.shape, member.task.classes, member.seed)


def _along(population: Population, network: nn.Module) -> dict[str, Tensor]:
    chosen = choose(population.weights, network)
    return {
        f"epoch/{epoch}": measured(weights, population.weights, chosen, population).values
        for epoch, weights in population.snapshots.items()
    }


def _balanced(population: Population, network: nn.Module, member: Member) -> Tensor:
    """Distances after the scales that the function does not feel were made canonical, before and after training."""
    scales = scale_groups(network, member.task.shape)
    start, end = balance_all(population.initial, scales), balance_all(population.weights, scales)
    return weight_distances(Networks(start, end, population.names, population.seeds), parameters=network).values


def _matched(population: Population, network: nn.Module) -> dict[str, Tensor]:
    when = population.matched_epochs
    values = torch.full((len(population),), torch.nan, dtype=torch.float64)
    if (when >= 0).any():
        values[when >= 0] = matched_distances(population, parameters=network).distances.values
    return {"matched": values, "matched epoch": when.double()}


def _as_functions(before: Tensor | None, after: Tensor | None, population: Population) -> dict[str, Tensor]:
    """Distances between predictions for a classifier; nothing for a network whose outputs are no logits."""
    if before is None or after is None:
        return {}
    return {by: function_distances(before, after, by, names=population.names).values for by in ("l2", "js")}


def _without(population: Population, wild: Sequence[int]) -> Population:
    """The networks whose trained weights give finite outputs; the others are named as failed."""
    failed = {population.names[i]: "its outputs after training are NaN or infinite: it diverged" for i in wild}
    rest = population.take([i for i in range(len(population)) if i not in wild])
    return replace(rest, failed={**population.failed, **failed})


def _to_starts(population: Population, network: nn.Module, starts: Sequence[Member]) -> Tensor:
    """Distance from each final network to every start, drawn anew; empty where all start from the same weights."""
    if any(member.learner.weights is not None for member in starts):
        return torch.empty(len(population), 0, dtype=torch.float64)
    chosen = choose(population.weights, network)
    size = sum(p.numel() * p.element_size() for p in network.parameters())
    step = max(1, _AT_A_TIME // size)
    columns = []
    for at in range(0, len(starts), step):
        states = [_network(member).state_dict() for member in starts[at : at + step]]
        some = {k: torch.stack([state[k] for state in states]) for k in chosen.names}
        columns.append(squared_distances(population.weights, some, chosen.names).clamp(min=0).sqrt())
    return torch.cat(columns, 1)
