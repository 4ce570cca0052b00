"""Invertible maps of one side of a sample, which leave information as it is."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from infoscope.testing.distributions import Points


@dataclass(frozen=True)
class Warp:
    """An invertible map of one side's rows, and the way back."""

    map: Callable[[Points], Points]
    inverse: Callable[[Points], Points]


def monotone(f: Callable[[Points], Points], low: float, high: float) -> Warp:
    """An increasing function of every column; its inverse by interpolation on [low, high]."""
    grid = np.linspace(low, high, 1_000_001)
    if not (np.diff(f(grid)) > 0).all():
        raise ValueError(f"the map does not increase everywhere on [{low}, {high}]; give one that does")
    return Warp(f, lambda z: np.interp(z, f(grid), grid))


def spiral(i: int, j: int, d: int) -> Warp:
    """Turns coordinates i and j by an angle of ‖x‖²/d: of volume 1, and ‖x‖ stays."""

    def turned(z: Points, sign: int) -> Points:
        angle = sign * np.square(z).sum(1) / d
        out = z.copy()
        out[:, i] = np.cos(angle) * z[:, i] - np.sin(angle) * z[:, j]
        out[:, j] = np.sin(angle) * z[:, i] + np.cos(angle) * z[:, j]
        return out

    return Warp(lambda z: turned(z, 1), lambda z: turned(z, -1))


def _rolled(u: Points) -> Points:
    t = 1.5 * math.pi * (1 + 2 * u)
    return np.hstack([t * np.cos(t), t * np.sin(t)]) / 21


def _unrolled(z: Points) -> Points:
    """The angle is the distance from the origin."""
    t = 21 * np.hypot(z[:, :1], z[:, 1:])
    return (t / (1.5 * math.pi) - 1) / 2


def _wiggly_x(x: Points) -> Points:
    return x + 0.4 * np.sin(x) + 0.2 * np.sin(1.7 * x + 1) + 0.03 * np.sin(3.3 * x - 2.5)


def _wiggly_y(y: Points) -> Points:
    return y - 0.4 * np.sin(0.4 * y) + 0.17 * np.sin(1.3 * y + 3.5) + 0.02 * np.sin(4.3 * y - 2.5)


def _two_peaks(first: float, at: float, then: float) -> Warp:
    """Normal to a mixture of two unit normals of weights `first` and 1 − `first`, through its distribution function."""
    back = monotone(lambda z: first * ndtr(z - at) + (1 - first) * ndtr(z - then), min(at, then) - 6, max(at, then) + 6)
    return Warp(lambda z: back.inverse(ndtr(z)), lambda z: ndtri(back.map(z)))


CDF = Warp(ndtr, ndtri)
HALF_CUBE = Warp(lambda z: z * np.sqrt(np.abs(z)), lambda z: np.sign(z) * np.abs(z) ** (2 / 3))
ASINH = Warp(np.arcsinh, np.sinh)
ROLL = Warp(_rolled, _unrolled)
WIGGLY_X, WIGGLY_Y = monotone(_wiggly_x, -12, 12), monotone(_wiggly_y, -12, 12)
PEAKS_X, PEAKS_Y = _two_peaks(0.3, 0, 5), _two_peaks(0.5, -1, 3)
