"""Ross's nearest-neighbour estimator between points and labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import digamma

from infoscope.measurement import Status
from infoscope.mi.method import Claims, Finding
from infoscope.mi.numerics.neighbours import count_within, nearest, standardised
from infoscope.mi.numerics.ties import atoms, repeats, values
from infoscope.mi.sample import Side
from infoscope.options import at_least


@dataclass(frozen=True)
class Ross:
    """I(X;Y) of points X and labels Y (Ross 2014): ψ(N) + ⟨ψ(k)⟩ − ⟨ψ(N_y)⟩ − ⟨ψ(m)⟩.

    m − 1 is the number of points nearer to x_i than its k-th neighbour with the same label; k is N_y − 1 in smaller
    classes, and a label that occurs once is left out. Maximum norm, columns standardised. Where the k-th neighbour
    coincides with the point the term is log(m N / m_x m_y), as in `KSG`, and TIES is flagged.

    >>> draws = np.random.default_rng(0)
    >>> y = draws.integers(2, size=2000)
    >>> x = draws.uniform(size=(2000, 1)) + 0.5 * y[:, None]  # half of the range tells the label
    >>> bool(abs(Ross().estimate(Side(x), Side(y, 2), 0).value / np.log(2) - 0.5) < 0.05)
    True
    """

    k: int = 5

    takes: ClassVar[tuple[str, ...]] = ("points-labels",)
    subsampled: ClassVar[bool] = True
    claims = Claims(mixed=True, invariant=frozenset({"rows", "scale"}))

    def __post_init__(self) -> None:
        at_least(self, "k", 1)

    def estimate(self, x: Side, y: Side, seed: int) -> Finding:
        """Mean of the local terms."""
        sizes = np.bincount(y.values)
        kept = np.flatnonzero(sizes[y.values] > 1)
        if len(kept) < 2:
            raise ValueError(f"Ross: each of the {y.classes} labels occurs once; it needs labels that repeat")
        status = {Status.TOO_FEW_SAMPLES} if (sizes <= self.k).any() else set()
        notes = (f"{len(x) - len(kept)} labels that occur once left out",) if len(kept) < len(x) else ()
        x, y = x.take(kept), y.take(kept)
        points, n = standardised(x.values), len(kept)
        radius, k, size = np.empty(n), np.empty(n), np.empty(n)
        for label in range(y.classes):
            rows = np.flatnonzero(y.values == label)
            size[rows], k[rows] = len(rows), min(self.k, len(rows) - 1)
            radius[rows] = nearest(points[rows], min(self.k, len(rows) - 1))[0][:, -1]
        term = digamma(n) + digamma(k) - digamma(size) - digamma(count_within(points, radius) + 1)
        tied = radius == 0
        if tied.any():
            term[tied] = atoms(values(x), y)[tied]
        status |= {Status.TIES} if tied.any() or repeats(x) else set()
        return Finding(float(term.mean()), status=frozenset(status), notes=notes)
