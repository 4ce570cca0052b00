"""The sharpest prior of all: the posterior averaged over data sets, under which KL becomes Shannon's I(w;D)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from infoscope import __version__
from infoscope.measurement import Measurement, Receipt, Status, mean_and_stderr
from infoscope.weight_information.gaussian import Posterior


class Density(Protocol):
    """Weights that can be drawn, and how dense they lie."""

    def draw(self, draws: int, generator: torch.Generator) -> Float[Tensor, "draws d"]:
        """So many of them."""
        ...

    def log_density(self, w: Float[Tensor, "draws d"]) -> Float[Tensor, " draws"]:
        """Nats."""
        ...


@dataclass(frozen=True, eq=False)
class SeedAverage:
    """q(w|D) with the seed averaged out: posteriors of networks that were trained on the same data, mixed evenly."""

    posteriors: Sequence[Posterior]

    def draw(self, draws: int, generator: torch.Generator) -> Float[Tensor, "draws d"]:
        """From all of them alike."""
        return torch.cat([q.draw(max(1, draws // len(self.posteriors)), generator) for q in self.posteriors])

    def log_density(self, w: Float[Tensor, "draws d"]) -> Float[Tensor, " draws"]:
        """Log of their mean."""
        return aggregate_log_density(self.posteriors, w)


def aggregate_log_density(posteriors: Sequence[Density], w: Float[Tensor, "draws d"]) -> Float[Tensor, " draws"]:
    """Log p̄(w), p̄ the mean of the posteriors of networks trained on different data."""
    return torch.stack([q.log_density(w) for q in posteriors]).logsumexp(0) - math.log(len(posteriors))


def aggregate_information(posteriors: Sequence[Density], draws: int = 100, seed: int = 0) -> Measurement:
    """I(w;D) = E_D KL(q(w|D)‖p̄), nats, of data sets drawn evenly from these: never above log of their number.

    For any other prior E KL(q‖p) = I(w;D) + KL(p̄‖p), so that no prior is sharper. The standard error is over the
    posteriors. Where weights of different data hardly meet, it saturates at log of their number, and says so.

    >>> apart = [Posterior(torch.tensor([10.0 * i]), torch.ones(1)) for i in range(4)]
    >>> round(aggregate_information(apart).bits, 3)
    2.0
    """
    if len(posteriors) < 2:
        raise ValueError(f"there are {len(posteriors)} posteriors; their average is of two or more, each of other data")
    found: dict[int, float] = {}
    for i, q in enumerate(posteriors):
        w = q.draw(draws, torch.Generator().manual_seed(seed + i))
        found[i] = float((q.log_density(w) - aggregate_log_density(posteriors, w)).mean())
    value, stderr = mean_and_stderr(found.values())
    most = math.log(len(posteriors))
    status = frozenset({Status.SATURATED}) if value > 0.95 * most else frozenset()
    receipt = Receipt("mixture of posteriors", n=draws, seeds=(seed,), over="data sets", version=__version__)
    return Measurement("I(w;D)", value, stderr, status=status, replicates=found, receipt=receipt)
