"""Several labels at once, sent one after the other: independent heads and chains, mixed for each label by itself.

L = −Σ_i Σ_j log p(y_ij | x, y_i,<j, past): what is already sent of an example may tell about the rest.
"""

from __future__ import annotations

from collections.abc import Generator

import numpy as np
from jaxtyping import Bool, Float, Int

from infoscope.prequential.mixture import Experts, Mixture, Posterior

REACH = 32
"""Earlier labels of the same example that the logistic chain looks at."""


def mixture(experts: Experts, mask: Bool[np.ndarray, "n names"]) -> Generator[np.ndarray, int, None]:
    """The code of labels: yields the probabilities of 0 and 1 of the next label that is sent.

    `experts` yields logits (heads, names) of an example and is sent its labels, −1 where masked. To the heads of each
    label come its Krichevsky–Trofimov counts, those in the context of the last one and the last two labels sent, and a
    logistic regression on the earlier labels of the example and the heads' own mixed logit.
    """
    logits = next(experts)
    places = [_Label(len(logits), min(j, REACH)) for j in range(mask.shape[1])]
    for sent in mask:
        labels = np.full(mask.shape[1], -1)
        for j in np.flatnonzero(sent):
            label = yield places[j].predict(logits[:, j], labels[:j])
            places[j].learn(label)
            labels[j] = label
        try:
            logits = experts.send(labels)
        except StopIteration:
            return


class _Label:
    """All that predicts one of the labels."""

    def __init__(self, heads: int, earlier: int) -> None:
        self.heads = Posterior(heads, share=0.3) if heads else None
        self.counts = [Counts(order) for order in (1, 2) if order <= earlier]
        self.chain = Chain(1 + bool(heads) + earlier, heads > 0)
        self.mixed = Mixture(heads + len(self.counts) + 1, 2)

    def predict(self, logits: Float[np.ndarray, " heads"], earlier: Int[np.ndarray, " earlier"]) -> np.ndarray:
        rows = log_bernoulli(logits)
        inputs = [np.ones(1), *self._own_logit(rows), np.where(earlier < 0, 0.0, 2.0 * earlier - 1)[-REACH:]]
        chained = log_bernoulli(np.array([self.chain.predict(np.concatenate(inputs))]))
        counted = [each.row(earlier)[None] for each in self.counts]
        return self.mixed.predict(np.concatenate([rows, *counted, chained]))

    def _own_logit(self, rows: Float[np.ndarray, "heads 2"]) -> list[np.ndarray]:
        if self.heads is None:
            return []
        low, high = self.heads.predict(rows)
        return [np.clip([high - low], -20, 20)]

    def learn(self, label: int) -> None:
        for learner in (self.mixed, self.chain, *self.counts, *([self.heads] if self.heads else [])):
            learner.learn(label)


class Counts:
    """Krichevsky–Trofimov counts in the context of the last `order` labels of the example, masked ones among them.

    >>> counts = Counts(1)
    >>> _ = counts.row(np.array([1])); counts.learn(1)
    >>> np.exp(counts.row(np.array([1]))), np.exp(counts.row(np.array([0])))
    (array([0.25, 0.75]), array([0.5, 0.5]))
    """

    def __init__(self, order: int) -> None:
        self.order, self.tables = order, {}
        self.table = np.full(2, 0.5)

    def row(self, earlier: Int[np.ndarray, " earlier"]) -> Float[np.ndarray, " outcomes"]:
        """Log-probabilities (n_c + ½) / (n + 1)."""
        self.table = self.tables.setdefault(tuple(earlier[-self.order :].tolist()), np.full(2, 0.5))
        return np.log(self.table / self.table.sum())

    def learn(self, label: int) -> None:
        """Count the label in the context that was asked for last."""
        self.table[label] += 1


class Chain:
    """Online Bayesian logistic regression: Newton steps with the curvature of all past examples, no learning rate.

    Prior N(0, `freedom`) for every weight; that of the heads' own logit, the second input where there are `heads`,
    begins at one.
    """

    def __init__(self, size: int, heads: bool, freedom: float = 4.0) -> None:
        self.weights = np.zeros(size)
        self.weights[1:2] = float(heads)
        self.covariance = np.eye(size) * freedom
        self.inputs, self.p = np.zeros(size), 0.5

    def predict(self, inputs: Float[np.ndarray, " size"]) -> float:
        """The logit."""
        self.inputs = inputs
        z = float(np.clip(self.weights @ inputs, -30, 30))
        self.p = 1 / (1 + np.exp(-z))
        return z

    def learn(self, label: int) -> None:
        """Σ ← (Σ⁻¹ + p (1 − p) φφᵀ)⁻¹, w ← w + Σφ (y − p)."""
        step = self.covariance @ self.inputs
        curvature = self.p * (1 - self.p)
        self.covariance -= np.outer(step, step) * (curvature / (1 + curvature * (self.inputs @ step)))
        self.weights += self.covariance @ self.inputs * (label - self.p)


def log_bernoulli(logits: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n 2"]:
    """Log-probabilities of 0 and 1."""
    return -np.logaddexp(0, np.stack([logits, -logits], 1))
