"""Looks behind a comparison of two checkpoints: symmetries, the line between them, their predictions, their layers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from infoscope.data.inputs import take
from infoscope.data.targets import MASKED, Classes, Labels, Real, Target, Tokens
from infoscope.data.task import Task
from infoscope.observation.activations import in_groups
from infoscope.observation.cka import cka_of_grams, gram_apart
from infoscope.run.look import Look, pack, unpack
from infoscope.run.tensor_paths import below, pack_paths, unpack_paths
from infoscope.symmetry.alignment import align
from infoscope.symmetry.permutations import permutation_groups
from infoscope.symmetry.scales import balance, scale_groups
from infoscope.training.check_network import owned
from infoscope.training.forward import device_of, forward
from infoscope.training.isolation import isolated
from infoscope.training.learner import Learner, Weights, copy_weights, load_weights
from infoscope.weight_information.example_losses import PerExample, by_piece, losses, no_likelihood

POINTS = 11
"""Places on the line between two checkpoints, its ends among them."""

_BLOCKS = 10
"""Of examples, each left out once for the error of an alignment of features."""


@dataclass(frozen=True, eq=False)
class Moved:
    """Weights of both sides after a symmetry was taken out: the function of each is what it was.

    `units` are the groups of units that may change places, `scales` those that may be rescaled, both None where they
    were not asked for; `fixed` names what is not followed.
    """

    first: Weights
    second: Weights
    units: int | None = None
    scales: int | None = None
    fixed: tuple[str, ...] = ()

    def told(self) -> str:
        """What was free, and what was not.

        >>> Moved({}, {}, units=0, fixed=("group_norm is not followed: units that enter it keep their places",)).told()
        'no units that may change places; group_norm is not followed: units that enter it keep their places'
        """
        kinds = ((self.units, "units that may change places"), (self.scales, "units that may be rescaled"))
        found = [f"{_groups(count)}{what}" for count, what in kinds if count is not None]
        return "; ".join((*found, *dict.fromkeys(self.fixed)))

    def to_bytes(self) -> bytes:
        """As one safetensors file."""
        sides = {"first": self.first, "second": self.second}
        return pack_paths(
            {(side, name): t for side, held in sides.items() for name, t in held.items()},
            units=self.units,
            scales=self.scales,
            fixed=list(self.fixed),
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Moved:
        """The value that `to_bytes` wrote."""
        tensors, facts = unpack_paths(data)
        sides = below(tensors, "first"), below(tensors, "second")
        return cls(*sides, facts["units"], facts["scales"], tuple(facts["fixed"]))


def _groups(count: int) -> str:
    return "no " if not count else "one group of " if count == 1 else f"{count} groups of "


def moved(task: Task, learner: Learner, other: Weights, aligned: bool, balanced: bool) -> Moved:
    """Scales of units made canonical in both, then the units of the other put in the order of the first."""
    x = take(task.x, slice(2))
    if not isinstance(x, Tensor):
        raise ValueError(f"{task.name!r} has inputs by name, and units are traced from one array; leave out aligned")
    example = tuple(x.shape[1:]) if x.is_floating_point() else x
    with isolated(0, threads=1):
        network = learner.network(task.shape, task.target.outputs, 0)
        sides = copy_weights(network), {**copy_weights(network), **other}
        units, rescaled, fixed = None, None, list[str]()
        if balanced:
            scales = scale_groups(network, example)
            rescaled, fixed = len(scales.balanced) + len(scales.normalised), [*scales.fixed]
            sides = balance(sides[0], scales), balance(sides[1], scales)
        if aligned:
            groups = permutation_groups(network, example)
            units, fixed = len(groups), [*fixed, *groups.fixed]
            sides = sides[0], align(sides[0], sides[1], groups, parameters=network).weights
    return Moved(*sides, units, rescaled, tuple(fixed))


def moved_look(task: Task, learner: Learner, other: Weights, aligned: bool, balanced: bool) -> Look[Moved]:
    """The same as a look."""
    told = " and ".join(word for word, on in (("balanced", balanced), ("aligned", aligned)) if on)
    stand_in = partial(Moved, dict(learner.weights or {}), dict(other))
    args = (task, learner, dict(other), aligned, balanced)
    return Look(moved, args, Moved, 2, f"checkpoints {told}", kind="symmetries", stand_in=stand_in)


def line(task: Task, learner: Learner, other: Weights, device: str) -> PerExample:
    """Losses of every example at `POINTS` places on the line to the other weights."""
    first = learner.weights or {}
    with isolated(0, threads=1):
        network, rows = learner.network(task.shape, task.target.outputs, 0).to(device), []
        for t in np.linspace(0, 1, POINTS):
            load_weights(network, {name: _between(w, other[name], float(t)) for name, w in first.items()})
            rows.append(losses(network, task))
    return PerExample(torch.stack(rows))


def line_look(task: Task, learner: Learner, other: Weights, device: str, label: str) -> Look[PerExample]:
    """The same as a look."""
    stand_in = partial(PerExample.stand_in, POINTS, len(task))
    return Look(line, (task, learner, dict(other), device), PerExample, 1, label, kind="passes", stand_in=stand_in)


def divergences(task: Task, learner: Learner, other: Weights, device: str) -> PerExample:
    """KL(p_A‖p_B) and KL(p_B‖p_A) of the predictions for every example, nats: of a document, over all its tokens."""
    with isolated(0, threads=1):
        first, second = (
            one.network(task.shape, task.target.outputs, 0).to(device)
            for one in (learner, learner.starting_from(other))
        )
        second.eval()

        def both(call, x, y: Tensor) -> Tensor:
            p = call(x)
            q = by_outputs(second, x)
            return torch.stack([divergence(p, q, task.target, y), divergence(q, p, task.target, y)])

        return PerExample(by_piece(first, task, both))


def divergences_look(task: Task, learner: Learner, other: Weights, device: str) -> Look[PerExample]:
    """The same as a look."""
    args, stand_in = (task, learner, dict(other), device), partial(PerExample.stand_in, 2, len(task))
    return Look(divergences, args, PerExample, 1, "predictions of both", kind="passes", stand_in=stand_in)


def by_outputs(network: torch.nn.Module, x) -> Tensor:
    """What a network gives for a batch that it may write into."""
    return forward(network, owned(x, device_of(network)))


def divergence(p: Tensor, q: Tensor, target: Target, y: Tensor) -> Tensor:
    """KL of what two outputs predict, nats an example.

    >>> divergence(torch.zeros(1, 2), torch.zeros(1, 2), Classes(2), torch.tensor([0])).item()
    0.0
    """
    p, q, y = p.double(), q.double(), y.to(p.device)
    match target:
        case Classes() | Tokens():
            a, b = p.log_softmax(-1), q.log_softmax(-1)
            each = (a.exp() * (a - b)).sum(-1)
            return each if isinstance(target, Classes) else torch.where(y == MASKED, 0.0, each).sum(1)
        case Labels():
            yes = p.sigmoid() * (torch.nn.functional.logsigmoid(p) - torch.nn.functional.logsigmoid(q))
            no = (-p).sigmoid() * (torch.nn.functional.logsigmoid(-p) - torch.nn.functional.logsigmoid(-q))
            return torch.where(y < 0, 0.0, yes + no).sum(1)
        case Real():
            return 0.5 * (p - q).square().flatten(1).sum(1)
    raise no_likelihood(target)


@dataclass(frozen=True, eq=False)
class Likeness:
    """CKA of each layer, and its error by leaving a tenth of the examples out at a time."""

    layers: tuple[str, ...]
    values: tuple[float, ...]
    errors: tuple[float, ...]

    def to_bytes(self) -> bytes:
        """As one safetensors file."""
        numbers = torch.tensor([self.values, self.errors], dtype=torch.float64)
        return pack({"numbers": numbers}, layers=list(self.layers))

    @classmethod
    def from_bytes(cls, data: bytes) -> Likeness:
        """The value that `to_bytes` wrote."""
        tensors, facts = unpack(data)
        values, errors = tensors["numbers"].tolist()
        return cls(tuple(facts["layers"]), tuple(values), tuple(errors))


def likeness(task: Task, learner: Learner, other: Weights) -> Likeness:
    """CKA of the two networks' outputs of every layer on the same examples."""
    with isolated(0, threads=1):
        networks = [one.network(task.shape, task.target.outputs, 0) for one in (learner, learner.starting_from(other))]
        names, values, errors = [], [], []
        groups = zip(*(in_groups(network, task.x, batch=128) for network in networks), strict=True)
        for a, b in groups:
            for name in a.layers:
                grams = [gram_apart(_centred(one[name])) for one in (a, b)]
                names.append(name)
                values.append(cka_of_grams(*grams))
                errors.append(_jackknife(*grams))
    return Likeness(tuple(names), tuple(values), tuple(errors))


def likeness_look(task: Task, learner: Learner, other: Weights) -> Look[Likeness]:
    """The same as a look."""
    args = (task, learner, dict(other))
    stand_in = partial(Likeness, (), (), ())
    return Look(likeness, args, Likeness, 1, "layers of both", kind="passes", stand_in=stand_in)


def _centred(t: Tensor) -> np.ndarray:
    x = t.double().numpy()
    return x - x.mean(0)


def _jackknife(k: np.ndarray, m: np.ndarray) -> float:
    n = len(k)
    kept = [np.flatnonzero(np.arange(n) % _BLOCKS != block) for block in range(_BLOCKS)]
    values = np.array([cka_of_grams(k[np.ix_(rows, rows)], m[np.ix_(rows, rows)]) for rows in kept])
    return float(np.sqrt((_BLOCKS - 1) / _BLOCKS * np.square(values - values.mean()).sum()))


def _between(a: Tensor, b: Tensor, t: float) -> Tensor:
    return torch.lerp(a.double(), b.double(), t).to(a.dtype) if a.is_floating_point() else a
