"""A regression on features whose next examples are factored together, to be predicted a few at a time."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from infoscope.prequential.gaussian_process import Block, Ridge

AT_ONCE = 512
"""Examples that are factored together."""


class Ahead:
    """`Ridge` on rows that are known beforehand: blocks of any size from one factor of the next `AT_ONCE` rows.

    With C Cᵀ their covariance and m̄ their mean given the past, the rows a … b have the factor C_ab,ab and, once those
    before them are known, the mean m̄_ab + Σ_{j<a} C_ab,j E_j. The sums are those of `gaussian_process.substitute`.
    """

    def __init__(self, phi: Float[Tensor, "n m"], noise: float, width: int) -> None:
        self.phi, self.ridge = phi, Ridge(phi.shape[1], width, noise, phi.dtype)
        self.start = self.stop = 0
        self.factor, self.mean = torch.empty(0, 0), torch.empty(0, width)
        self.targets = self.errors = self.mean

    def begin(self, targets: Float[np.ndarray, "past width"]) -> None:
        """What the first rows were, before anything is predicted."""
        self.ridge.learn(self.phi[: len(targets)], torch.from_numpy(targets))
        self.start = self.stop = len(targets)

    def block(self, start: int, stop: int) -> Block:
        """The factor and the mean of the next rows, given all before, which are known."""
        if stop > self.stop:
            self._factor_next(start, stop)
        a, b = start - self.start, stop - self.start
        rows = self.factor[a:b]
        mean = self.mean[a:b] + rows[:, :a] @ self.errors[:a]
        return rows[:, a:b].numpy(), mean.numpy()

    def learn(self, start: int, mean: Float[np.ndarray, "b width"], targets: Float[np.ndarray, "b width"]) -> None:
        """What the rows from `start` on were, of which the mean was told."""
        a = start - self.start
        rows = slice(a, a + len(targets))
        self.targets[rows] = torch.from_numpy(targets)
        rest = torch.from_numpy(targets - mean)
        self.errors[rows] = torch.linalg.solve_triangular(self.factor[rows, rows], rest, upper=False)

    def _factor_next(self, start: int, stop: int) -> None:
        """Learn the rows factored last, as far as they are known, and factor those from `start` on."""
        known = start - self.start
        self.ridge.learn(self.phi[self.start : start], self.targets[:known])
        self.start, self.stop = start, min(len(self.phi), max(stop, start + AT_ONCE))
        factor, mean = self.ridge.block(self.phi[start : self.stop])
        self.factor, self.mean = torch.from_numpy(factor), torch.from_numpy(mean)
        self.targets, self.errors = torch.zeros_like(self.mean), torch.zeros_like(self.mean)
