"""The model-free code: labels predicted from the inputs' likeness alone."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from infoscope.learn.isolation import isolated
from infoscope.prequential.features import Patches, features
from infoscope.prequential.gaussian_process import Block, Blocks, exact, nystrom, projected, substitute
from infoscope.prequential.graph import Edges, leading_components, nearest, spread, squared_distances
from infoscope.prequential.mixture import Experts


@dataclass(frozen=True)
class Kernel:
    """Regress the labels on the inputs, which both sides know whole, and read probabilities off mean and variance.

    Three kernels: a Gaussian and an exponential one of the `features`' distance, in units of its median, and the
    spreading of labels along the graph of nearest neighbours, which has learned from the unlabelled inputs and serves
    while labels are few. Targets are onehot(y) − 1/C; with m_i and v_i the mean and variance that Gaussian-process
    regression with noise λ predicts, every (slope β, power α) of `readouts` makes an expert, p ∝ exp(β m / v^(α/2)).

    Up to `exact` examples K is whole: n³ time, 4 n² bytes a kernel. Beyond, it is its projection on `landmarks` random
    inputs (Nyström): n landmarks² time, 4 n landmarks bytes.

    >>> code = Kernel().experts(torch.eye(3), classes=2)
    >>> next(code).shape
    (15, 2)
    """

    patches: Patches = Patches()
    noises: tuple[float, float, float] = (0.03, 0.02, 0.1)
    readouts: tuple[tuple[float, float], ...] = ((2.0, 1.0), (4.0, 1.0), (8.0, 1.0), (6.0, 0.0), (12.0, 0.0))
    neighbours: int = 8
    rank: int = 200
    alpha: float = 0.99
    exact: int = 12_000
    landmarks: int = 5000
    components: int = 100
    block: int = 1000
    threads: int = 1
    needs_network: ClassVar[bool] = False

    def experts(self, x: Tensor, classes: int, seed: int = 0, network: nn.Module | None = None) -> Experts:
        """Log-probabilities of the next label, which is then sent; `seed` draws the dictionary and the landmarks."""
        n = len(x)
        size = self.block if n <= self.exact else 2 * self.block
        with isolated(seed, self.threads):
            learners = self._learners(x, classes, size, seed)
            blocks = [next(learner) for learner in learners]
        for start in range(0, n, size):
            targets = yield from self._block(blocks, classes)
            if start + size < n:
                with isolated(seed, self.threads):
                    blocks = [learner.send(targets) for learner in learners]

    def _block(self, blocks: list[Block], classes: int) -> Generator[np.ndarray, int, np.ndarray]:
        factors, means = (np.stack(parts) for parts in zip(*blocks, strict=True))
        slopes, powers = np.array(self.readouts).T
        scales = slopes / np.diagonal(factors, axis1=1, axis2=2)[..., None] ** powers
        onehot = np.eye(classes) - 1 / classes
        targets = np.empty(means.shape[1:])
        rule = substitute(factors, means)
        mean = next(rule)
        for i in range(len(targets)):
            z = (scales[:, i, :, None] * mean[:, None, :]).reshape(-1, classes)
            z -= z.max(1, keepdims=True)
            label = yield z - np.log(np.exp(z).sum(1, keepdims=True))
            targets[i] = onehot[label]
            if i + 1 < len(targets):
                mean = rule.send(targets[i])
        return targets

    def _learners(self, x: Tensor, classes: int, size: int, seed: int) -> list[Blocks]:
        f = features(x, self.patches, seed)
        if len(f) <= self.exact:
            near, edges = self._whole(f, classes, size)
        else:
            near, edges = self._landmarks(f, classes, size, torch.Generator().manual_seed(seed))
        phi = spread(*edges, self.rank, self.alpha)
        return [*near, projected(phi, self.noises[2], classes, size)]

    def _whole(self, f: Tensor, classes: int, size: int) -> tuple[list[Blocks], Edges]:
        squares = squared_distances(f, f)
        edges = nearest(squares, self.neighbours)
        unit = median(squares)
        kernels = (gaussian(squares / unit), exponential(squares / unit))
        return [exact(k, noise, classes, size) for k, noise in zip(kernels, self.noises, strict=False)], edges

    def _landmarks(self, f: Tensor, classes: int, size: int, generator: torch.Generator) -> tuple[list[Blocks], Edges]:
        some = f[torch.randperm(len(f), generator=generator)[: self.landmarks]]
        among = squared_distances(some, some)
        unit = median(among)
        squares = squared_distances(f, some).div_(unit)
        learners = [
            projected(nystrom(kernel(squares), kernel(among / unit)), noise, classes, size)
            for kernel, noise in zip((gaussian, exponential), self.noises, strict=False)
        ]
        g = leading_components(f, self.components, generator)
        blocks = (nearest(squared_distances(g[i : i + 1000], g), self.neighbours, i) for i in range(0, len(g), 1000))
        indices, squares = map(torch.cat, zip(*blocks, strict=True))
        return learners, (indices, squares)


def gaussian(squares: Tensor) -> Tensor:
    """exp(−d²/2)."""
    return torch.exp(-squares / 2)


def exponential(squares: Tensor) -> Tensor:
    """exp(−d)."""
    return torch.exp(-squares.sqrt())


def median(squares: Tensor) -> Tensor:
    """The median of (a million of) the entries, one if that is zero."""
    some = squares.flatten()[:: max(1, squares.numel() // 1_000_003)]
    middle = some.median()
    return middle if middle > 0 else torch.ones(())
