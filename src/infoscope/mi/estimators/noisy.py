"""Exact information of a layer with Gaussian noise, by Monte Carlo."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int

from infoscope.measurement import Bound
from infoscope.mi.method import Claims, Finding
from infoscope.mi.sample import Side
from infoscope.options import above_zero, at_least

TILE = 1 << 20
"""Kernel values that are held at a time."""


@dataclass(frozen=True)
class Noisy:
    """I(X;T̂) and I(T̂;Y) of T̂ = T + Z, Z Gaussian of this variance, over the empirical distribution (Goldfeld 2019).

    T̂ is a mixture of Gaussians about the n activations, so its density is known and
    I(X;T̂) = E[log p(t̂|x) / p(t̂)], I(T̂;Y) = E[log p(t̂|y) / p(t̂)]: means over `samples` draws of t̂, equally many
    from each activation, with their standard errors. Between the two bounds of `KDE`, without bias. For data
    processing to hold along layers the network itself must carry the noise: give activations of a noisy forward pass.

    >>> two = Side(np.array([[0.0], [1.0]]))
    >>> x_t, _ = Noisy(0.1, 20_000).layer(two, Side(np.array([0, 1]), 2), 0)
    >>> bool(abs(x_t.value / np.log(2) - 0.7929114526677669) < 4 * x_t.stderr / np.log(2) < 0.03)
    True
    """

    variance: float = 1e-3
    samples: int = 20_000

    takes: ClassVar[tuple[str, ...]] = ("points-labels",)
    subsampled: ClassVar[bool] = False
    claims = Claims(estimates="noisy", seeded=True)

    def __post_init__(self) -> None:
        above_zero(self, "variance")
        at_least(self, "samples", 2)

    def estimate(self, x: Side, y: Side, seed: int) -> Finding:
        """I(X + noise; Y)."""
        return self.layer(x, y, seed)[1]

    def layer(self, t: Side, y: Side, seed: int) -> tuple[Finding, Finding]:
        """I(X;T̂) and I(T̂;Y)."""
        x_t, t_y = log_ratios(t.values, y, self.variance, self.samples, np.random.default_rng(seed))
        return _finding(x_t, len(t)), _finding(t_y, len(t))


def log_ratios(
    points: Float[np.ndarray, "n d"], y: Side, variance: float, samples: int, draws: np.random.Generator
) -> tuple[Float[np.ndarray, " s"], Float[np.ndarray, " s"]]:
    """Log-ratios p(t̂|x)/p(t̂) and p(t̂|y)/p(t̂) of draws of t̂, equally many from each activation if there are enough."""
    x = (points - points.mean(0, dtype=np.float64)) / math.sqrt(2 * variance)
    n, d = x.shape
    repeats, rest = divmod(samples, n)
    centres = np.concatenate([np.repeat(np.arange(n), repeats), draws.permutation(n)[:rest]])
    sizes = np.bincount(y.values)
    members = np.argsort(y.values, kind="stable")
    place = np.argsort(members)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    x_t, t_y = np.empty(len(centres)), np.empty(len(centres))
    step = max(1, TILE // n)
    for i in range(0, len(centres), step):
        rows = centres[i : i + step]
        noise = draws.normal(scale=math.sqrt(0.5), size=(len(rows), d))
        kernel, own = _kernel(x[rows] + noise, x[members], place[rows], noise)
        of_class = _class_sums(kernel, starts)[np.arange(len(rows)), y.values[rows]]
        whole = np.log(kernel.sum(1) / n)
        x_t[i : i + step] = own - whole
        t_y[i : i + step] = np.log(of_class / sizes[y.values[rows]]) - whole
    return x_t, t_y


def _kernel(
    a: Float[np.ndarray, "s d"],
    b: Float[np.ndarray, "n d"],
    own: Int[np.ndarray, " s"],
    noise: Float[np.ndarray, "s d"],
) -> tuple[Float[np.ndarray, "s n"], Float[np.ndarray, " s"]]:
    """exp(−‖a_i − b_j‖² − shift_i), the shift such that a row never vanishes, and the logarithm at each row's own b.

    a_i is its own b and the noise, so that distance needs no difference of large squares: no draw says more than log n.
    """
    exponents = 2 * (a @ b.T)
    exponents -= np.einsum("ij,ij->i", a, a)[:, None]
    exponents -= np.einsum("ij,ij->i", b, b)
    rows = np.arange(len(a))
    exponents[rows, own] = -np.einsum("ij,ij->i", noise, noise)
    exponents -= exponents.max(1)[:, None]
    log_own = exponents[rows, own]
    return np.exp(exponents, out=exponents), log_own


def _class_sums(kernel: Float[np.ndarray, "s n"], starts: Int[np.ndarray, " edges"]) -> Float[np.ndarray, "s classes"]:
    return np.add.reduceat(kernel, starts[:-1], axis=1)


def _finding(values: Float[np.ndarray, " s"], n: int) -> Finding:
    stderr = float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return Finding(float(values.mean()), stderr, "draws of the noise", Bound.EXACT)
