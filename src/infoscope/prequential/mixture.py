"""Many predictors made into one, online: the weights, too, are learned from labels already sent."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
from jaxtyping import Float

Experts = Generator[np.ndarray, Any, None]
"""Yields what every expert predicts of the next part, and is then sent that part.

Of `Classes` and `Tokens` the part is a label or a token, and the prediction its log-probabilities, (experts, classes),
nats (a masked token is sent as −100). Of `Labels` and `Real` it is an example: its labels, 0, 1 or −1 where masked, and
the prediction their logits (experts, names); its numbers in standard units, and the prediction their means and
deviations (experts, dim, 2), these up to one factor each, which the mixture learns.
"""

LEAST = -690.0  # below exp(−690) a float64 is no longer reliably above zero


class Mixture:
    """One predictor from many, for symbols of one alphabet.

    A Bayes mixture with equal weights over E experts: the rows given, a uniform one, a Krichevsky–Trofimov one, and
    two learned combinations of all these, `Posterior` with switching and `Logistic` on top of it. So whatever the data

        L ≤ min_e L_e + log E,    E = rows + 4,

    and random symbols cost at most log E more than uniform.
    """

    def __init__(self, rows: int, classes: int) -> None:
        self.tally, size = Tally(classes), rows + 2
        self.switching, self.logistic, self.bayes = Posterior(size, share=0.3), Logistic(size + 1), Posterior(size + 2)

    def predict(self, rows: Float[np.ndarray, "rows classes"]) -> Float[np.ndarray, " classes"]:
        """Probabilities of the next symbol, sum 1, all above 0."""
        rows = np.concatenate([rows, self.tally.rows()])
        switched = self.switching.predict(rows)[None]
        bent = self.logistic.predict(np.concatenate([switched, rows]))[None]
        return probabilities(self.bayes.predict(np.concatenate([rows, switched, bent])))

    def learn(self, label: int) -> None:
        """Bayes' rule for all."""
        for learner in (self.switching, self.logistic, self.bayes, self.tally):
            learner.learn(label)


def probabilities(log_p: Float[np.ndarray, " classes"]) -> Float[np.ndarray, " classes"]:
    """Probabilities from their logarithms: sum 1, all above 0."""
    p = np.exp(np.maximum(log_p, LEAST))
    return p / p.sum()


def mixture(experts: Experts) -> Generator[Float[np.ndarray, " classes"], int, None]:
    """The code of a `Mixture`: yields the probabilities of the next label, and is sent the label.

    >>> def one_row(n):
    ...     for _ in range(n):
    ...         yield np.log([[0.5, 0.5]])
    >>> code = mixture(one_row(2))
    >>> next(code)
    array([0.5, 0.5])
    """
    rows = next(experts)
    mixed = Mixture(*rows.shape)
    while True:
        label = yield mixed.predict(rows)
        mixed.learn(label)
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
        self.condition(label)
        self.hand_over()

    def condition(self, label: int) -> None:
        """Bayes' rule alone: for a digit of what is not yet sent whole."""
        weights = self.log_weights + self.rows[:, label]
        self.log_weights = weights - _log_sum_exp(weights)

    def hand_over(self) -> None:
        """Deal out a part of the weight evenly."""
        self.seen += 1
        if self.share:
            rate = self.share / (self.seen + 1)
            self.log_weights = np.log((1 - rate) * np.exp(self.log_weights) + rate / len(self.log_weights))


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
