"""Many predictors made into one, online: the weights, too, are learned from labels already sent."""

from __future__ import annotations

from collections.abc import Generator
from typing import Protocol

import numpy as np
from jaxtyping import Float

Experts = Generator[np.ndarray, int, None]
"""Yields the log-probabilities of the next label, (experts, classes) in nats, and is then sent the label."""

LEAST = -690.0  # below exp(−690) a float64 is no longer reliably above zero


class _Predictor(Protocol):
    def predict(self, rows: Float[np.ndarray, "e c"]) -> Float[np.ndarray, " c"]: ...

    def learn(self, label: int) -> None: ...


def mixture(experts: Experts) -> Generator[Float[np.ndarray, " classes"], int, None]:
    """One code from many: yields the probabilities of the next label, sums to 1, all above 0.

    A Bayes mixture with equal weights over E experts: the rows given, a uniform one, a Krichevsky–Trofimov one, and
    two learned combinations of all these, `Posterior` with switching and `Logistic` on top of it. So whatever the data

        L ≤ min_e L_e + log E,    E = rows + 4,

    and random labels cost at most log E more than uniform.

    >>> def one_row(n):
    ...     for _ in range(n):
    ...         yield np.log([[0.5, 0.5]])
    >>> code = mixture(one_row(2))
    >>> next(code)
    array([0.5, 0.5])
    """
    rows = next(experts)
    tally = Tally(rows.shape[1])
    size = len(rows) + 2
    switching, logistic, bayes = Posterior(size, share=0.3), Logistic(size + 1), Posterior(size + 2)
    while True:
        rows = np.concatenate([rows, tally.rows()])
        switched = switching.predict(rows)[None]
        bent = logistic.predict(np.concatenate([switched, rows]))[None]
        log_p = bayes.predict(np.concatenate([rows, switched, bent]))
        p = np.exp(np.maximum(log_p, LEAST))
        label = yield p / p.sum()
        for learner in (switching, logistic, bayes, tally):
            learner.learn(label)
        try:
            rows = experts.send(label)
        except StopIteration:
            return


class Tally:
    """The two experts that look at no input: uniform, and the estimator of Krichevsky & Trofimov (1981).

    >>> tally = Tally(2)
    >>> tally.learn(1)
    >>> np.exp(tally.rows())
    array([[0.5 , 0.5 ],
           [0.25, 0.75]])
    """

    def __init__(self, classes: int) -> None:
        self.counts = np.full(classes, 0.5)
        self.uniform = np.full(classes, -np.log(classes))

    def rows(self) -> Float[np.ndarray, "2 classes"]:
        """Log-probabilities 1/C and (n_c + ½) / (n + C/2)."""
        return np.stack([self.uniform, np.log(self.counts / self.counts.sum())])

    def learn(self, label: int) -> None:
        """Count the label."""
        self.counts[label] += 1


class Posterior:
    """Experts weighed by what they would have paid so far; with `share` they may hand over to each other.

    Before label t a part share/(t + 1) of the weight is dealt out evenly (Herbster & Warmuth 1998, "Tracking the best
    expert"). The falling rate is that of the switch distribution (van Erven, Grünwald & de Rooij 2012, "Catching up
    faster"): a few hand-overs, most of them early, cost a few bits each. Without `share` this is Bayes' rule,
    L ≤ min_e L_e + log E.
    """

    def __init__(self, size: int, share: float = 0.0) -> None:
        self.log_weights = np.full(size, -np.log(size))
        self.share, self.seen = share, 0
        self.rows = np.empty((size, 0))

    def predict(self, rows: Float[np.ndarray, "e c"]) -> Float[np.ndarray, " c"]:
        """The weighed average log Σ_e w_e p_e."""
        self.rows = rows
        return _log_sum_exp(self.log_weights[:, None] + rows)

    def learn(self, label: int) -> None:
        """Bayes' rule, then the hand-over."""
        self.seen += 1
        weights = self.log_weights + self.rows[:, label]
        weights -= _log_sum_exp(weights)
        if self.share:
            rate = self.share / (self.seen + 1)
            weights = np.log((1 - rate) * np.exp(weights) + rate / len(weights))
        self.log_weights = weights


class Logistic:
    """Experts combined in the logit domain, p ∝ exp(Σ_e w_e log p_e), which can be surer than each of them alone.

    The geometric mixing of PAQ (Mattern 2012, "Mixing strategies in data compression"), started at w = (1, 0, …, 0)
    and learned by Newton steps with the outer product of the gradients for curvature (Hazan, Agarwal & Kale 2007,
    "Logarithmic regret algorithms for online convex optimization"), so without a learning rate; `freedom` is the prior
    variance of the weights.
    """

    def __init__(self, size: int, freedom: float = 0.01, floor: float = -40.0) -> None:
        self.weights = np.eye(1, size)[0]
        self.covariance = np.eye(size) * freedom
        self.floor = floor
        self.rows, self.p = np.empty((size, 0)), np.empty(0)

    def predict(self, rows: Float[np.ndarray, "e c"]) -> Float[np.ndarray, " c"]:
        """Log-probabilities of the combination, with a trace of uniform so that no label is ruled out."""
        self.rows = np.maximum(rows, self.floor)
        log_p = self.weights @ self.rows
        log_p -= _log_sum_exp(log_p)
        self.p = np.exp(log_p)
        return np.logaddexp(log_p, self.floor) - np.log1p(len(log_p) * np.exp(self.floor))

    def learn(self, label: int) -> None:
        """One step: Σ ← (Σ⁻¹ + ggᵀ)⁻¹, w ← w + Σg, with g the gradient of log p(label)."""
        gradient = self.rows[:, label] - self.rows @ self.p
        step = self.covariance @ gradient
        scale = 1 + gradient @ step
        self.covariance -= np.outer(step, step / scale)
        self.weights += step / scale


def _log_sum_exp(a: np.ndarray) -> np.ndarray:
    top = a.max(0)
    return top + np.log(np.exp(a - top).sum(0))
