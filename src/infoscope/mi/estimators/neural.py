"""Neural estimators: a critic learns on a part of the sample, and a variational bound is taken on the rest."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import fmean
from typing import ClassVar, Protocol

import numpy as np
from jaxtyping import Float

from infoscope.measurement import Status
from infoscope.mi.method import Claims, Finding
from infoscope.mi.numerics import bounds
from infoscope.mi.numerics.critic import Critic, Lesson, Scores, learn
from infoscope.mi.numerics.normal_scores import normal_scores
from infoscope.mi.sample import Side
from infoscope.options import above_zero, share
from infoscope.run import Store

MEMORY = 2.0**30
"""Bytes that an estimate may take; where held-out pairs ask for more they are looked at in blocks."""

FEWEST = 60
"""Examples below which a critic has nothing to learn from."""


class NeuralBound(Protocol):
    """A bound from a critic that has seen the other part of the sample only: `held_out` is the share it is taken on.

    It holds for any critic, and is as tight as the critic is good. Its standard error takes the critic as given.
    Held-out pairs that would take more than `memory` bytes at once are looked at in blocks.
    """

    critic: Critic
    held_out: float
    memory: float

    takes: ClassVar[tuple[str, ...]] = ("points-points", "points-labels")
    subsampled: ClassVar[bool] = False
    learns: ClassVar[bool] = True
    formula: ClassVar[Callable[..., Finding]]
    claims: Claims = Claims(errs="down", seeded=True, invariant=frozenset({"scale", "monotone"}), examples=300)

    def bound(self, scores: Float[np.ndarray, "n n"]) -> Finding:
        """The bound from scores of held-out pairs."""
        return type(self).formula(scores)

    def __post_init__(self) -> None:
        share(self, "held_out")
        above_zero(self, "memory")
        if hasattr(self, "clip"):
            above_zero(self, "clip")

    def estimate(self, x: Side, y: Side, seed: int, store: Store | None = None) -> Finding:
        """Learn, then bound."""
        return of_scores(self.bound, critic_scores(x, y, self.critic, self.held_out, seed, store), self.memory)


@dataclass(frozen=True)
class MINE(NeuralBound):
    """Donsker & Varadhan's bound, E_p[f] − log E_pq[e^f] (Belghazi et al. 2018)."""

    critic: Critic = Critic()
    held_out: float = 0.3
    memory: float = MEMORY
    formula = staticmethod(bounds.donsker_varadhan)


@dataclass(frozen=True)
class NWJ(NeuralBound):
    """E_p[f] − E_pq[e^(f−1)] (Nguyen, Wainwright & Jordan 2010)."""

    critic: Critic = Critic()
    held_out: float = 0.3
    memory: float = MEMORY
    formula = staticmethod(bounds.nwj)


@dataclass(frozen=True)
class InfoNCE(NeuralBound):
    """InfoNCE: all n held-out pairs are one batch, and the value is at most log n (van den Oord et al. 2018)."""

    critic: Critic = Critic()
    held_out: float = 0.3
    memory: float = MEMORY
    formula = staticmethod(bounds.infonce)


@dataclass(frozen=True)
class SMILE(NeuralBound):
    """Donsker & Varadhan's with the scores of the product clipped to ±clip: no bound (Song & Ermon 2020)."""

    clip: float = 5.0
    critic: Critic = Critic()
    held_out: float = 0.3
    memory: float = MEMORY
    claims = replace(NeuralBound.claims, errs="anyhow", ceiling=False)
    formula = staticmethod(bounds.smile)

    def bound(self, scores: Float[np.ndarray, "n n"]) -> Finding:
        """SMILE."""
        return bounds.smile(scores, self.clip)


def critic_scores(x: Side, y: Side, critic: Critic, held_out: float, seed: int, store: Store | None = None) -> Scores:
    """Scores of a random held-out share by a critic that learned on the rest, on normal scores of every column.

    One look serves all bounds: `of_scores(bounds.infonce, scores)`, `of_scores(bounds.nwj, scores)` …
    """
    n = len(x)
    if n < FEWEST:
        raise ValueError(f"{n} examples are too few to learn a critic from and to hold some out; give {FEWEST} or more")
    a, b = features(x), features(y)
    order = np.random.default_rng(seed).permutation(n)
    test, train = np.split(order, [max(3, round(held_out * n))])
    return learn(Lesson(a, b, train, test, critic, seed), store)


def of_scores(bound: Callable[[Float[np.ndarray, "n n"]], Finding], scores: Scores, memory: float = MEMORY) -> Finding:
    """A bound on these scores, flagged if the critic's training had not settled; the mean over blocks if they are many.

    The blocks' ceiling is that of the smallest.
    """
    each = [bound(block.all) for block in scores.blocks(memory)]
    found = replace(
        each[0],
        value=fmean(one.value for one in each),
        stderr=math.hypot(*(one.stderr for one in each)) / len(each),
        ceiling=min((one.ceiling for one in each if one.ceiling is not None), default=None),
    )
    return found if scores.converged else replace(found, status=found.status | {Status.NOT_CONVERGED})


def features(side: Side) -> Float[np.ndarray, "n d"]:
    """What a critic sees: normal scores of points, one-hot labels."""
    if side.labels:
        return np.eye(side.classes)[side.values]
    return normal_scores(side.values)
