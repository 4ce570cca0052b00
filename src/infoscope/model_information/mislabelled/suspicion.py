"""Which labels are wrong, as far as it can be told: what every estimate of it comes to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Shaped
from scipy.stats import gamma

WEAK = 10.0
"""Bits by which one account of the labels must be shorter than another for that one to be left out."""

HALF = 3.0
"""Bits by which one of those that are kept is longer than another when it counts half as much."""

GROUPS = 8
"""Of examples that are left out in turn, for the error of what was fitted."""

TOGETHER = 0.7
"""How much of the doubt about single labels is shared: what an account misjudges, it misjudges alike."""

TAIL = 0.05


@dataclass(frozen=True, eq=False)
class Suspicion:
    """Of every label how probably it is wrong, `error` of that, what it should be, and what it costs given all others.

    `bits` are under what the others say of the true label, noise left out; NaN and P = 0 where a label is masked.
    `count` wrong labels are expected, with its standard error, 90 % from `lower` to `upper`; `accounts` are how the
    labels came about, as far as the data do not decide. `undecided` says that one of these has no wrong label.
    """

    wrong: Float[np.ndarray, " n"]
    error: Float[np.ndarray, " n"]
    suggested: Shaped[np.ndarray, " n"]
    bits: Float[np.ndarray, " n"]
    count: float
    count_error: float
    lower: float
    upper: float
    accounts: tuple[str, ...]
    undecided: bool


@dataclass(frozen=True, eq=False)
class Account:
    """One way in which the labels may have come about, fitted: its bits, P(wrong), and the same without each group.

    Without `noise` no label is wrong, and whatever is unclear is so by nature.
    """

    name: str
    noise: bool
    bits: float
    wrong: Float[np.ndarray, " n"]
    without: Float[np.ndarray, "groups n"]

    @property
    def variance(self) -> float:
        """Of the number of wrong labels: chance, doubts that are shared, and the error of the fit (jackknife)."""
        doubt = float((self.wrong * (1 - self.wrong)).sum())
        return doubt + (TOGETHER * doubt) ** 2 + float(_jackknife(self.without.sum(1, keepdims=True))[0])

    def interval(self) -> tuple[float, float]:
        """90 % of the number of wrong labels, by a gamma distribution of this mean and variance."""
        mean, variance = float(self.wrong.sum()), self.variance
        if not mean > 0 or not variance > 0:
            return mean, mean
        ends = gamma.ppf([TAIL, 1 - TAIL], mean**2 / variance, scale=variance / mean)
        return float(ends[0]), float(ends[1])


def undecided(bits: Sequence[float]) -> Bool[np.ndarray, " accounts"]:
    """Which accounts are kept: those within `WEAK` bits of the shortest. No account is exact, so less decides nothing.

    >>> undecided([100.0, 104.0, 130.0]).tolist()
    [True, True, False]
    """
    return np.array(bits) <= min(bits) + WEAK


def together(
    kept: Sequence[Account],
    suggested: Shaped[np.ndarray, " n"],
    bits: Float[np.ndarray, " n"],
    against: int = 0,
) -> Suspicion:
    """The accounts with a noise count by their bits; the interval spans those that are kept.

    A noise that strikes where the inputs are unclear and a nature that is unclear there look alike. So where the labels
    without noise are kept, every end is open: none is wrong, or all that are `against` what the others say.
    """
    every = np.exp2(-(np.array([one.bits for one in kept]) - min(one.bits for one in kept)) / HALF)
    every /= every.sum()
    weights = every * [one.noise for one in kept]
    weights /= weights.sum()
    wrong = weights @ np.stack([one.wrong for one in kept])
    counts = np.array([one.wrong.sum() for one in kept])
    count = float(weights @ counts)
    variance = every @ (np.array([one.variance for one in kept]) + (counts - count) ** 2)
    lower, upper = zip(*(one.interval() for one in kept), strict=True)
    spread = every @ np.stack([_jackknife(one.without) + (one.wrong - wrong) ** 2 for one in kept])
    unsure = not all(one.noise for one in kept)
    most = float(max(*upper, against)) if unsure else max(upper)
    names = tuple(one.name for one in kept)
    return Suspicion(wrong, spread**0.5, suggested, bits, count, float(variance**0.5), min(lower), most, names, unsure)


def groups(n: int) -> list[Bool[np.ndarray, " n"]]:
    """The examples without each group."""
    return [np.arange(n) % GROUPS != g for g in range(GROUPS)]


def _jackknife(without: Float[np.ndarray, "groups n"]) -> Float[np.ndarray, " n"]:
    g = len(without)
    return (g - 1) / g * ((without - without.mean(0)) ** 2).sum(0)
