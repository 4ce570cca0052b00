"""Bounds on the information of a layer with Gaussian noise, from all pairwise distances."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float, Int

from infoscope.measurement import NATS_PER_BIT, Bound
from infoscope.mi.method import Claims, Finding
from infoscope.mi.sample import Side
from infoscope.options import above_zero

TILE = 256
"""Rows and columns of kernel values that are held at a time: they stay in the processor's cache."""

COLUMNS = 512
"""Classes, of all shufflings together, whose sums are taken in one pass."""

NARROW = 64
"""Layers up to this width are always computed in double precision: the kernel's exponentials cost more than them."""

ROUNDING = 1e-3
"""Wider ones in single precision, where that moves no exponent of the kernel by more than this."""


@dataclass(frozen=True)
class KernelBounds:
    """Mean log kernel sums of one layer, nats: all that the bounds are made of.

    With K_ij = exp(−‖t_i − t_j‖² / 2v): `all_upper` = mean_i log (1/N) Σ_j K_ij and `class_upper` = mean_i log of the
    same mean over the examples of i's class; `all_lower`, `class_lower` are those of K^(1/4). `notes` says how they
    were computed.
    """

    all_upper: float
    all_lower: float
    class_upper: float
    class_lower: float
    notes: tuple[str, ...] = ()

    def findings(self, side: Literal["upper", "lower"]) -> tuple[Finding, Finding]:
        """I(X;T), which is bounded on this side, and I(T;Y), a difference of bounds with no side."""
        whole, inside = (self.all_upper, self.class_upper) if side == "upper" else (self.all_lower, self.class_lower)
        bound = Bound.UPPER if side == "upper" else Bound.LOWER
        low, high = self.class_upper - self.all_lower, self.class_lower - self.all_upper
        bracket = f"I(T;Y) lies between {low / NATS_PER_BIT:.6f} and {high / NATS_PER_BIT:.6f} bit"
        # 0.0 − whole rather than −whole: a constant layer gives 0, not −0.
        return Finding(0.0 - whole, bound=bound, notes=self.notes), Finding(
            inside - whole, notes=(*self.notes, bracket)
        )


