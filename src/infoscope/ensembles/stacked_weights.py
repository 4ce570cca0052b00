"""Many networks of one architecture, their weights stacked: parameter name → tensor with a leading axis of members."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from infoscope.training.learner import Weights

StackedWeights = Mapping[str, Tensor]
"""A state dict whose tensors have a leading axis of E networks."""

Parameters = nn.Module | Iterable[str] | None
"""What counts as a weight: a network's parameters, names, or every floating tensor that is no buffer."""

BLOCK = 2**26
"""Bytes in float64 of what is taken up at a time of one stack: memory stays bounded whatever the number of weights."""

_BUFFERS = ("running_mean", "running_var", "num_batches_tracked")


class TrainedNetworks(Protocol):
    """Networks before, during and after training, as functions of this room read them."""

    @property
    def names(self) -> tuple[str, ...]:
        """One name a member."""
        ...

    @property
    def seeds(self) -> tuple[int, ...]:
        """One seed a member."""
        ...

    @property
    def initial(self) -> StackedWeights:
        """Stacked weights before training."""
        ...

    @property
    def weights(self) -> StackedWeights:
        """Stacked weights after training."""
        ...

    @property
    def snapshots(self) -> Mapping[int, StackedWeights]:
        """Stacked weights after so many epochs."""
        ...

    @property
    def losses(self) -> Tensor | None:
        """Training loss (members, epochs) in nats, NaN where there is none; column 0 belongs to epoch 1."""
        ...


@dataclass(frozen=True)
class Networks:
    """Networks that were trained anywhere, as stacked state dicts; names and seeds count from 0 unless given.

    >>> start, end = {"w": torch.zeros(2, 3)}, {"w": torch.ones(2, 3)}
    >>> Networks(start, end).names
    ('0', '1')
    """

    initial: StackedWeights
    weights: StackedWeights
    names: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    snapshots: Mapping[int, StackedWeights] = field(default_factory=dict)
    losses: Tensor | None = None

    def __post_init__(self):
        count = members(self.weights)
        object.__setattr__(self, "names", self.names or tuple(str(i) for i in range(count)))
        object.__setattr__(self, "seeds", self.seeds or tuple(range(count)))

    @classmethod
    def of(cls, initial: Sequence[Weights], weights: Sequence[Weights], names: tuple[str, ...] = ()) -> Networks:
        """From one state dict a network."""
        return cls(stack(initial), stack(weights), names)


@dataclass(frozen=True)
class ChosenParameters:
    """The parameters that are measured, and how it was known which of the weights these are."""

    names: tuple[str, ...]
    note: str
    model: str


def stack(weights: Sequence[Weights]) -> dict[str, Tensor]:
    """One mapping with a leading axis of members, from one state dict a network."""
    if not weights:
        raise ValueError("no networks to stack; give one state dict a network")
    for i, other in enumerate(weights):
        different = [k for k in {*weights[0], *other} if shape_of(weights[0], k) != shape_of(other, k)]
        if different:
            raise ValueError(
                f"network {i} differs from network 0 in the shape of {sorted(different)[0]}; "
                "give networks of one architecture"
            )
    return {k: torch.stack([w[k].detach() for w in weights]) for k in weights[0]}


def member(weights: StackedWeights, i: int) -> dict[str, Tensor]:
    """The state dict of one member."""
    return {k: v[i] for k, v in weights.items()}


def members(weights: StackedWeights) -> int:
    """How many networks these stacked weights hold; an error names a tensor that holds another number."""
    counts = {k: v.shape[0] if v.ndim else 0 for k, v in weights.items()}
    if not counts:
        raise ValueError("the weights are empty; give a mapping of parameter names to stacked tensors")
    name, first = next(iter(counts.items()))
    if not first:
        raise ValueError(f"{name} holds no networks; stack the weights along a first axis of members")
    other = next((k for k, n in counts.items() if n != first), None)
    if other is not None:
        raise ValueError(
            f"{other} holds {counts[other]} networks and {name} holds {first}; "
            "stack all weights along a first axis of members"
        )
    return first


def choose(weights: StackedWeights, parameters: nn.Module | Iterable[str] | None = None) -> ChosenParameters:
    """The parameters among the weights: a network's, those named, or all but what BatchNorm counts and averages.

    A network's tied parameters count once; without a network nobody can know that they are tied.

    >>> choose({"bn.weight": torch.ones(2, 3), "bn.running_mean": torch.ones(2, 3)}).names
    ('bn.weight',)
    """
    if isinstance(parameters, nn.Module):
        wanted = [k for k, _ in parameters.named_parameters()]
        note = f"parameters of {type(parameters).__name__}"
    elif parameters is not None:
        wanted = list(parameters)
        note = f"the {len(wanted)} parameters that were named"
    else:
        wanted = [k for k, v in weights.items() if v.is_floating_point() and k.rpartition(".")[2] not in _BUFFERS]
        left = len(weights) - len(wanted)
        note = f"all weights but {left} buffers, known by name (running_mean …)" if left else "all weights"
    missing = [k for k in wanted if k not in weights]
    if missing or not wanted:
        raise ValueError(
            f"the weights hold no {missing[0] if missing else 'parameters'}; they hold {', '.join([*weights][:5])}"
        )
    shapes = [(k, tuple(weights[k].shape[1:])) for k in wanted]
    return ChosenParameters(tuple(wanted), note, hashlib.sha256(repr(shapes).encode()).hexdigest()[:16])


def check(stacks: Mapping[str, StackedWeights], chosen: ChosenParameters, names: Sequence[str]) -> None:
    """A ValueError names the first difference in shape, or the first member and layer that is not finite."""
    reference = next(iter(stacks.values()))
    for what, weights in stacks.items():
        for k in chosen.names:
            if shape_of(weights, k) != shape_of(reference, k):
                raise ValueError(
                    f"{k} has shape {shape_of(weights, k)} in the {what} and {shape_of(reference, k)} in the "
                    f"{next(iter(stacks))}; give the same networks (a first axis of members)"
                )
            if len(weights[k]) != len(names):
                raise ValueError(f"{k} holds {len(weights[k])} networks and there are {len(names)} names; name each")
            finite = torch.isfinite(weights[k].flatten(1)).all(1)
            if not finite.all():
                i = int((~finite).nonzero()[0])
                raise ValueError(
                    f"network {names[i]!r} has NaN or infinity in {k} of the {what}; it diverged: leave it out"
                )


def shape_of(weights: Weights, name: str) -> tuple[int, ...] | None:
    """Shape of one of the weights, None if there is none of this name."""
    return tuple(weights[name].shape) if name in weights else None


def several(names: Sequence[str], question: str) -> None:
    """A ValueError unless there are two networks or more."""
    if len(names) < 2:
        raise ValueError(f"{question} needs 2 networks or more, and there is {len(names)}; train more of them")


def blocks(stacks: Sequence[StackedWeights], chosen: Iterable[str], size: int = BLOCK) -> Iterator[list[Tensor]]:
    """The same columns of each stack at a time, flattened to (members, columns), in the dtype that they have."""
    for k in chosen:
        flat = [weights[k].detach().flatten(1) for weights in stacks]
        columns = max(1, size // (8 * max(len(f) for f in flat)))
        yield from (list(parts) for parts in zip(*(f.split(columns, 1) for f in flat), strict=True))
