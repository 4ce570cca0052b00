"""Training a posterior by the bound itself: a smooth risk, and rounds in which noise turns to where it costs least."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from infoscope.data.task import Task
from infoscope.training.fit import fit
from infoscope.training.learner import Learner
from infoscope.training.optimizers import Adam
from infoscope.training.recipe import Constant, Cosine, Decay, Loss, Recipe
from infoscope.weight_information.certificate.noisy_weights import Drawn, GradientMoments, NoisyWeights

ROUNDS = 5
"""Trainings of a posterior, one after another; between them noise turns to the axes of the gradients."""

_WARM = 0.02  # of KL, while the first round looks for weights that know something
_SHARES = (1 / 24, 1 / 6, 1 / 6, 1 / 6, 1 / 3)  # of the steps, a round
_LAST = 4  # times as many examples a step in the last round, whose gradients are to be exact


@dataclass(frozen=True)
class BoundTraining:
    """Steps of all rounds, examples a step, and the rate of Adam, in units of the prior's first λ."""

    steps: int = 3000
    batch: int = 512
    rate: float = 0.02

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "rate"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it is above 0")

    def train(self, noisy: NoisyWeights, task: Task, delta: float, seed: int, warm: bool, device: str) -> None:
        """Bring the bound at this δ down on the task. `warm`: begin by some cross-entropy, KL hardly weighed.

        λ is free in the first rounds and is then put on its grid, so that the rest is trained for that value.
        """
        for i in range(ROUNDS):
            if i == ROUNDS - 2:
                noisy.snap()
            moments = GradientMoments(noisy)
            recipe = self._recipe(noisy, len(task), delta, i, warm)
            fit(Learner(lambda: noisy, recipe), task, seed=seed + i, device=device, observers=[moments])
            if i < ROUNDS - 1:
                noisy.turn(moments.bases())

    def batches(self, n: int) -> tuple[tuple[float, int], ...]:
        """How many steps are taken on how many examples each, of n.

        >>> [(round(steps), size) for steps, size in BoundTraining(300, 100).batches(1000)]
        [(200, 100), (100, 400)]
        """
        first, last = (min(n, self.batch * times) for times in (1, _LAST))
        return (self.steps * (1 - _SHARES[-1]), first), (self.steps * _SHARES[-1], last)

    def _recipe(self, noisy: NoisyWeights, n: int, delta: float, i: int, warm: bool) -> Recipe:
        """Of a round: its share of the steps, in whole epochs."""
        last = i == ROUNDS - 1
        loss: Loss = _Warm(n) if warm and i == 0 else SmoothBound(n, delta)
        batch = min(n, self.batch * (_LAST if last else 1))
        epochs = max(1, round(self.steps * _SHARES[i] * batch / n))
        decay: Decay = Cosine() if last else Constant()
        return Recipe(lambda _: Adam(noisy.groups(self.rate)), decay, batch, epochs, None, loss=loss)


@dataclass(frozen=True)
class SmoothBound:
    """kl⁻¹(E (1 − softmax(γ z)_y) | (K + log(2√n/δ))/n), with its gradient: the kl bound of a smooth risk.

    1 − softmax(γ z)_y is between 0 and 1 as the cross-entropy of PBB is made to be, and near the share of errors where
    the sharpness γ, which is trained too and costs nothing, is large.
    """

    n: int
    delta: float

    def __call__(self, drawn: Drawn, y: Tensor) -> Tensor:
        """The bound of a batch."""
        risk = 1 - torch.softmax(drawn.outputs * drawn.sharpness, -1).gather(-1, y[:, None]).double().mean()
        return KlInverse.apply(risk, (drawn.kl + math.log(2 * math.sqrt(self.n) / self.delta)) / self.n)  # type: ignore[return-value]


@dataclass(frozen=True)
class _Warm:
    n: int

    def __call__(self, drawn: Drawn, y: Tensor) -> Tensor:
        return torch.nn.functional.cross_entropy(drawn.outputs, y) + _WARM * drawn.kl / self.n


class KlInverse(torch.autograd.Function):
    """p = kl⁻¹(q | c), the largest p with kl(q‖p) ≤ c, and its gradient; for training, so not rounded up."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, c: Tensor) -> Tensor:
        """By halving."""
        at, most = min(max(float(q.detach()), 1e-9), 1 - 1e-9), float(c.detach())
        low, high = at, 1 - 1e-12
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if _kl(at, middle) < most else (low, middle)
        slope = (1 - at) / (1 - low) - at / low
        by_q = (math.log(low / (1 - low)) - math.log(at / (1 - at))) / slope if slope > 0 else 1.0
        ctx.slopes = by_q, 1 / slope if slope > 0 else 1.0
        return q.new_tensor(low)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, Tensor]:
        """∂p/∂q = log(p(1−q)/(q(1−p)))/s and ∂p/∂c = 1/s, s = (1−q)/(1−p) − q/p."""
        by_q, by_c = ctx.slopes
        return grads[0] * by_q, grads[0] * by_c


def _kl(q: float, p: float) -> float:
    return q * math.log(q / p) + (1 - q) * math.log((1 - q) / (1 - p))
