"""Families of experts made into a few: within each family the best so far, and stacks of what the families say."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from infoscope.data.targets import Classes, Real
from infoscope.prequential.experts.family import ExampleTarget
from infoscope.prequential.experts.numbers import stacked
from infoscope.prequential.mixture import Experts, Posterior, Tally

FREEDOMS = (0.003, 0.03, 0.3)
"""Prior variances of a stack's weights."""

FLOOR = -12.0
"""Log-probabilities are stacked from here on: one surprise of one family must not turn the weights over."""

SHARES = (0.0, 0.05, 0.15, 0.3, 0.5)
"""Of labels that noise replaces by any class."""

TOLD = 16
"""Classes, the most probable, whose curvature a stack takes account of."""


def together(families: Sequence[Experts], target: ExampleTarget) -> Experts:
    """What all families predict, each of which is sent what comes.

    Of `Classes`, and if there are several families, what a `Committee` makes of it; of `Real` a regression's means are
    added.
    """
    if isinstance(target, Real):
        yield from stacked(families)
        return
    rows = [next(family) for family in families]
    joint = _from(rows, families)
    several = len(families) > 1 and isinstance(target, Classes)
    yield from in_families(joint, [len(each) for each in rows], target.outputs) if several else joint


def side_by_side(families: Sequence[Experts]) -> Experts:
    """What all families predict, one below the other; each is sent what comes."""
    yield from _from([next(family) for family in families], families)


def _from(rows: Sequence[np.ndarray], families: Sequence[Experts]) -> Experts:
    """The same of families that have begun, with these rows."""
    while True:
        sent = yield np.concatenate(rows)
        try:
            rows = [family.send(sent) for family in families]
        except StopIteration:
            return


def in_families(experts: Experts, sizes: Sequence[int], classes: int) -> Experts:
    """What a `Committee` makes of experts that are families of these sizes, one below the other."""
    committee, edges, rows = Committee(sizes, classes), np.cumsum(sizes)[:-1], next(experts)
    while True:
        sent = yield committee.predict(np.split(rows, edges))
        committee.learn(sent)
        try:
            rows = experts.send(sent)
        except StopIteration:
            return


def noisy(experts: Experts, own: int, sure: int) -> Experts:
    """Experts and what they would say of labels that are noisy: the first `own` rows as they are, and two more.

    One is for the rows from `sure` on, which may hand over to each other (`Posterior`). The other is for the first
    `sure` rows through a channel that replaces a share of the labels by any class, (1 − s) p + s / C for each s of
    `SHARES`. So experts for a case that is rare cost the others no more than two experts would.
    """
    rows = next(experts)
    others, channel = Posterior(len(rows) - sure, share=0.3), Posterior(sure * len(SHARES), share=0.3)
    shares = np.array(SHARES)[:, None, None]
    while True:
        p = np.exp(rows[:sure])
        mixed = np.log((1 - shares) * p + (shares + 1e-9) / p.shape[1]).reshape(-1, p.shape[1])
        mixed -= np.log1p(1e-9)
        label = yield np.concatenate([rows[:own], others.predict(rows[sure:])[None], channel.predict(mixed)[None]])
        others.learn(label)
        channel.learn(label)
        try:
            rows = experts.send(label)
        except StopIteration:
            return


class Committee:
    """Of each family the row that may hand over from one expert to another (`Posterior`), and `Stack`s of these.

    What a family says costs at most log of its experts more than its best one, and a few bits a hand-over.
    """

    def __init__(self, sizes: Sequence[int], classes: int) -> None:
        self.families = [Posterior(size, share=0.3) for size in sizes]
        self.tally = Tally(classes)
        self.overall = Posterior(len(sizes) + 2, share=0.3)
        self.stacks = [Stack(len(sizes) + 3, freedom, even) for freedom in FREEDOMS for even in (False, True)]

    def predict(self, rows: Sequence[np.ndarray]) -> Float[np.ndarray, "families c"]:
        """From the rows of every family, (experts, classes): one row a family, one a stack."""
        own = np.stack([family.predict(each) for family, each in zip(self.families, rows, strict=True)])
        known = np.concatenate([own, self.tally.rows()])
        known = np.concatenate([self.overall.predict(known)[None], known])
        return np.concatenate([own, [stack.predict(known) for stack in self.stacks]])

    def learn(self, label: int) -> None:
        """Bayes' rule for all."""
        for learner in (*self.families, self.overall, self.tally, *self.stacks):
            learner.learn(label)


class Stack:
    """Predictions combined in the logit domain, p ∝ exp(Σ_e w_e log p_e), by online Bayesian softmax regression.

    The prior of the weights is Gaussian with variance `freedom` about 1 for the first prediction, or with `even` about
    equal shares for all but the first and the last two. Each label is one Newton step: with r_ec = log p_e(c) and
    p the combination, Σ⁻¹ ← Σ⁻¹ + Σ_c p_c (r_c − r̄)(r_c − r̄)ᵀ, w ← w + Σ (r_y − r̄).
    """

    def __init__(self, size: int, freedom: float, even: bool = False) -> None:
        self.weights = np.eye(1, size)[0]
        if even:
            self.weights[:] = 0
            self.weights[1:-2] = 1 / (size - 3)
        self.covariance = np.eye(size) * freedom
        self.rows, self.p = np.empty((size, 0)), np.empty(0)

    def predict(self, rows: Float[np.ndarray, "e c"]) -> Float[np.ndarray, " c"]:
        """Log-probabilities of the combination."""
        self.rows = np.maximum(rows, FLOOR)
        z = self.weights @ self.rows
        z -= z.max()
        self.p = np.exp(z)
        total = self.p.sum()
        self.p /= total
        return z - np.log(total)

    def learn(self, label: int) -> None:
        """One Newton step."""
        apart = self.rows - (self.rows @ self.p)[:, None]
        told = np.argsort(-self.p, kind="stable")[:TOLD]
        reach = apart[:, told] * np.sqrt(self.p[told])
        step = self.covariance @ reach
        inner = np.eye(len(told)) + reach.T @ step
        self.covariance -= step @ np.linalg.solve(inner, step.T)
        self.weights += self.covariance @ apart[:, label]
