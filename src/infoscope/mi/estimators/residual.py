"""Information by what a regression leaves: much of it is seen where neighbours, and critics, see little."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from infoscope.measurement import Status
from infoscope.mi.estimators.ksg import KSG
from infoscope.mi.method import Claims, Finding
from infoscope.mi.numerics.entropies import spread_out
from infoscope.mi.numerics.functional import DIGITS
from infoscope.mi.numerics.neighbours import nearest_euclidean, standardised
from infoscope.mi.numerics.regression import left_out_residuals, log_volume
from infoscope.mi.numerics.tails import tamed
from infoscope.mi.numerics.ties import repeats
from infoscope.mi.sample import Side

FEWEST = 20
"""Examples below which nothing is fitted."""


@dataclass(frozen=True)
class Residual:
    """I(X;Y) = h(Y) − h(R) + I(X;R), R = Y − f(X), for any f: taking f(X) off changes no volume.

    f is fitted so that R is small (ridge regression on random features), each example's by the others; h are the
    entropies of Kozachenko & Leonenko (1987), whose constants cancel, and I(X;R), what is left, is by `KSG`. Y is the
    side of fewer columns.

    It is for high information in few dimensions, Y a function of X and a little noise: the noise's size is seen in
    h(R) however small it is, while distances between pairs must come down to it for `KSG` to see it. Where Y
    is no function, such as on a circle, it sees no more than `KSG`.

    >>> draws = np.random.default_rng(0)
    >>> x = draws.normal(size=(1000, 1))
    >>> y = x + 1e-4 * draws.normal(size=(1000, 1))
    >>> bool(abs(Residual().estimate(Side(x), Side(y), 0).value - np.log(1e4)) < 0.1)
    True
    """

    k: int = 5

    takes: ClassVar[tuple[str, ...]] = ("points-points",)
    subsampled: ClassVar[bool] = True
    claims = Claims(assumes="smooth", ceiling=False, seeded=True, dims=12)

    def __post_init__(self) -> None:
        KSG(self.k)

    def estimate(self, x: Side, y: Side, seed: int) -> Finding:
        """Entropies of the side of fewer columns and of what is left of it, and what is left to know."""
        n = len(x)
        if n < max(FEWEST, self.k + 1):
            raise ValueError(f"Residual needs {max(FEWEST, self.k + 1)} examples or more and has {n}")
        draws = np.random.default_rng(seed)
        u, v = (tamed(spread_out(standardised(side.values), draws)) for side in (x, y))
        if v.shape[1] > u.shape[1]:
            u, v = v, u
        rest = left_out_residuals(u, v, draws)
        if _is_rounding(rest, max(np.finfo(side.values.dtype).eps for side in (x, y))):
            return Finding(math.nan, status=frozenset({Status.INFINITE}))
        d = v.shape[1]
        (whole, volume), (left, rest_volume) = _whitened(v), _whitened(rest)
        apart = [np.log(nearest_euclidean(points, self.k)[0][:, -1]) for points in (whole, left)]
        known = volume - rest_volume + d * float(np.mean(apart[0] - apart[1]))
        more = KSG(self.k).estimate(Side(u), Side(left), seed).value
        status = frozenset({Status.TIES} if repeats(x) or repeats(y) else ())
        return Finding(known + more, status=status)


def _is_rounding(points: Float[np.ndarray, "n d"], finest: float) -> bool:
    """Whether there is nothing in some direction but the last digits."""
    return float(np.linalg.svd(points, compute_uv=False)[-1]) < DIGITS * finest * math.sqrt(len(points))


def _whitened(points: Float[np.ndarray, "n d"]) -> tuple[Float[np.ndarray, "n d"], float]:
    """The points at unit covariance, and the logarithm of the volume that this took off."""
    centred = points - points.mean(0)
    u, _, vt = np.linalg.svd(centred, full_matrices=False)
    return u @ vt * np.sqrt(len(points)), log_volume(centred)
