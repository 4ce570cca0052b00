"""Information pair by pair, where sides fall into pairs of columns that are independent of each other."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

from infoscope.measurement import Status
from infoscope.mi.estimators.gaussian import Gaussian
from infoscope.mi.estimators.ksg import KSG
from infoscope.mi.estimators.residual import FEWEST, Residual
from infoscope.mi.method import Claims, Finding
from infoscope.mi.numerics.ties import repeats
from infoscope.mi.sample import Side

BEYOND = 1.5
"""A pair is not normal where neighbours see more than the closed form by this, over √n."""

HIGH = 1.0
"""Nats of a pair from which what a regression leaves is looked at."""


@dataclass(frozen=True)
class Pairs:
    """Σ_i I(X_i;Y_i) over the columns: I(X;Y) where the pairs are independent of each other, and else neither bound.

    Each pair by its normal copula, unless `KSG` sees more, and where that is much, by `Residual` if it sees more
    still. In one and one dimension all of them are sharp, where in many they are not; whether the sides fall into
    pairs, and in which coordinates, is for `infoscope.mi.numerics.pairing` to say.

    >>> import numpy as np
    >>> draws = np.random.default_rng(0)
    >>> x = draws.normal(size=(2000, 4))
    >>> y = x + draws.normal(size=(2000, 4))
    >>> bool(abs(Pairs().estimate(Side(x), Side(y), 0).value - 2 * np.log(2)) < 0.1)
    True
    """

    k: int = 5

    takes: ClassVar[tuple[str, ...]] = ("points-points",)
    subsampled: ClassVar[bool] = False
    claims = Claims(errs="anyhow", ceiling=False, seeded=True, invariant=frozenset({"scale"}))

    def __post_init__(self) -> None:
        KSG(self.k)

    def estimate(self, x: Side, y: Side, seed: int) -> Finding:
        """The sum over the columns that both sides have, and the error that their normal copulas would have."""
        columns = range(min(x.values.shape[1], y.values.shape[1]))
        each = [self._pair(Side(x.values[:, [i]]), Side(y.values[:, [i]]), seed) for i in columns]
        status = frozenset[Status]().union(*(one.status for one in each))
        error = math.hypot(*(one.stderr for one in each))
        return Finding(sum(one.value for one in each), error, "examples, if normal", status=status)

    def _pair(self, x: Side, y: Side, seed: int) -> Finding:
        normal, near = Gaussian(copula=True).estimate(x, y, seed), KSG(self.k).estimate(x, y, seed)
        near = replace(near, stderr=normal.stderr)
        if not near.value > normal.value + BEYOND / math.sqrt(len(x)) and normal.value < HIGH:
            return normal
        if near.value < HIGH or repeats(x) or repeats(y) or len(x) < FEWEST:
            return near
        left = Residual(self.k).estimate(x, y, seed)
        return replace(left, stderr=normal.stderr) if left.value > near.value else near
