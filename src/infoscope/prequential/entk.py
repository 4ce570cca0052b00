"""The code of the empirical neural tangent kernel: a network that learns by its first-order expansion."""

from __future__ import annotations

import copy
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from jaxtyping import Float
from scipy.special import expit
from torch import Tensor, nn

from infoscope.data.inputs import Inputs, count, take
from infoscope.data.targets import Classes, Labels, Real, Target
from infoscope.observation.jacobians import gram
from infoscope.options import at_least
from infoscope.prequential.gaussian_process import Block, Blocks, exact, substitute
from infoscope.prequential.heads import outputs_of
from infoscope.prequential.mixture import Experts
from infoscope.prequential.readouts import ByExample, Pairs, in_blocks
from infoscope.training.isolation import isolated


@dataclass(frozen=True)
class NTK:
    """Gaussian-process regression of the labels with the network's own tangent kernel.

    K = (1/C) Σ_c J_c J_cᵀ at the given weights θ (Jacot, Gabriel & Hongler 2018), divided by its mean diagonal. The
    targets are Y = onehot(y) − P with the prior mean P = softmax(f_θ / T), for each of `temperatures`. With
    K + λ1 = L Lᵀ the prediction m_i and its variance v_i = L_ii², given all labels before i, are read
    out in two ways, p ∝ exp(β (P + m) / v^(α/2)) and p ∝ P exp(β m / v^(α/2)): the first serves a
    network that knows little, the second one that needs few corrections. Each choice of (T, λ, β, α) is an expert.

    Labels are read each as two classes are; numbers are regressed from the network's own, with `real_noises`.

    Time is O(n³) and memory 8 (1 + number of `noises`) n² bytes; `memory` bounds that and what the kernel is made of.

    >>> code = NTK().experts(torch.eye(3), Classes(("a", "b")), network=nn.Linear(3, 2))
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
    real_noises: tuple[float, ...] = (0.03, 0.3, 3.0)
    needs_network: ClassVar[bool] = True
    takes: ClassVar[tuple[type[Target], ...]] = (Classes, Labels, Real)

    def __post_init__(self) -> None:
        for name in ("block", "threads", "memory"):
            at_least(self, name, 1)
        if min(*self.temperatures, *self.noises, *self.real_noises, *self.slopes, 1) <= 0:
            raise ValueError(f"{self}: temperatures, noises and slopes are above 0")

    def experts(self, x: Inputs, target: Target, seed: int = 0, network: nn.Module | None = None) -> Experts:
        """What is predicted of the next example, which is then sent. Nothing is drawn: `seed` changes nothing."""
        if network is None:
            raise ValueError("NTK is the code of a network; give a network")
        n, read = count(x), self._reading(target)
        with isolated(seed, self.threads):
            priors, regressions = self._regressions(x, target, network)

        def code(start: int, blocks: list[Block]) -> ByExample:
            return _block(priors[start : start + self.block], blocks, read)

        yield from in_blocks(lambda: regressions, n, self.block, code, seed, self.threads)

    def _reading(self, target: Target) -> Reading:
        pairs = tuple(product(self.slopes, self.powers))
        match target:
            case Classes():
                return _OfClasses(pairs)
            case Labels():
                return _OfLabels(pairs)
        return _OfReal()

    @torch.inference_mode(False)
    def _regressions(
        self, x: Inputs, target: Target, network: nn.Module
    ) -> tuple[Float[np.ndarray, "n temperatures outputs"], list[Blocks]]:
        """Prior means, of classes their logs, of labels their logits; and for each noise the regression."""
        noises = self.real_noises if isinstance(target, Real) else self.noises
        needed = 8 * (1 + len(noises)) * count(x) ** 2
        if needed > self.memory:
            raise ValueError(
                f"the tangent kernel of {count(x)} examples takes {needed:.2g} bytes of {self.memory:.2g}; "
                f"raise NTK.memory, code fewer examples, or use Replay"
            )
        outputs_of(copy.deepcopy(network), take(x, slice(2)), target)  # refuses what gives something else
        kernel, outputs = (t.cpu() for t in gram(network, one_array(x), self.memory - needed))
        if not (kernel.isfinite().all() and outputs.isfinite().all()):
            raise ValueError(
                f"{type(network).__name__} gave logits or gradients that are not finite; check its weights"
            )
        kernel /= kernel.diagonal().mean().clamp_min(torch.finfo(kernel.dtype).tiny)
        temperatures = (1.0,) if isinstance(target, Real) else self.temperatures
        regressions = [exact(kernel.clone(), noise, len(temperatures) * target.outputs, self.block) for noise in noises]
        if isinstance(target, Classes):
            return torch.stack([torch.log_softmax(outputs / t, 1) for t in temperatures], 1).numpy(), regressions
        return torch.stack([outputs / t for t in temperatures], 1).numpy(), regressions


def _block(
    priors: Float[np.ndarray, "b temperatures outputs"], blocks: list[Block], read: Reading
) -> Generator[np.ndarray, Any, Float[np.ndarray, "noises b targets"]]:
    """Send the examples of one block; their targets for each noise."""
    factors, means = (np.stack(parts) for parts in zip(*blocks, strict=True))
    targets = np.empty(means.shape)
    rule = substitute(factors, means)
    mean = next(rule)
    for i, prior in enumerate(priors):
        own = mean.reshape(-1, *prior.shape)
        sent = yield read.predict(prior, own, factors[:, i, i])
        targets[:, i] = read.learn(sent, prior, own).reshape(-1, mean.shape[1])
        if i + 1 < len(priors):
            mean = rule.send(targets[:, i])
    return targets


def one_array(x: Inputs) -> Tensor:
    """Inputs that are one array, in memory; a ValueError for those by name."""
    if isinstance(x, Mapping):
        raise ValueError(f"the tangent kernel takes one array, not inputs by name ({', '.join(x)}); use Replay")
    return x[:]


class Reading(Protocol):
    """How corrections of the network's own predictions are read, and learned from."""

    def predict(
        self,
        prior: Float[np.ndarray, "temperatures outputs"],
        mean: Float[np.ndarray, "noises temperatures outputs"],
        deviation: Float[np.ndarray, " noises"],
    ) -> np.ndarray:
        """The experts' predictions of an example (see `infoscope.prequential.mixture.Experts`)."""
        ...

    def learn(self, sent: Any, prior: np.ndarray, mean: np.ndarray) -> np.ndarray:
        """The regressions' targets, for all noises or each; its own mean where there is nothing to learn."""
        ...


