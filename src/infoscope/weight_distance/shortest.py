"""Shortest distances from a set to its subset: what the weight distance is meant to measure, and where it can't."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from infoscope import __version__
from infoscope.measurement import Bound, Measurement, Receipt
from infoscope.weight_distance.nearest import squared_distances

_ROWS = 1024


@dataclass(frozen=True)
class Shortest:
    """d_X′(x), the distance of each point x of X to its nearest in the subset X′; 0 on X′ itself."""

    values: Float[Tensor, " n"]
    subset: int

    @property
    def ratio(self) -> float:
        """The r = |X| / |X′|, as in Theorem 3 (its inverse is the r of Theorem 2 and of Figure 5)."""
        return len(self.values) / self.subset

    @property
    def mean(self) -> float:
        """d̄(X), over all of X."""
        return float(self.values.mean())

    @property
    def support(self) -> Float[Tensor, " support"]:
        """The distances that are not 0."""
        return self.values[self.values > 0]

    @property
    def mean_on_support(self) -> float:
        """d̄ over supp(d) alone, d̄(X) / (1 − |X′|/|X|) where all points differ; the paper multiplies."""
        return float(self.support.mean()) if len(self.support) else 0.0

    def divergence_from_normal(self, bins: int = 50) -> float:
        """KL(P ‖ Q), nats (eq. 3), of the distances on the support, as a histogram P, from a normal Q.

        Q has their mean and deviation, and its mass in the same `bins` of equal width between the least and the
        largest, tails in the outer ones. A sample of n that is normal gives (bins − 1) / 2n on average, not 0.
        """
        values = self.support
        edges = torch.linspace(float(values.min()), float(values.max()), bins + 1, dtype=torch.float64)
        p = torch.histogram(values, edges)[0] / len(values)
        inner = torch.special.ndtr((edges[1:-1] - values.mean()) / values.std())
        cumulative = torch.cat([inner.new_zeros(1), inner, inner.new_ones(1)])
        q = cumulative.diff()
        return float((p[p > 0] * (p[p > 0] / q[p > 0]).log()).sum())


def shortest_distances(points: Float[Tensor, "n d"], subset: Sequence[int] | Tensor) -> Shortest:
    """Distances of all points to the nearest of those at the indices `subset`.

    "The distance between the weights of the neural network is meaningful", Theorem 3, says that their mean d̄ grows
    with r = |X| / |X′|. Its proof adds points to one subset: it holds for nested subsets only. Elsewhere r may double
    while d̄ falls to a fifth:

    >>> points = torch.tensor([0.0, 1.0, *range(1000, 1010)])[:, None]
    >>> two, one = shortest_distances(points, [0, 1]), shortest_distances(points, [7])
    >>> (two.ratio, two.mean), (one.ratio, one.mean)
    ((6.0, 836.25), (12.0, 169.5))
    """
    index = torch.as_tensor(subset, dtype=torch.long).unique()
    if not len(index):
        raise ValueError("the subset is empty; no point has a nearest one in it")
    x = points.double()
    near: dict[str, Tensor] = {"": x[index]}
    squares = [squared_distances({"": rows}, near, ("",)).amin(1) for rows in x.split(_ROWS)]
    values = torch.cat(squares).clamp(min=0).sqrt()
    values[index] = 0.0
    return Shortest(values, len(index))


def sphere_simulation(percent: float, *, n: int = 10_000, dimensions: int = 100, seed: int = 0) -> Shortest:
    """The paper's simulation (Figures 4 and 5): `n` random unit vectors, `percent` % of them the subset."""
    if not 0 < percent < 100:
        raise ValueError(f"percent is {percent}; a proper subset has more than 0 % and less than 100 %")
    draws = torch.Generator().manual_seed(seed)
    points = torch.nn.functional.normalize(torch.randn(n, dimensions, generator=draws, dtype=torch.float64), dim=1)
    return shortest_distances(points, torch.randperm(n, generator=draws)[: max(1, round(n * percent / 100))])


def support_information(before: float, after: float) -> Measurement:
    """I = log(|supp p₀| / |supp p|), nats: what is learned when one of so many weights becomes one of fewer.

    The entropy of a uniform is +log |supp|, so the ratio of Theorem 2 stands the other way up than it is printed.

    >>> support_information(1024, 1).bits
    10.0
    """
    if not (before > 0 and after > 0):
        raise ValueError(f"supports have sizes {before:g} and {after:g}; both must be above 0")
    receipt = Receipt("uniform on the support", version=__version__)
    return Measurement("log |supp p0|/|supp p|", math.log(before / after), 0.0, bound=Bound.EXACT, receipt=receipt)
