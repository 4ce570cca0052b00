"""Samples whose mutual information is known: the 40 settings of Czyż et al. (2023), rebuilt from their closed forms.

A base's density ratio has its information as mean, and a warp can be undone: both are checked on samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from infoscope.testing.distributions import Additive, Base, Normal, Pair, Points, Student
from warps import ASINH, CDF, HALF_CUBE, PEAKS_X, PEAKS_Y, ROLL, WIGGLY_X, WIGGLY_Y, Warp, spiral


class Known(Protocol):
    """Pairs whose information is known, nats; `kind` as in "points-labels", `dims` the coordinates of both sides."""

    @property
    def information(self) -> float:
        """I(X;Y), nats."""
        ...

    @property
    def kind(self) -> str:
        """Kinds of x and of y."""
        ...

    @property
    def dims(self) -> int:
        """Coordinates."""
        ...

    def sample(self, n: int, draws: np.random.Generator) -> Pair:
        """Draw n pairs."""
        ...


def warped(pairs: Pair, of_x: Sequence[Warp], of_y: Sequence[Warp]) -> Pair:
    """Pairs whose sides went through these warps, in order."""
    x, y = pairs
    for warp in of_x:
        x = warp.map(x)
    for warp in of_y:
        y = warp.map(y)
    return x, y


@dataclass(frozen=True)
class Setting:
    """A base, and warps of x and of y that are applied in order."""

    base: Base
    x: tuple[Warp, ...] = ()
    y: tuple[Warp, ...] = ()

    @property
    def information(self) -> float:
        """That of the base, nats."""
        return self.base.information

    @property
    def kind(self) -> str:
        """Points both."""
        return "points-points"

    @property
    def dims(self) -> int:
        """Coordinates of both sides."""
        return sum(side.shape[1] for side in self.sample(1, np.random.default_rng(0)))

    def sample(self, n: int, draws: np.random.Generator) -> Pair:
        """Draw n pairs."""
        return warped(self.base.sample(n, draws), self.x, self.y)

    def unwarped(self, x: Points, y: Points) -> Pair:
        """The base's pairs, from the warped ones."""
        for warp in reversed(self.x):
            x = warp.inverse(x)
        for warp in reversed(self.y):
            y = warp.inverse(y)
        return x, y


def _bmi() -> dict[str, Setting]:
    plane = Normal(1, 1, across=(0.75,))
    student = {(d, df): Student(d, d, df) for d, df in ((1, 1), (2, 1), (2, 2), (3, 2), (3, 3), (5, 2), (5, 3))}
    pairs = {d: Normal(d, d, across=(0.8, 0.8)) for d in (2, 3, 5, 25)}
    found = {
        "1v1-normal-0.75": Setting(plane),
        "normal_cdf-1v1-normal-0.75": Setting(plane, (CDF,), (CDF,)),
        "1v1-additive-0.1": Setting(Additive(0.1)),
        "1v1-additive-0.75": Setting(Additive(0.75)),
        "1v1-bimodal-0.75": Setting(plane, (PEAKS_X,), (PEAKS_Y,)),
        "wiggly-1v1-normal-0.75": Setting(plane, (WIGGLY_X,), (WIGGLY_Y,)),
        "half_cube-1v1-normal-0.75": Setting(plane, (HALF_CUBE,), (HALF_CUBE,)),
        "swissroll_x-normal_cdf-1v1-normal-0.75": Setting(plane, (CDF, ROLL), (CDF,)),
    }
    found |= {f"multinormal-dense-{d}-{d}-0.5": Setting(Normal(d, d, 0.5, 0.5)) for d in (2, 3, 5, 25, 50)}
    found |= {f"multinormal-sparse-{d}-{d}-2-2.0": Setting(base) for d, base in pairs.items()}
    for (d, df), base in student.items():
        found[f"student-identity-{d}-{d}-{df}"] = Setting(base)
        if (d, df) in ((1, 1), (2, 1), (3, 2), (5, 2)):
            found[f"asinh-student-identity-{d}-{d}-{df}"] = Setting(base, (ASINH,), (ASINH,))
    for d in (3, 5, 25):
        name, turns = f"multinormal-sparse-{d}-{d}-2-2.0", ((spiral(0, 1, d),), (spiral(1, 2, d),))
        found[f"normal_cdf-{name}"] = Setting(pairs[d], (CDF,), (CDF,))
        found[f"half_cube-{name}"] = Setting(pairs[d], (HALF_CUBE,), (HALF_CUBE,))
        found[f"spiral-{name}"] = Setting(pairs[d], *turns)
        found[f"spiral-normal_cdf-{name}"] = Setting(pairs[d], *((CDF, *turn) for turn in turns))
    return found


BMI = _bmi()
"""The 40 settings by their names in the public benchmark's version 1."""
