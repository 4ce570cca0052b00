"""Entropy from ellipsoids that follow the shape of a neighbourhood, and the information that follows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from infoscope.mi.method import Claims, Finding
from infoscope.mi.numerics.entropies import of_surprisals
from infoscope.mi.numerics.neighbourhoods import offsets
from infoscope.mi.numerics.neighbours import nearest_euclidean
from infoscope.mi.sample import Side
from infoscope.options import at_least


@dataclass(frozen=True)
class GKNN:
    """H(X) + H(Y) − H(X,Y), each entropy from ellipsoids that follow the neighbourhood (Lord, Sun & Bollt 2018).

    σ_1 ≥ … ≥ σ_d are the singular values of a point and its k neighbours about their mean, ε the distance to the k-th
    neighbour, and the volume is an ellipsoid at the point with axes ε·σ_l/σ_1 that holds κ other points:
    Ĥ = log N + log π^(d/2)/Γ(1 + d/2) + ⟨d·log ε + Σ_l log σ_l/σ_1 − log κ⟩. Points whose ellipsoid is empty, about
    which the formula says nothing, are left out of the mean.
    """

    k: int = 20
    scores: bool = True

    takes: ClassVar[tuple[str, ...]] = ("points-points",)
    subsampled: ClassVar[bool] = False
    claims = Claims(assumes="smooth", ceiling=False, dims=12, invariant=frozenset({"scale"}))

    def __post_init__(self) -> None:
        at_least(self, "k", 1)

    def estimate(self, x: Side, y: Side, seed: int) -> Finding:
        """The three entropies."""
        d = x.values.shape[1] + y.values.shape[1]
        if not d < self.k < len(x):
            raise ValueError(
                f"GKNN(k={self.k}) on {len(x)} examples in {d} dimensions: a neighbourhood shows its shape with more "
                "neighbours than dimensions, and there must be more examples than neighbours"
            )
        return of_surprisals(x, y, self.surprisals, self.scores)

    def surprisals(self, points: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
        """−log f̂ of every point, NaN where the ellipsoid is empty; their mean is the differential entropy."""
        n, d = points.shape
        distance, index = nearest_euclidean(points, self.k)
        radius = distance[:, -1]
        terms = np.concatenate([_log_ellipsoid(z) for z in offsets(points, index, radius)])
        log_unit_ball = d / 2 * math.log(math.pi) - math.lgamma(1 + d / 2)
        return math.log(n) + log_unit_ball + d * np.log(radius) + np.where(np.isfinite(terms), terms, np.nan)


def _log_ellipsoid(z: Float[np.ndarray, "n k d"]) -> Float[np.ndarray, " n"]:
    """Σ_l log(σ_l/σ_1) − log κ from the neighbours' offsets in units of the distance to the farthest of them."""
    n, _, d = z.shape
    cloud = np.concatenate([np.zeros((n, 1, d)), z], axis=1)
    _, sigma, axes = np.linalg.svd(cloud - cloud.mean(1, keepdims=True), full_matrices=False)
    relative = sigma / sigma[:, :1]
    # A neighbourhood without width in some direction has no density: −∞ + ∞, which the mean leaves out.
    with np.errstate(divide="ignore", invalid="ignore"):
        inside = np.square(np.einsum("nkd,nld->nkl", z, axes) / relative[:, None]).sum(2) <= 1
        return np.log(relative).sum(1) - np.log(inside.sum(1))
