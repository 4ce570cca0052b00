"""Fisher-weighted merging: the weights at which the Gaussian posteriors of several checkpoints meet."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from infoscope.training.learner import Weights
from infoscope.weight_information.fisher import Fisher

Vector = dict[str, Tensor]

STEPS, ENOUGH = 300, 1e-8
"""Steps of conjugate gradients, and the share of the first residual at which they end."""


@dataclass(frozen=True, eq=False)
class Merged:
    """The merged weights; how many steps they took, and which share of the residual was left."""

    weights: Weights
    steps: int = 0
    residual: float = 0.0


def mean_weights(points: Sequence[Weights], shares: Sequence[float]) -> Vector:
    """The weighted mean of numbers with fractions, running statistics among them; counters are the first one's.

    >>> mean_weights([{"w": torch.tensor(1.0)}, {"w": torch.tensor(4.0)}], [2.0, 1.0])["w"].item()
    2.0
    """
    total = sum(shares)
    return {
        name: sum(a / total * w[name].double() for a, w in zip(shares, points, strict=True)).to(t.dtype)  # pyright: ignore
        if t.is_floating_point()
        else t.clone()
        for name, t in points[0].items()
    }


def fisher_merged(
    points: Sequence[Weights], fishers: Sequence[Fisher], shares: Sequence[float], prior: float = math.inf
) -> Merged:
    """(Σ a_k F_k) w = Σ a_k F_k w_k, as near as can be to the mean: directions that no F sees stay there.

    A finite `prior` deviation λ adds N(mean, λ²), and 1/λ² to the matrix: where F is estimated from few examples, what
    it hardly sees would otherwise be carried far away.

    Matena & Raffel (2022) for the diagonal, exact in one step; for Kronecker factors and whole matrices by conjugate
    gradients from the mean, preconditioned by the diagonal. With a_k = n_k it is the maximum of the product of the
    checkpoints' Gaussian posteriors, so that halves of a linear regression give the whole's solution.
    """
    names = list(fishers[0].diagonal.mean)
    mean = mean_weights(points, shares)
    centre = {name: mean[name].double() for name in names}
    products = [fisher_product(one) for one in fishers]

    def apply(v: Vector) -> Vector:
        return _sum([(prior**-2, v), *((a, product(v)) for a, product in zip(shares, products, strict=True))])

    diagonal = _sum([(a, dict(one.diagonal.mean)) for a, one in zip(shares, fishers, strict=True)])
    diagonal = {name: t + prior**-2 for name, t in diagonal.items()}
    apart = [{name: w[name].double() - centre[name] for name in names} for w in points]
    right = _sum([(a, p(d)) for a, p, d in zip(shares, products, apart, strict=True)])
    found, steps, residual = _solved(apply, right, diagonal)
    moved = {name: (centre[name] + found[name]).to(mean[name].dtype) for name in names}
    return Merged(mean | moved, steps, residual)


def fisher_product(fisher: Fisher) -> Callable[[Vector], Vector]:
    """F v, for the structure in which F is; parameters in no block have their diagonal."""
    if fisher.matrix is not None:
        return lambda v: _whole(fisher, v)
    held = [None] * len(fisher.blocks) if not fisher.moments else fisher.moments
    bases = [factors.basis() for factors in fisher.factors]
    inside = {name for block in fisher.blocks for name in block.names} if bases else set[str]()
    if bases and not fisher.moments:
        raise ValueError("Kronecker factors alone don't merge; take EKFAC, which has its eigenvalues")

    def product(v: Vector) -> Vector:
        found = {name: t * v[name] for name, t in fisher.diagonal.mean.items() if name not in inside}
        for block, basis, moments in zip(fisher.blocks, bases, held, strict=bool(bases)):
            assert moments is not None
            found |= block.split(basis.back(moments.double() * basis.into(block.joined(v))))
        return found

    return product


def _whole(fisher: Fisher, v: Vector) -> Vector:
    assert fisher.matrix is not None
    parts = [block.joined(v) for block in fisher.blocks]
    flat = fisher.matrix.double() @ torch.cat([part.flatten() for part in parts])
    found: Vector = {}
    for block, part, piece in zip(fisher.blocks, parts, flat.split([part.numel() for part in parts]), strict=True):
        found |= block.split(piece.view(part.shape))
    return found


def _solved(apply: Callable[[Vector], Vector], right: Vector, diagonal: Vector) -> tuple[Vector, int, float]:
    """Conjugate gradients from 0, preconditioned by a diagonal: what that does not see stays 0."""
    inverse = {name: torch.where(d > 0, 1 / torch.where(d > 0, d, 1), 0) for name, d in diagonal.items()}
    x = {name: torch.zeros_like(t) for name, t in right.items()}
    r, z = right, _times(inverse, right)
    p, rz = z, _dot(r, z)
    first, steps = rz, 0
    while steps < STEPS and rz > ENOUGH**2 * first:
        along = apply(p)
        curvature = _dot(p, along)
        if not curvature > 0:
            break
        a = rz / curvature
        x, r = _sum([(1.0, x), (a, p)]), _sum([(1.0, r), (-a, along)])
        z = _times(inverse, r)
        rz, before = _dot(r, z), rz
        p, steps = _sum([(1.0, z), (rz / before, p)]), steps + 1
    return x, steps, (rz / first) ** 0.5 if first > 0 else 0.0


def _sum(parts: Sequence[tuple[float, Mapping[str, Tensor]]]) -> Vector:
    first, *others = parts
    found = {name: first[0] * t for name, t in first[1].items()}
    for a, v in others:
        for name, t in v.items():
            found[name] = found[name] + a * t
    return found


def _times(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> Vector:
    return {name: t * b[name] for name, t in a.items()}


def _dot(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> float:
    return sum(float((t * b[name]).sum()) for name, t in a.items())
