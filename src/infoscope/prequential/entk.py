"""The code of the empirical neural tangent kernel: a network that learns by its first-order expansion."""

from __future__ import annotations

import copy
from collections.abc import Generator
from dataclasses import dataclass
from itertools import product
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from infoscope.observation.jacobians import gram
from infoscope.prequential.blocks import log_probabilities
from infoscope.prequential.gaussian_process import Block, Blocks, exact, substitute
from infoscope.prequential.mixture import Experts
from infoscope.training.isolation import isolated


@dataclass(frozen=True)
class NTK:
    """Gaussian-process regression of the labels with the network's own tangent kernel.

    K = (1/C) Σ_c J_c J_cᵀ at the given weights θ (Jacot, Gabriel & Hongler 2018), divided by its mean diagonal. The
    targets are Y = onehot(y) − P with the prior mean P = softmax(f_θ / T), for each of `temperatures`. With
    K + λ1 = L Lᵀ the prediction m_i and its variance v_i = L_ii², given all labels before i, are read
    out in two ways, p ∝ exp(β (P + m) / v^(α/2)) and p ∝ P exp(β m / v^(α/2)): the first serves a
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
    block: int = 256
    threads: int = 1
    needs_network: ClassVar[bool] = True

    def experts(self, x: Tensor, classes: int, seed: int = 0, network: nn.Module | None = None) -> Experts:
        """Log-probabilities of the next label, which is then sent. Nothing is drawn: `seed` changes nothing."""
        if network is None:
            raise ValueError("NTK is the code of a network; give a network")
        with isolated(seed, self.threads):
            priors, regressions = self._regressions(x, classes, network)
            blocks = [next(regression) for regression in regressions]
        for start in range(0, len(x), self.block):
            targets = yield from self._block(priors[start : start + self.block], blocks)
            if start + self.block < len(x):
                with isolated(seed, self.threads):
                    blocks = [regression.send(targets) for regression in regressions]

    @torch.inference_mode(False)
    def _regressions(
        self, x: Tensor, classes: int, network: nn.Module
    ) -> tuple[Float[np.ndarray, "n temperatures classes"], list[Blocks]]:
        """Log prior means, and for each noise the regression of targets on the kernel."""
        needed = 8 * (1 + len(self.noises)) * len(x) ** 2
        if needed > self.memory:
            raise ValueError(
                f"the tangent kernel of {len(x)} examples takes {needed:.2g} bytes of {self.memory:.2g}; "
                f"raise NTK.memory, code fewer examples, or use Replay"
            )
        log_probabilities([copy.deepcopy(network)], (1.0,), x[:2], classes)  # refuses what gives no logits
        kernel, logits = (t.cpu() for t in gram(network, x, self.memory - needed))
        if not (kernel.isfinite().all() and logits.isfinite().all()):
            raise ValueError(
                f"{type(network).__name__} gave logits or gradients that are not finite; check its weights"
            )
        kernel /= kernel.diagonal().mean().clamp_min(torch.finfo(kernel.dtype).tiny)
        width = len(self.temperatures) * classes
        regressions = [exact(kernel.clone(), noise, width, self.block) for noise in self.noises]
        return torch.stack([torch.log_softmax(logits / t, 1) for t in self.temperatures], 1).numpy(), regressions

    def _block(
        self, priors: Float[np.ndarray, "b temperatures classes"], blocks: list[Block]
    ) -> Generator[np.ndarray, int, Float[np.ndarray, "b targets"]]:
        """Send the labels of one block; their targets."""
        factors, means = (np.stack(parts) for parts in zip(*blocks, strict=True))
        targets = np.empty(means.shape[1:])
        rule = substitute(factors, means)
        mean = next(rule)
        for i, prior in enumerate(priors):
            label = yield self._read(prior, mean.reshape(-1, *prior.shape), factors[:, i, i])
            targets[i] = (np.eye(prior.shape[1])[label] - np.exp(prior)).ravel()
            if i + 1 < len(priors):
                mean = rule.send(targets[i])
        return targets

    def _read(
        self,
        prior: Float[np.ndarray, "temperatures classes"],
        mean: Float[np.ndarray, "noises temperatures classes"],
        deviation: Float[np.ndarray, " noises"],
    ) -> Float[np.ndarray, "experts classes"]:
        """What each slope and power makes of the means, in both ways."""
        logits = []
        for slope, power in product(self.slopes, self.powers):
            scale = (slope / deviation**power)[:, None, None]
            logits += [scale * (np.exp(prior) + mean), prior + scale * mean]
        z = np.stack(logits).reshape(-1, prior.shape[1])
        return z - np.logaddexp.reduce(z, axis=1, keepdims=True)
