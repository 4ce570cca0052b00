"""Kraskov, Stögbauer & Grassberger's nearest-neighbour estimator, for points with ties as well."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float, Int
from scipy.special import digamma

from infoscope.measurement import Status
from infoscope.mi.method import Claims, Finding
from infoscope.mi.numerics.neighbours import count_within, nearest, standardised
from infoscope.mi.numerics.ties import atoms, repeats, values
from infoscope.mi.sample import Side


@dataclass(frozen=True)
class KSG:
    """I(X;Y) from distances to the k-th neighbour in the maximum norm (Kraskov et al. 2004).

    Variant 1 (eq. 8): ψ(k) + ψ(N) − ⟨ψ(n_x + 1) + ψ(n_y + 1)⟩, n_x the number of points nearer in x than the k-th
    neighbour is in both. Variant 2 (eq. 9): ψ(k) − 1/k + ψ(N) − ⟨ψ(n_x) + ψ(n_y)⟩ with a rectangle that just holds
    the k neighbours; less bias and more variance. Columns are standardised first.

    Where the k-th neighbour coincides with the point there is no density, and the term becomes that for atoms,
    log(m N / m_x m_y) with m, m_x, m_y the examples that share both values or one (after Gao et al. 2017): finite,
    right for discrete, continuous and mixed data, and flagged TIES. In variant 2, where only one side repeats values,
    the rectangle has no width there: what is left is Ross's estimator, without the 1/k that a second width costs.

    It fails in many dimensions, where it reports too little, and cannot report more than ψ(N) − ψ(k) (Gao et al. 2015).

    >>> draws = np.random.default_rng(0)
    >>> x = draws.normal(size=(2000, 1))
    >>> y = 0.6 * x + 0.8 * draws.normal(size=(2000, 1))
    >>> round(KSG().estimate(Side(x), Side(y), 0).value, 1), round(float(-0.5 * np.log(1 - 0.6**2)), 3)
    (0.2, 0.223)
    """

    k: int = 5
    variant: Literal[1, 2] = 1

    takes: ClassVar[tuple[str, ...]] = ("points-points",)
    subsampled: ClassVar[bool] = True
    claims = Claims(mixed=True, invariant=frozenset({"rows", "sides", "scale"}))

    def __post_init__(self) -> None:
        if not self.k >= 1 or self.variant not in (1, 2):
            raise ValueError(f"KSG(k={self.k}, variant={self.variant}): k is at least 1 and variant is 1 or 2")

    def estimate(self, x: Side, y: Side, seed: int) -> Finding:
        """Mean of the local terms."""
        n = len(x)
        if n <= self.k:
            raise ValueError(f"KSG(k={self.k}) needs more than {self.k} examples and has {n}; lower k")
        a, b = standardised(x.values), standardised(y.values)
        distance, index = nearest(np.hstack([a, b]), self.k)
        radius = distance[:, -1]
        term = digamma(n) - (self._near(a, b, radius) if self.variant == 1 else self._in_rectangle(a, b, index))
        tied = radius == 0
        if tied.any():
            term[tied] = atoms(values(x), values(y))[tied]
        few = float(digamma(n) - digamma(self.k) - (self.variant == 2) / self.k)
        repeated = repeats(x) or repeats(y)
        status = frozenset({Status.TIES} if repeated or tied.any() else ())
        return Finding(float(term.mean()), status=status, ceiling=None if tied.any() else few)

    def _near(
        self, a: Float[np.ndarray, "n dx"], b: Float[np.ndarray, "n dy"], radius: Float[np.ndarray, " n"]
    ) -> Float[np.ndarray, " n"]:
        """ψ(n_x + 1) + ψ(n_y + 1) − ψ(k) of variant 1."""
        n_x, n_y = count_within(a, radius), count_within(b, radius)
        return digamma(n_x + 1) + digamma(n_y + 1) - digamma(self.k)

    def _in_rectangle(
        self, a: Float[np.ndarray, "n dx"], b: Float[np.ndarray, "n dy"], index: Int[np.ndarray, "n k"]
    ) -> Float[np.ndarray, " n"]:
        """ψ(n_x) + ψ(n_y) − ψ(k) + (w − 1)/k of variant 2, w the number of sides on which the rectangle has width.

        Where it has none, the side is an atom, and the point itself is one of it.
        """
        far_x, far_y = (_farthest(side, index) for side in (a, b))
        n_x = count_within(a, far_x, closed=True) + (far_x == 0)
        n_y = count_within(b, far_y, closed=True) + (far_y == 0)
        wide = (far_x > 0).astype(int) + (far_y > 0)
        return digamma(n_x) + digamma(n_y) - digamma(self.k) + (wide - 1) / self.k


def _farthest(side: Float[np.ndarray, "n d"], index: Int[np.ndarray, "n k"]) -> Float[np.ndarray, " n"]:
    """Distance on one side to the farthest of these neighbours."""
    far = np.zeros(len(side))
    for column in index.T:
        np.maximum(far, np.abs(side - side[column]).max(1), out=far)
    return far