class _OfClasses:
    """p ∝ exp(β (P + m) / v^(α/2)) and p ∝ P exp(β m / v^(α/2)), `prior` being log P."""

    def __init__(self, pairs: Pairs) -> None:
        self.pairs = pairs

    def predict(self, prior: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
        logits = []
        for slope, power in self.pairs:
            scale = (slope / deviation**power)[:, None, None]
            logits += [scale * (np.exp(prior) + mean), prior + scale * mean]
        z = np.stack(logits).reshape(-1, prior.shape[1])
        return z - np.logaddexp.reduce(z, axis=1, keepdims=True)

    def learn(self, sent: int, prior: np.ndarray, mean: np.ndarray) -> np.ndarray:
        rest = -np.exp(prior)
        rest[..., sent] += 1
        return rest


class _OfLabels:
    """The same for each label, as for two classes: logits 2β (P − ½ + m) / v^(α/2) and prior + 2β m / v^(α/2)."""

    def __init__(self, pairs: Pairs) -> None:
        self.pairs = pairs

    def predict(self, prior: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
        logits = []
        for slope, power in self.pairs:
            scale = (2 * slope / deviation**power)[:, None, None]
            logits += [scale * (expit(prior) - 0.5 + mean), prior + scale * mean]
        return np.stack(logits).reshape(-1, prior.shape[1])

    def learn(self, sent: np.ndarray, prior: np.ndarray, mean: np.ndarray) -> np.ndarray:
        return np.where(sent < 0, mean, sent - expit(prior))


class _OfReal:
    """The network's number, by itself and corrected; the mixture learns the scale of the errors."""

    def predict(self, prior: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
        means = np.concatenate([prior, prior + mean[:, 0]])
        deviations = np.broadcast_to(np.concatenate([[1.0], deviation])[:, None], means.shape)
        return np.stack([means, deviations], -1)

    def learn(self, sent: np.ndarray, prior: np.ndarray, mean: np.ndarray) -> np.ndarray:
        return sent - prior
