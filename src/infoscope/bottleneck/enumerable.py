"""Worlds that can be written down whole: information in a table of probabilities, exactly."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

_ROUNDING = 1e-12


def table_entropy(joint: Float[Tensor, "*axes"], axes: Sequence[int]) -> float:
    """H of the variables on these axes of a joint table, nats.

    >>> round(table_entropy(torch.full((2, 4), 1 / 8), [1]), 6)
    1.386294
    """
    _check(joint)
    others = [i for i in range(joint.ndim) if i not in {a % joint.ndim for a in axes}]
    p = (joint.double().sum(others) if others else joint.double()).flatten()
    return float(-torch.special.xlogy(p, p).sum())


def table_information(
    joint: Float[Tensor, "*axes"], first: Sequence[int], second: Sequence[int], given: Sequence[int] = ()
) -> float:
    """I(first; second | given) of a joint table, nats: H(A,C) + H(B,C) − H(A,B,C) − H(C).

    >>> same = torch.eye(2) / 2
    >>> round(table_information(same, [0], [1]), 6)
    0.693147
    """
    a, b, c = list(first), list(second), list(given)
    both = table_entropy(joint, a + c) + table_entropy(joint, b + c)
    return both - table_entropy(joint, a + b + c) - (table_entropy(joint, c) if c else 0.0)


def through(joint: Float[Tensor, "... x"], channel: Float[Tensor, "inputs z"]) -> Float[Tensor, "... x z"]:
    """The same world with Z beside it, which sees X alone: p(…, x) p(z|x)."""
    _check(joint)
    if channel.ndim != 2 or len(channel) != joint.shape[-1]:
        raise ValueError(f"the channel has shape {tuple(channel.shape)}; give a row of p(z|x) for each of the x's")
    if bool((channel < 0).any()) or not torch.allclose(channel.double().sum(1), torch.ones(len(channel)).double()):
        raise ValueError("the channel's rows are no probabilities; give p(z|x), each row of sum 1")
    return joint.double()[..., None] * channel.double()


def complete_nuisance(joint: Float[Tensor, "y x"]) -> Float[Tensor, "y n x"]:
    """A nuisance N, independent of Y, with which the label makes X: p(y, n, x), X = g(Y, N).

    Such an N is there for every p(x|y) (Achille & Soatto 2018, lemma 3.2): a number drawn evenly from 0 to 1, at which
    the distribution of X given Y is read off backwards. It is given on the intervals between which nothing changes.

    >>> world = complete_nuisance(torch.tensor([[0.5, 0.0], [0.25, 0.25]]))
    >>> world.shape, round(table_entropy(world, [1]), 6)
    (torch.Size([2, 2, 2]), 0.693147)
    """
    _check(joint)
    p = joint.double()
    label = p.sum(1)
    if bool((label <= 0).any()):
        raise ValueError("a label has probability 0; leave its row out")
    ends = (p / label[:, None]).cumsum(1)
    ends[:, -1] = 1.0
    cuts = torch.cat([torch.zeros(1, dtype=torch.float64), ends.flatten().sort().values])
    cuts = cuts[torch.cat([torch.tensor([True]), cuts.diff() > _ROUNDING])]
    cuts[-1] = 1.0
    middle = (cuts[1:] + cuts[:-1]) / 2
    x = torch.searchsorted(ends, middle.expand(len(p), -1).contiguous())
    world = torch.zeros(len(p), len(middle), p.shape[1], dtype=torch.float64)
    return world.scatter(2, x[..., None], (label[:, None] * cuts.diff())[..., None])


def _check(joint: Tensor) -> None:
    if bool((joint < 0).any()) or not abs(float(joint.double().sum()) - 1) < 1e-6:
        raise ValueError(
            f"the table sums to {float(joint.double().sum()):g}; give probabilities of sum 1, none below 0"
        )