@dataclass(frozen=True)
class KDE:
    """Kolchinsky & Tracey's (2017) bounds for T + noise, the noise being Gaussian of this variance.

    With D_ij = ‖t_i − t_j‖², the entropy of the mixture is at most
    H = d/2 + d/2·log 2πv − mean_i log((1/N) Σ_j exp(−D_ij/2v)), at least the same with D/4 in the place of D, and
    H(T|X) = d/2·(log 2πv + 1): so I(X;T) = −mean_i log((1/N) Σ_j K_ij), never above log N. I(T;Y) is a difference of
    two such bounds, has no side, and its notes tell the interval that the four of them leave.

    The noise is the estimator's, not the network's: another variance, another value, and a layer scaled up keeps
    more (Saxe et al. 2018).

    >>> two = Side(np.array([[0.0], [1.0]]))
    >>> x_t, _ = KDE(0.1, "lower").layer(two, Side(np.array([0, 1]), 2), 0)
    >>> round(float(x_t.value / np.log(2)), 12)
    0.636543163687
    """

    variance: float = 1e-3
    side: Literal["upper", "lower"] = "upper"

    takes: ClassVar[tuple[str, ...]] = ("points-labels",)
    subsampled: ClassVar[bool] = False
    claims = Claims(estimates="noisy", invariant=frozenset({"rows", "shift", "rotation"}))

    def __post_init__(self) -> None:
        above_zero(self, "variance")
        if self.side not in ("upper", "lower"):
            raise ValueError(f"KDE's side is {self.side!r}; it is 'upper' or 'lower'")

    def estimate(self, x: Side, y: Side, seed: int) -> Finding:
        """I(X;Y) for points X with noise and labels Y; exact to a bound if all labels differ."""
        x_t, t_y = kernel_bounds(x.values, y, self.variance).findings(self.side)
        return x_t if y.classes == len(y) else t_y

    def layer(self, t: Side, y: Side, seed: int) -> tuple[Finding, Finding]:
        """I(X;T) and I(T;Y)."""
        return kernel_bounds(t.values, y, self.variance).findings(self.side)

    def shuffled(self, x: Side, shufflings: Sequence[Side], seed: int) -> list[float]:
        """I(X;Y) for each of these shufflings of the labels; one pass over the distances serves as many as fit."""
        step = max(1, COLUMNS // shufflings[0].classes)
        variance = self.variance if self.side == "upper" else 4 * self.variance
        parts = [shufflings[i : i + step] for i in range(0, len(shufflings), step)]
        return [value for part in parts for value in shuffled_information(x.values, part, variance)]


def shuffled_information(points: Float[np.ndarray, "n d"], shufflings: Sequence[Side], variance: float) -> list[float]:
    """The difference of upper bounds I(T;Y), nats, for each of these shufflings of the same labels.

    A product of a tile with the members of every class of every shuffling gives all their sums.
    """
    x, _ = _centred(points, variance / 4)
    left, right = _factors(x)
    labels, classes, n = np.stack([y.values for y in shufflings], 1), shufflings[0].classes, len(x)
    member = (labels[:, :, None] == np.arange(classes)).reshape(n, -1).astype(x.dtype)
    member = np.hstack([member, np.ones((n, 1), x.dtype)])
    sums = np.zeros(member.shape)
    for i in range(0, n, TILE):
        for j in range(i, n, TILE):
            kernel = _fourth_root(left[i : i + TILE], right[j : j + TILE], diagonal=i == j)
            sums[i : i + TILE] += kernel @ member[j : j + TILE]
            if i != j:
                sums[j : j + TILE] += kernel.T @ member[i : i + TILE]
    inside = np.take_along_axis(sums[:, :-1].reshape(*labels.shape, classes), labels[:, :, None], 2)[:, :, 0]
    whole = np.log(sums[:, -1] / n).mean()
    return [float(value) for value in np.log(inside / np.bincount(labels[:, 0])[labels]).mean(0) - whole]


def kernel_bounds(points: Float[np.ndarray, "n d"], y: Side, variance: float) -> KernelBounds:
    """Both bounds and both informations from one pass over the tiles on and above the diagonal.

    K^(1/4) is what is computed, K its fourth power; K is symmetric, so a tile serves its rows and its columns; and
    rows sorted by class make every class's sum a block. Memory O(N·d + tile²).
    """
    order = np.argsort(y.values, kind="stable")
    x, notes = _centred(points[order], variance)
    left, right = _factors(x)
    labels, n = y.values[order], len(x)
    whole, inside = np.zeros((2, n)), np.zeros((2, n))
    for i in range(0, n, TILE):
        for j in range(i, n, TILE):
            kernel = _fourth_root(left[i : i + TILE], right[j : j + TILE], diagonal=i == j)
            _add_sums(kernel, i, j, labels, whole[0], inside[0])
            np.square(kernel, out=kernel)
            np.square(kernel, out=kernel)
            _add_sums(kernel, i, j, labels, whole[1], inside[1])
    sizes = np.bincount(labels)[labels]
    (all_lower, all_upper), (class_lower, class_upper) = np.log(whole / n).mean(1), np.log(inside / sizes).mean(1)
    return KernelBounds(float(all_upper), float(all_lower), float(class_upper), float(class_lower), notes)


def _factors(x: Float[np.ndarray, "n d"]) -> tuple[Float[np.ndarray, "n d+2"], Float[np.ndarray, "n d+2"]]:
    """Matrices L and R with (L Rᵀ)_ij = −‖x_i − x_j‖²: one product instead of four passes over a tile."""
    norms, ones = np.einsum("ij,ij->i", x, x)[:, None], np.ones((len(x), 1), x.dtype)
    return np.hstack([2 * x, -norms, ones]), np.hstack([x, ones, -norms])


def _fourth_root(
    left: Float[np.ndarray, "a columns"], right: Float[np.ndarray, "b columns"], diagonal: bool
) -> Float[np.ndarray, "a b"]:
    """exp(−‖x_i − x_j‖²) of a tile; the distance of a row to itself is exactly 0, and none is negative."""
    tile = left @ right.T
    np.minimum(tile, 0, out=tile)
    if diagonal:
        np.fill_diagonal(tile, 0)
    return np.exp(tile, out=tile)


def _add_sums(
    kernel: Float[np.ndarray, "a b"],
    i: int,
    j: int,
    labels: Int[np.ndarray, " n"],
    whole: Float[np.ndarray, " n"],
    inside: Float[np.ndarray, " n"],
) -> None:
    """Add the sums of the tile at (i, j) over all examples, and over those of the same class; then its mirror image."""
    for (rows, columns), sums in (
        (_all(kernel, i, j), whole),
        *((b, inside) for b in _same_class(labels, i, j, kernel)),
    ):
        block = kernel[rows.start - i : rows.stop - i, columns.start - j : columns.stop - j]
        sums[rows] += block @ np.ones(block.shape[1], kernel.dtype)
        if i != j:
            sums[columns] += np.ones(block.shape[0], kernel.dtype) @ block


def _all(kernel: Float[np.ndarray, "a b"], i: int, j: int) -> tuple[slice, slice]:
    return slice(i, i + kernel.shape[0]), slice(j, j + kernel.shape[1])


def _same_class(
    labels: Int[np.ndarray, " n"], i: int, j: int, kernel: Float[np.ndarray, "a b"]
) -> Iterator[tuple[slice, slice]]:
    """Rows and columns of each block of the tile at (i, j ≥ i) whose examples share a class; labels are sorted."""
    rows, columns = _all(kernel, i, j)
    for label in range(labels[j], labels[rows.stop - 1] + 1):
        start, stop = np.searchsorted(labels, [label, label + 1])
        yield slice(max(start, i), min(stop, rows.stop)), slice(max(start, j), min(stop, columns.stop))


def _centred(points: Float[np.ndarray, "n d"], variance: float) -> tuple[np.ndarray, tuple[str, ...]]:
    """Points about their mean in units in which K^(1/4) is exp(−‖·‖²), in the precision that this needs."""
    x = points - points.mean(0, dtype=np.float64).astype(points.dtype)
    scale = math.sqrt(8 * variance)
    if points.dtype == np.float32 and points.shape[1] > NARROW:
        x /= scale
        largest = float(np.einsum("ij,ij->i", x, x).max())
        if largest * 2.0**-22 < ROUNDING:
            return x, ("distances in single precision",)
    return (points - points.mean(0, dtype=np.float64)) / scale, ("distances in double precision",)
