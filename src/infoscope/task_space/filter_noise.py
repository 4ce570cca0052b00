"""How precisely a task fixes each filter: the variance of noise that its loss tolerates, trained a filter at a time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.func import functional_call

from infoscope.data.inputs import Inputs, count, take, to
from infoscope.data.targets import Target
from infoscope.options import AtLeast, check_fields
from infoscope.training.forward import device_of, logits_of
from infoscope.training.optimizers import Adam

FIRST = math.log(1e-3)
"""Logarithm of the first variance, in units of the prior's."""


@dataclass(frozen=True)
class FilterNoise:
    """The paper's variational estimate: `steps` of Adam on the logarithm of each filter's variance.

    It brings E_w∼N(w₀,Λ) L̄(w) + (β/n) KL(N(0, Λ) ‖ N(0, λ²)) down, with one variance a filter, and the prior's λ² the
    mean square of a layer's weights. At the optimum of a quadratic loss Λ⁻¹ = n F/β + 1/λ²; so (β/n) Λ⁻¹ stands for
    the Fisher information, with a floor β/(n λ²) under it. Each step takes two passes forward and back (w₀ ± noise) for
    `batch` examples: with the defaults 51,200, where a sketch of 500 examples takes 500.
    """

    steps: Annotated[int, AtLeast(2)] = 400
    batch: Annotated[int, AtLeast(1)] = 64
    beta: float = 1.0
    rate: float = 0.1

    def __post_init__(self) -> None:
        check_fields(self)
        if not (0 < self.beta < math.inf and 0 < self.rate < math.inf):
            raise ValueError(f"beta is {self.beta} and rate {self.rate}; both are above 0 and finite")

    def information(
        self, network: nn.Module, x: Inputs, y: Tensor, target: Target, names: Sequence[str], seed: int
    ) -> dict[str, Tensor]:
        """(β/n) Λ⁻¹ of every filter of these parameters; log Λ is averaged over the second half of the steps."""
        n, device = count(x), device_of(network)
        draws = torch.Generator().manual_seed(seed)
        own = dict(network.named_parameters())
        held = {name: own[name].detach() for name in names}
        prior = prior_variances(held)
        logs = {name: torch.full((len(w),), FIRST).add(math.log(prior[name])) for name, w in held.items()}
        logs = {name: t.to(device).requires_grad_() for name, t in logs.items()}
        optimizer = Adam(logs.values(), lr=self.rate)
        sums = {name: torch.zeros(len(w), dtype=torch.float64) for name, w in held.items()}
        for step in range(self.steps):
            rows = torch.randint(n, (min(self.batch, n),), generator=draws)
            batch, targets = to(take(x, rows), device), y[rows].to(device)
            noise = {
                name: (logs[name] / 2).exp().view(-1, *[1] * (w.ndim - 1)) * _normal(w, draws)
                for name, w in held.items()
            }
            losses = [
                target.loss(_outputs(network, {k: w + side * noise[k] for k, w in held.items()}, batch), targets)
                for side in (1, -1)
            ]
            loss = sum(losses) / 2 + self.beta / n * self._kl(logs, prior, held)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step >= self.steps // 2:
                for name, t in logs.items():
                    sums[name] += t.detach().cpu().double()
        kept = self.steps - self.steps // 2
        return {name: self.beta / n * (-total / kept).exp() for name, total in sums.items()}

    def _kl(self, logs: Mapping[str, Tensor], prior: Mapping[str, float], held: Mapping[str, Tensor]) -> Tensor:
        """½ Σ (v/λ² − 1 − log v/λ²) over weights."""
        parts = [
            held[name][0].numel() / 2 * ((log - math.log(prior[name])).exp() - 1 - log + math.log(prior[name])).sum()
            for name, log in logs.items()
        ]
        return torch.stack(parts).sum()


def prior_variances(weights: Mapping[str, Tensor]) -> dict[str, float]:
    """The mean square of each parameter's weights; 1 where all are zero."""
    return {name: float(w.detach().double().square().mean()) or 1.0 for name, w in weights.items()}


def _normal(w: Tensor, draws: torch.Generator) -> Tensor:
    return torch.randn(w.shape, generator=draws).to(w)


def _outputs(network: nn.Module, weights: Mapping[str, Tensor], x: Tensor | Mapping[str, Tensor]) -> Tensor:
    words = {} if isinstance(x, Tensor) else dict(x)
    return logits_of(functional_call(network, dict(weights), (x,) if isinstance(x, Tensor) else (), words))
