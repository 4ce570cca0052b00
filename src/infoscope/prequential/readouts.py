"""What a regression's mean and variance say of an example, as the predictions of experts, and what it then learns."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import Any, Protocol

import numpy as np
import torch
from jaxtyping import Float, Int

from infoscope.data.targets import Classes, Labels, Real
from infoscope.prequential.devices import repeatable
from infoscope.prequential.gaussian_process import Block, Blocks, substitute
from infoscope.prequential.mixture import Experts
from infoscope.training.isolation import isolated

Pairs = tuple[tuple[float, float], ...]
"""Slopes β and powers α."""

ByExample = Generator[np.ndarray, Any, Float[np.ndarray, "kernels b width"]]
"""Yields what is predicted of an example, and is sent the example; returns the targets for each kernel."""


class Readout(Protocol):
    """How several kernels' regressions are read; `width` is how many targets an example has."""

    width: int

    def scales(self, deviations: Float[np.ndarray, "kernels b"]) -> Float[np.ndarray, "kernels b pairs"]:
        """What a block's means are multiplied by, from their deviations √v."""
        ...

    def predict(self, mean: Float[np.ndarray, "kernels width"], scale: Float[np.ndarray, "kernels pairs"]) -> Any:
        """The experts' predictions of an example (see `infoscope.prequential.mixture.Experts`)."""
        ...

    def learn(self, sent: Any, mean: Float[np.ndarray, "kernels width"]) -> Float[np.ndarray, "... width"]:
        """The regressions' targets once the example is sent; its own mean where there is nothing to learn."""
        ...


class OfClasses:
    """Targets onehot(y) − 1/C, read as p ∝ exp(β m / v^(α/2)).

    And, for each w of `soft`, as the probability that a mean of one-hot targets estimates, its negative part folded
    up: p ∝ log(1 + exp((m + 1/C) / s)), s = w √v. Where labels are noisy that is the calibrated one.
    """

    def __init__(self, target: Classes, pairs: Pairs, soft: tuple[float, ...] = ()) -> None:
        self.width, self.slopes = target.outputs, len(pairs)
        self.pairs = np.array([*pairs, *((w, -1.0) for w in soft)]).T

    def scales(self, deviations: Float[np.ndarray, "kernels b"]) -> Float[np.ndarray, "kernels b pairs"]:
        """β / v^(α/2)."""
        return _slopes(deviations, self.pairs)

    def predict(self, mean: Float[np.ndarray, "kernels width"], scale: Float[np.ndarray, "kernels pairs"]) -> Any:
        """Log-probabilities (experts, classes)."""
        z = (scale[:, : self.slopes, None] * mean[:, None, :]).reshape(-1, self.width)
        z -= z.max(1, keepdims=True)
        rows = z - np.log(np.exp(z).sum(1, keepdims=True))
        if scale.shape[1] == self.slopes:
            return rows
        z = (mean[:, None, :] + 1 / self.width) / scale[:, self.slopes :, None]
        z = np.log(np.logaddexp(0, np.maximum(z, -30))).reshape(-1, self.width)
        return np.concatenate([rows, z - np.log(np.exp(z).sum(1, keepdims=True))])

    def learn(self, sent: int, mean: Float[np.ndarray, "kernels width"]) -> Float[np.ndarray, " width"]:
        """The same for every kernel."""
        row = np.full(self.width, -1 / self.width)
        row[sent] = 1 - 1 / self.width
        return row


class OfLabels:
    """Targets y − ½, read as logits 2 β m / v^(α/2): each label as two classes are."""

    def __init__(self, target: Labels, pairs: Pairs) -> None:
        self.width, self.pairs = target.outputs, np.array(pairs).T

    def scales(self, deviations: Float[np.ndarray, "kernels b"]) -> Float[np.ndarray, "kernels b pairs"]:
        """β / v^(α/2)."""
        return _slopes(deviations, self.pairs)

    def predict(self, mean: Float[np.ndarray, "kernels width"], scale: Float[np.ndarray, "kernels pairs"]) -> Any:
        """Logits (experts, names)."""
        return (2 * scale[:, :, None] * mean[:, None, :]).reshape(-1, self.width)

    def learn(
        self, sent: Int[np.ndarray, " width"], mean: Float[np.ndarray, "kernels width"]
    ) -> Float[np.ndarray, "kernels width"]:
        """A masked label teaches nothing."""
        return np.where(sent < 0, mean, sent - 0.5)


class OfReal:
    """Targets in standard units, read as mean and deviation; the mixture learns the scale."""

    def __init__(self, target: Real) -> None:
        self.width = target.dim

    def scales(self, deviations: Float[np.ndarray, "kernels b"]) -> Float[np.ndarray, "kernels b 1"]:
        """The deviations themselves."""
        return deviations[..., None]

    def predict(self, mean: Float[np.ndarray, "kernels width"], scale: Float[np.ndarray, "kernels 1"]) -> Any:
        """Means and deviations (experts, dim, 2)."""
        return np.stack([mean, np.broadcast_to(scale, mean.shape)], -1)

    def learn(
        self, sent: Float[np.ndarray, " width"], mean: Float[np.ndarray, "kernels width"]
    ) -> Float[np.ndarray, " width"]:
        """The same for every kernel."""
        return sent


def readout(target: Classes | Labels | Real, pairs: Pairs, soft: tuple[float, ...] = ()) -> Readout:
    """How regressions of this target are read, by these slopes and powers where it is one of words."""
    match target:
        case Classes():
            return OfClasses(target, pairs, soft)
        case Labels():
            return OfLabels(target, pairs)
        case Real():
            return OfReal(target)


def by_example(blocks: list[Block], read: Readout) -> ByExample:
    """Experts for a block of examples, one by one; returns its targets for each kernel."""
    factors, means = (np.stack(parts) for parts in zip(*blocks, strict=True))
    scales = read.scales(np.diagonal(factors, axis1=1, axis2=2))
    targets, n = np.empty(means.shape), len(means[0])
    process = substitute(factors, means)
    mean = next(process)
    for i in range(n):
        targets[:, i] = read.learn((yield read.predict(mean, scales[:, i])), mean)
        if i + 1 < n:
            mean = process.send(targets[:, i])
    return targets


def in_blocks(
    regressions: Callable[[], Iterable[Blocks]],
    n: int,
    size: int,
    code: Callable[[int, list[Block]], ByExample],
    seed: int,
    threads: int = 1,
    device: torch.device | str = "cpu",
) -> Experts:
    """Regressions side by side, `size` examples at a time; `code(start, blocks)` codes those from `start` on.

    They compute on `device`; what is said of an example, and what follows from its label within a block, always on the
    processor. No context stays open across a yield: the caller draws and computes there as if we were not here.
    """
    with isolated(seed, threads), repeatable(device):
        running = list(regressions())
        blocks = [next(each) for each in running]
    for start in range(0, n, size):
        targets = yield from code(start, blocks)
        if start + size < n:
            with isolated(seed, threads), repeatable(device):
                blocks = [each.send(own) for each, own in zip(running, targets, strict=True)]


def _slopes(deviations: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    slopes, powers = pairs
    return slopes / deviations[..., None] ** powers
