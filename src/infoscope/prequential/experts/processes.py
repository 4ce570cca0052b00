"""Gaussian processes on a table's columns, over a grid of widths and noises."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from infoscope.data.targets import Real
from infoscope.prequential.experts.columns import ranked, standard
from infoscope.prequential.experts.family import ExampleTarget
from infoscope.prequential.gaussian_process import Regression
from infoscope.prequential.gram import (
    Landmarks,
    centred,
    centred_features,
    centred_rows,
    exponential,
    gaussian,
    median,
    squared_distances,
    with_constant,
)
from infoscope.prequential.graph import leading_components, neighbours, spread
from infoscope.prequential.memory import DOUBLE, of_blocks, of_graph, of_projection, of_ridge, of_whole
from infoscope.prequential.mixture import Experts
from infoscope.prequential.readouts import by_example, in_blocks, readout
from infoscope.prequential.rows import changed


@dataclass(frozen=True)
class Processes:
    """Regressions of the labels on standardised and on ranked columns, read as `Kernel` reads its own.

    Gaussian kernels of each width in `gaussians`, in units of the median distance, and exponential ones in
    `exponentials`, each with several noises, so that noisy labels find theirs; the spreading of labels along the graph
    of neighbours; and a linear regression. Up to `exact` examples the kernels are whole; beyond, they are projected on
    `landmarks`.
    """

    gaussians: tuple[tuple[float, float], ...] = ((0.4, 0.1), (1.0, 0.03), (1.0, 0.3), (2.5, 0.01), (2.5, 0.1))
    exponentials: tuple[tuple[float, float], ...] = ((1.0, 0.02), (1.0, 0.2), (1.0, 1.0))
    spreads: tuple[float, ...] = (0.1, 1.0)
    readouts: tuple[tuple[float, float], ...] = ((8.0, 1.0), (6.0, 0.0), (12.0, 0.0), (3.0, 0.0))
    soft: tuple[float, ...] = (0.1, 0.3)
    neighbours: int = 8
    rank: int = 200
    alpha: float = 0.995
    exact: int = 2500
    landmarks: int = 1000
    block: int = 500

    def experts(self, x: Float[np.ndarray, "n d"], target: ExampleTarget, seed: int) -> Experts:
        """What they predict of the next example."""
        read, n = readout(target, self.readouts, self.soft), len(x)
        yield from in_blocks(
            lambda: (each.blocks(target.outputs, self.block) for each in self.regressions(x, target, seed)),
            n, self.block, lambda _, blocks: by_example(blocks, read), seed,
        )  # fmt: skip

    def memory(self, n: int, d: int, target: ExampleTarget) -> int:
        """How many bytes they fill at most for a table of n rows and d columns."""
        grids = (self.gaussians, self.exponentials)
        near, scales = 2 * sum(map(len, grids)), sum(len({scale for scale, _ in grid}) for grid in grids)
        real, width, m = isinstance(target, Real), target.outputs, min(n, self.landmarks)
        filled = 5 * DOUBLE * n * (d + 1) + of_graph(n, min(100, d), self.neighbours, self.rank)
        filled += of_blocks(near + 2 + len(self.spreads), min(n, self.block), width)
        filled += 2 * of_ridge(n, d + 1, width) + len(self.spreads) * of_ridge(n, min(n, self.rank) + 1, width)
        if n <= self.exact:
            return filled + of_whole(n, near + 4, near, width)
        filled += 2 * of_projection(n, m, d, self.block, scales + real)
        return filled + near * of_ridge(n, m + 1, width)

    def regressions(self, x: Float[np.ndarray, "n d"], target: ExampleTarget, seed: int) -> Iterator[Regression]:
        """The kernels, each with its noise."""
        real, generator = isinstance(target, Real), torch.Generator().manual_seed(seed)
        parts = [torch.from_numpy(columns(x).astype(np.float32)) for columns in (standard, ranked)]
        for f in parts[:1] if torch.equal(*parts) else parts:
            if len(f) <= self.exact:
                yield from self._whole(f, real)
            else:
                yield from self._projected(f, real, generator)
        f = parts[0]
        linear = with_constant(f / max(1, f.shape[1]) ** 0.5)
        yield from (Regression(linear, noise, whole=False) for noise in ((1.0,) if real else (0.1, 1.0)))
        edges = neighbours(leading_components(f, 100, generator), self.neighbours)
        phi = centred_features(spread(*edges, self.rank, self.alpha))
        yield from (Regression(with_constant(phi) if real else phi, noise, whole=False) for noise in self.spreads)

    def _whole(self, f: Float[Tensor, "n d"], real: bool) -> Iterator[Regression]:
        squares = squared_distances(f, f)
        squares /= median(squares)
        for scale, noise in self.gaussians:
            kernel = gaussian(squares / scale**2)
            yield Regression(kernel + 1 if real else centred(kernel), noise)
        for scale, noise in self.exponentials:
            kernel = exponential(squares / scale**2)
            yield Regression(kernel + 1 if real else kernel, noise)

    def _projected(self, f: Float[Tensor, "n d"], real: bool, generator: torch.Generator) -> Iterator[Regression]:
        landmarks = Landmarks.drawn(f, self.landmarks, generator)
        for kind, grid in ((gaussian, self.gaussians), (exponential, self.exponentials)):
            for scale in dict.fromkeys(scale for scale, _ in grid):
                phi = landmarks.features(partial(_scaled, kind, scale))
                if real:
                    phi = changed(phi, with_constant, phi.shape[1] + 1)
                elif kind is gaussian:
                    phi = centred_rows(phi)
                yield from (Regression(phi, noise, whole=False) for own, noise in grid if own == scale)


def _scaled(kind: Callable[[Tensor], Tensor], scale: float, squares: Tensor) -> Tensor:
    """A kernel so many times as wide."""
    return kind(squares / scale**2)
