"""Experts' means of numbers made into one: regressed on, online."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from infoscope.prequential.mixture import Experts

FREEDOMS = (0.01, 0.1)
"""Prior variances of the weights."""


def stacked(families: Sequence[Experts]) -> Experts:
    """All that the families predict of an example's numbers, and Bayesian regressions of these on their means.

    Within each family the means are weighed by Bayes' rule for Gaussian residuals of unknown scale; the regression's
    weights begin at equal shares with prior variance `FREEDOMS`. Each number has weights of its own.
    """
    rows = [next(family) for family in families]
    within = [Residuals(len(each), each.shape[1]) for each in rows]
    stacks = [[Regression(len(rows), freedom) for freedom in FREEDOMS] for _ in range(rows[0].shape[1])]
    while True:
        known = np.stack([each.mean(row[:, :, 0]) for each, row in zip(within, rows, strict=True)])
        own = np.array(
            [[stack.predict(means) for stack in of_number] for of_number, means in zip(stacks, known.T, strict=True)]
        )
        sent = yield np.concatenate([*rows, np.moveaxis(own, 0, 1)])
        for each in within:
            each.learn(sent)
        for of_number, number in zip(stacks, sent, strict=True):
            for stack in of_number:
                stack.learn(float(number))
        try:
            rows = [family.send(sent) for family in families]
        except StopIteration:
            return


class Residuals:
    """Experts' means weighed by (1 + Σ residual²)^(−n/2), one weight a number."""

    def __init__(self, experts: int, dim: int) -> None:
        self.squares, self.seen = np.ones((experts, dim)), 0
        self.means = np.zeros((experts, dim))

    def mean(self, means: Float[np.ndarray, "experts dim"]) -> Float[np.ndarray, " dim"]:
        """The weighed mean."""
        self.means = means
        logs = -0.5 * self.seen * np.log(self.squares)
        weights = np.exp(logs - logs.max(0))
        return (weights * means).sum(0) / weights.sum(0)

    def learn(self, numbers: Float[np.ndarray, " dim"]) -> None:
        """Count the residuals."""
        self.squares += (numbers - self.means) ** 2
        self.seen += 1


class Regression:
    """Online Bayesian linear regression about equal shares; a constant is among the inputs.

    Predicts mean and deviation √(1 + φᵀΣφ), in units of the noise, whose variance is that of the residuals so far.
    """

    def __init__(self, size: int, freedom: float) -> None:
        self.weights = np.append(np.full(size, 1 / size), 0.0)
        self.covariance = np.eye(size + 1) * freedom
        self.inputs, self.mean = np.zeros(size + 1), 0.0
        self.count, self.squares = 1.0, 1.0

    def predict(self, means: Float[np.ndarray, " size"]) -> tuple[float, float]:
        """Mean and deviation."""
        self.inputs = np.append(means, 1.0)
        self.mean = float(self.weights @ self.inputs)
        noise = self.squares / self.count
        spread = float(self.inputs @ self.covariance @ self.inputs) / noise
        return self.mean, (1 + spread) ** 0.5

    def learn(self, number: float) -> None:
        """Bayes' rule, with the noise that the residuals so far tell."""
        noise, step = self.squares / self.count, self.covariance @ self.inputs
        error = number - self.mean
        scale = noise + self.inputs @ step
        self.covariance -= np.outer(step, step / scale)
        self.weights += step * (error / scale)
        self.count += 1
        self.squares += error**2
