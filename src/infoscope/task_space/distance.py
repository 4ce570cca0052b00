"""How far apart are two tasks? Distances of embeddings, and of codelengths."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from infoscope.measurement import Measurement, Status

ALPHA = 0.15
"""Of the asymmetric distance, as in the paper."""

Distance = Callable[[Tensor, Tensor], Tensor]


def symmetric(a: Float[Tensor, "... d"], b: Float[Tensor, "... d"]) -> Float[Tensor, " ..."]:
    """d_sym = 1 − cos(F_a/(F_a + F_b), F_b/(F_a + F_b)), dimensionless (Achille et al. 2019, eq. 2).

    Each coordinate is divided by its own sum, whatever its scale; one that is 0 in both says nothing and is left out,
    so that no small number need be added. NaN against a task of no information at all, to which no angle leads.

    >>> both = torch.tensor([1.0, 3.0]), torch.tensor([3.0, 1.0])
    >>> [round(float(symmetric(s * both[0], s * both[1])), 6) for s in (1.0, 1e-30)]
    [0.4, 0.4]
    """
    a, b = torch.broadcast_tensors(a.double(), b.double())
    largest = torch.maximum(a, b)
    safe = torch.where(largest > 0, largest, 1)
    a, b = a / safe, b / safe
    total = torch.where(largest > 0, a + b, 1)
    return one_less_cosine(a / total, b / total)


def one_less_cosine(a: Float[Tensor, "... d"], b: Float[Tensor, "... d"]) -> Float[Tensor, " ..."]:
    """1 − cos(a, b), dimensionless; NaN where either is 0. The slides print the cosine, which is no distance.

    >>> float(one_less_cosine(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 2.0])))
    1.0
    """
    a, b = (t.double() / _largest(t) for t in (a, b))
    return 1 - (a * b).sum(-1) / (a.square().sum(-1) * b.square().sum(-1)).sqrt()


def asymmetric(
    a: Float[Tensor, "... d"], b: Float[Tensor, "... d"], trivial: Float[Tensor, "... d"], alpha: float = ALPHA
) -> Float[Tensor, " ..."]:
    """d_asym(a→b) = d_sym(a, b) − α d_sym(a, t₀), dimensionless; an expert for a, asked about b (eq. 3).

    `trivial` is t₀, a task to which no weight matters: what is far from it is a complex task, whose expert is the
    better start. May be negative.

    >>> a, b, t0 = torch.tensor([1.0, 3.0]), torch.tensor([3.0, 1.0]), torch.tensor([1.0, 1.0])
    >>> round(float(asymmetric(a, b, t0)), 4)
    0.3802
    """
    return symmetric(a, b) - alpha * symmetric(a, trivial)


def matrix(
    first: Float[Tensor, "tasks replicates d"], second: Float[Tensor, "others replicates d"], distance: Distance
) -> Float[Tensor, "replicates replicates tasks others"]:
    """The distance of every task from every other one, replicate by replicate."""
    r, s = first.shape[1], second.shape[1]
    found = [[[distance(one[i], second[:, j]) for one in first] for j in range(s)] for i in range(r)]
    return torch.stack([torch.stack([torch.stack(rows) for rows in row]) for row in found])


@dataclasses.dataclass(frozen=True, eq=False)
class Distances:
    """Means over pairs of replicates, their errors, and how far each task is from itself: replicate to replicate.

    Of one replicate errors and self-distances are NaN.
    """

    values: Float[Tensor, "tasks others"]
    stderr: Float[Tensor, "tasks others"]
    itself: Float[Tensor, " tasks"]

    def corrected(self) -> Float[Tensor, "tasks tasks"]:
        """d(a, b) − (d(a, a) + d(b, b))/2: 0 in expectation for a task and itself, whatever the sampling noise is."""
        return self.values - (self.itself[:, None] + self.itself) / 2


def distances(found: Float[Tensor, "replicates replicates tasks tasks"]) -> Distances:
    """Of what `matrix` gave for tasks and themselves: a task is 0 away from itself, and its replicates are not.

    The error is that of replicates paired by their seed.
    """
    r = found.shape[0]
    paired = torch.stack([found[i, i] for i in range(r)])
    off = [found[i, j] for i in range(r) for j in range(r) if i != j]
    nan = torch.full_like(found[0, 0], torch.nan)
    itself = torch.stack(off).mean(0).diagonal() if off else nan.diagonal()
    error = paired.std(0) / r**0.5 if r > 1 else nan
    mean = found.mean((0, 1))
    apart = ~torch.eye(len(mean), dtype=torch.bool)
    return Distances(mean.where(apart, paired.mean(0)), error, itself)


def information_distance(joint: Measurement, first: Measurement) -> Measurement:
    """d(1→2) = I_12 − I_1, nats: how much more there is to learn for both than for the first.

    d(1→2) − d(2→1) = I_2 − I_1 whatever I_12 is, and with I_12 = I_1 + I_2 − I(M_1, D_2), as in S of "Model Information
    as an Analysis Tool", d(1→2) = I_2 (1 − S_uni(1→2)). The difference of information about two sets of data is what is
    asked for, so it is not called incomparable.

    >>> one, two, both = (Measurement("L(M,D)", nats) for nats in (3.0, 5.0, 6.0))
    >>> there, back = information_distance(both, one), information_distance(both, two)
    >>> there.value, back.value, there.value - back.value == two.value - one.value
    (3.0, 1.0, True)
    """
    found = (joint - first).named("I_12 - I_1")
    return dataclasses.replace(found, status=found.status - {Status.INCOMPARABLE})


def _largest(t: Tensor) -> Tensor:
    largest = t.double().abs().amax(-1, keepdim=True)
    return torch.where(largest > 0, largest, 1)
