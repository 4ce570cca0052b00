"""The model-free code: labels predicted from the inputs' likeness alone."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from infoscope.prequential.features import Patches, features
from infoscope.prequential.gaussian_process import Block, Blocks, exact, projected, substitute
from infoscope.prequential.gram import (
    centred,
    centred_features,
    exponential,
    gaussian,
    median,
    nystrom,
    squared_distances,
)
from infoscope.prequential.graph import Edges, leading_components, nearest, nearest_by_rows, spread
from infoscope.prequential.mixture import Experts
from infoscope.training.isolation import isolated


@dataclass(frozen=True)
class Kernel:
    """Regress the labels on the inputs, which both sides know whole, and read probabilities off mean and variance.

    Three kernels: a Gaussian and an exponential one of the `features`' distance, in units of its median, and the
    spreading of labels along the graph of nearest neighbours, which has learned from the unlabelled inputs and serves
    while labels are few. The first and the last are `centred`, and so expect new classes of unlike inputs; the second,
    which is not, learns how frequent the classes are. Targets are onehot(y) − 1/C; with m_i and v_i the mean and
    variance that Gaussian-process regression with noise λ predicts, every (slope β, power α) of `readouts` makes an
    expert, p ∝ exp(β m / v^(α/2)).

    Up to `exact` examples the kernels are whole: n³ time, 4 n² bytes each. Beyond, they are projected on `landmarks`
    random inputs: n landmarks² time, 4 n landmarks bytes each, and neighbours are sought among leading `components`.

    One preset serves all data. It says the more, the more the features' distance tells; where the labels turn on a
    detail of the inputs, a trained network says it in fewer bits.

    >>> code = Kernel().experts(torch.eye(3), classes=2)
    >>> next(code).shape
    (9, 2)
    """

    patches: Patches = Patches()
    noises: tuple[float, float, float] = (0.03, 0.02, 0.1)
    readouts: tuple[tuple[float, float], ...] = ((8.0, 1.0), (6.0, 0.0), (12.0, 0.0))
    neighbours: int = 8
    rank: int = 200
    alpha: float = 0.995
    exact: int = 12_000
    landmarks: int = 5000
    components: int = 100
    block: int = 1000
    threads: int = 1
    needs_network: ClassVar[bool] = False

    def experts(self, x: Tensor, classes: int, seed: int = 0, network: nn.Module | None = None) -> Experts:
        """Log-probabilities of the next label, which is then sent; `seed` draws the dictionary and the landmarks."""
        size = self.block if len(x) <= self.exact else 2 * self.block
        with isolated(seed, self.threads):
            learners = self._learners(features(x, self.patches, seed), classes, size, seed)
            blocks = [next(learner) for learner in learners]
        for start in range(0, len(x), size):
            targets = yield from self._send(blocks, classes)
            if start + size < len(x):
                with isolated(seed, self.threads):
                    blocks = [learner.send(targets) for learner in learners]

    def _send(self, blocks: list[Block], classes: int) -> Generator[np.ndarray, int, Float[np.ndarray, "b classes"]]:
        """Experts for a block of examples, one by one; returns its targets."""
        factors, means = (np.stack(parts) for parts in zip(*blocks, strict=True))
        slopes, powers = np.array(self.readouts).T
        scales = slopes / np.diagonal(factors, axis1=1, axis2=2)[..., None] ** powers
        target_of = np.eye(classes) - 1 / classes
        targets = np.empty(means.shape[1:])
        process = substitute(factors, means)
        mean = next(process)
        for i in range(len(targets)):
            z = (scales[:, i, :, None] * mean[:, None, :]).reshape(-1, classes)
            z -= z.max(1, keepdims=True)
            targets[i] = target_of[(yield z - np.log(np.exp(z).sum(1, keepdims=True)))]
            if i + 1 < len(targets):
                mean = process.send(targets[i])
        return targets

    def _learners(self, f: Float[Tensor, "n d"], classes: int, size: int, seed: int) -> list[Blocks]:
        if len(f) <= self.exact:
            near, edges = self._whole(f, classes, size)
        else:
            near, edges = self._projected(f, classes, size, torch.Generator().manual_seed(seed))
        phi = centred_features(spread(*edges, self.rank, self.alpha))
        return [*near, projected(phi, self.noises[2], classes, size)]

    def _whole(self, f: Float[Tensor, "n d"], classes: int, size: int) -> tuple[list[Blocks], Edges]:
        squares = squared_distances(f, f)
        edges = nearest(squares, self.neighbours)
        squares /= median(squares)
        kernels = centred(gaussian(squares)), exponential(squares)
        return [exact(k, noise, classes, size) for k, noise in zip(kernels, self.noises, strict=False)], edges

    def _projected(
        self, f: Float[Tensor, "n d"], classes: int, size: int, generator: torch.Generator
    ) -> tuple[list[Blocks], Edges]:
        edges = nearest_by_rows(leading_components(f, self.components, generator), self.neighbours)
        some = f[torch.randperm(len(f), generator=generator)[: self.landmarks]]
        among = squared_distances(some, some)
        squares = squared_distances(f, some).div_(median(among))
        among /= median(among)
        near = centred_features(nystrom(gaussian(squares), gaussian(among)))
        far = nystrom(exponential(squares), exponential(among))
        return [
            projected(phi, noise, classes, size) for phi, noise in zip((near, far), self.noises, strict=False)
        ], edges
