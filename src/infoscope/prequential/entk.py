"""The empirical neural tangent kernel's code: what a network's labels cost if it learnt by its first-order expansion."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from itertools import product
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from scipy.linalg import cholesky
from torch import Tensor, nn

from infoscope.learn.isolation import isolated
from infoscope.learn.jacobians import gram
from infoscope.learn.learner import check_logits


@dataclass(frozen=True)
class NTK:
    """Gaussian-process regression of the labels with the network's own tangent kernel.

    K = (1/C) Σ_c J_c J_cᵀ at the given weights θ (Jacot, Gabriel & Hongler 2018), divided by its mean diagonal. The
    targets are Y = onehot(y) − P with the prior mean P = softmax(f_θ / T), for each of `temperatures`. With
    K + λ1 = L Lᵀ the prediction m_i and its variance v_i = L_ii², given all labels before i, come from `predictions`.
    They are read out in two ways, p ∝ exp(β (P + m) / v^(α/2)) and p ∝ P exp(β m / v^(α/2)): the first serves a
    network that knows little, the second one that needs few corrections. Each choice of (T, λ, β, α) is an expert.

    Time is O(n³) and memory 8 (1 + number of `noises`) n² bytes; `memory` bounds that and what the kernel is made of.

    >>> code = NTK().experts(torch.eye(3), classes=2, network=nn.Linear(3, 2))
    >>> next(code).shape
    (48, 2)
    """

    temperatures: tuple[float, ...] = (1.0, 4.0)
    noises: tuple[float, ...] = (0.003, 0.03)
    slopes: tuple[float, ...] = (2.0, 4.0, 8.0)
    powers: tuple[float, ...] = (0.0, 1.0)
    memory: int = 2**32
    threads: int = 1
    needs_network: ClassVar[bool] = True

    def experts(
        self, x: Tensor, classes: int, seed: int = 0, network: nn.Module | None = None
    ) -> Generator[Float[np.ndarray, "experts classes"], int, None]:
        """Log-probabilities of the next label, which is then sent; `seed` is for drawing coders and changes nothing."""
        if network is None:
            raise ValueError("NTK is the code of a network; give a network")
        n = len(x)
        needed = 8 * (1 + len(self.noises)) * n**2
        if needed > self.memory:
            raise ValueError(
                f"the tangent kernel of {n} examples takes {needed:.2g} bytes of {self.memory:.2g}; "
                f"raise NTK.memory, code fewer examples, or use Replay"
            )
        with isolated(seed, self.threads):
            priors, factors = self._prepare(network, x, classes, self.memory - needed)
        coders = [predictions(factor, len(self.temperatures) * classes) for factor in factors]
        means = [next(coder) for coder in coders]
        for i in range(n):
            prior = priors[i]
            label = yield np.concatenate([
                self._read(prior, m.reshape(prior.shape), factor[i, i])
                for m, factor in zip(means, factors, strict=True)
            ])
            target = (np.eye(classes)[label] - np.exp(prior)).ravel()
            means = [coder.send(target) for coder in coders] if i + 1 < n else []

    def _prepare(
        self, network: nn.Module, x: Tensor, classes: int, memory: int
    ) -> tuple[Float[np.ndarray, "n temperatures classes"], list[Float[np.ndarray, "n n"]]]:
        """Log prior means, and the Cholesky factor of K + λ1 for each noise λ."""
        kernel, logits = gram(network, x, memory)
        check_logits(logits, len(x), classes, network)
        priors = torch.stack([torch.log_softmax(logits / t, 1) for t in self.temperatures], 1)
        k = kernel.cpu().numpy()
        k /= np.mean(np.diag(k)) or 1.0
        return priors.cpu().numpy(), [cholesky(k + noise * np.eye(len(k)), lower=True) for noise in self.noises]

    def _read(self, prior: np.ndarray, mean: np.ndarray, deviation: float) -> Float[np.ndarray, "experts classes"]:
        """What each slope and power makes of a mean, at all temperatures and in both ways."""
        logits = [
            start + slope / deviation**power * shift
            for slope, power in product(self.slopes, self.powers)
            for start, shift in ((0.0, np.exp(prior) + mean), (prior, mean))
        ]
        z = np.concatenate(logits)
        return z - np.logaddexp.reduce(z, axis=1, keepdims=True)


def predictions(factor: Float[np.ndarray, "n n"], width: int) -> Generator[np.ndarray, np.ndarray, None]:
    """m_i, the mean of target i given those before; then it is sent target i. For K + λ1 = L Lᵀ, L the `factor`.

    m_i = Σ_{j<i} L_ij E_j, E_i = (Y_i − m_i) / L_ii: a forward substitution by rows, so that who encodes and who
    decodes round alike. (Y_i − L_ii E_i is the same number, but its last bit depends on Y_i.)
    """
    errors = np.zeros((len(factor), width))
    for i, row in enumerate(factor):
        mean = row[:i] @ errors[:i]
        errors[i] = ((yield mean) - mean) / row[i]
