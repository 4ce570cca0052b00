"""Compress first, then estimate: for layers too wide for an estimator that is sharp in few dimensions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float

from infoscope.mi.estimators.ksg import KSG
from infoscope.mi.estimators.ross import Ross
from infoscope.mi.method import Claims, Finding, Method
from infoscope.mi.numerics.neighbours import standardised
from infoscope.mi.sample import Side


@dataclass(frozen=True)
class Compressed:
    """Another method's estimate between compressed sides: points wider than `dims` are brought down to it.

    By principal components (`pca`) or by an autoencoder that is trained on the points alone; neither sees the other
    side. Data processing: compressed sides share no more than the sides do, so what the code loses is missing from
    the value. Read it with `latent_sweep`: it may be believed where it no longer grows with `dims`. Without a `method`,
    or where it is not for the sides at hand, `KSG` is for points and points, `Ross` for points and labels.

    >>> draws = np.random.default_rng(0)
    >>> x = draws.normal(size=(500, 1)) @ np.ones((1, 100))
    >>> y = x[:, :1] + draws.normal(size=(500, 1))
    >>> bool(abs(Compressed(1).estimate(Side(x), Side(y), 0).value - 0.5 * np.log(2)) < 0.1)
    True
    """

    dims: int = 2
    method: Method | None = None
    by: Literal["pca", "autoencoder"] = "pca"

    takes: ClassVar[tuple[str, ...]] = ("points-points", "points-labels")
    subsampled: ClassVar[bool] = True
    projects: ClassVar[bool] = True  # one more compression, before its own

    @property
    def claims(self) -> Claims:
        """What the code loses is missing; an autoencoder is drawn."""
        return Claims(errs="down", seeded=self.by == "autoencoder", mixed=True)

    def __post_init__(self) -> None:
        if not self.dims >= 1 or self.by not in ("pca", "autoencoder"):
            raise ValueError(f"Compressed(dims={self.dims}, by={self.by!r}): dims is at least 1, by pca or autoencoder")

    def estimate(self, x: Side, y: Side, seed: int) -> Finding:
        """The method's estimate between the codes."""
        a, b = (side if side.labels else Side(self.code(side.values, seed)) for side in (x, y))
        able = self.method is not None and f"{a.kind}-{b.kind}" in self.method.takes
        method = self.method if self.method is not None and able else Ross() if b.labels else KSG()
        found = method.estimate(a, b, seed)
        note = f"sides of more than {self.dims} columns compressed by {self.by}, then {method!r}"
        return replace(found, notes=(note, *found.notes))

    def code(self, points: Float[np.ndarray, "n d"], seed: int) -> Float[np.ndarray, "n dims"]:
        """The points in at most `dims` columns."""
        if points.shape[1] <= self.dims:
            return points
        if self.by == "pca":
            return principal_components(points, self.dims)
        from infoscope.mi.numerics.autoencoder import encode

        return encode(standardised(points), self.dims, seed)


def principal_components(points: Float[np.ndarray, "n d"], dims: int) -> Float[np.ndarray, "n dims"]:
    """The points' coordinates along the directions of greatest variance."""
    centred = points.astype(np.float64) - points.mean(0, dtype=np.float64)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    return u[:, :dims] * s[:dims]
