"""The as-if-random experiment: activations of several late epochs pooled, so that T given X is random."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from infoscope.data.task import Task
from infoscope.dynamics.examples import Examples
from infoscope.dynamics.plane.layer_results import LayerResult
from infoscope.mi.estimate import mutual_information
from infoscope.mi.method import Method
from infoscope.observation.activations import Activations, activations
from infoscope.observation.architecture import Architecture
from infoscope.observation.layers import unwrapped
from infoscope.training.fit import Moment
from infoscope.training.learner import Weights, copy_weights


class LateWeights:
    """An observer that keeps the weights of the last `epochs` epochs, every `every`-th."""

    def __init__(self, epochs: int = 20, every: int = 1):
        if epochs < 1 or every < 1:
            raise ValueError(f"epochs is {epochs} and every {every}; both are 1 or more")
        self.every = every
        self._kept: deque[Weights] = deque(maxlen=epochs)

    def observe(self, moment: Moment) -> None:
        """See one moment of `fit`."""
        if moment.end_of_epoch and moment.epoch % self.every == 0:
            self._kept.append(copy_weights(unwrapped(moment.network)))

    @property
    def weights(self) -> tuple[Weights, ...]:
        """The weights that were kept, oldest first."""
        return tuple(self._kept)


def as_if_random(looks: Sequence[Activations], task: Task, method: Method, *, seed: int = 0) -> list[LayerResult]:
    """I(X;T) and I(T;Y) of layers whose weights are drawn from those of several epochs (or networks), nats.

    A deterministic layer has I(X;T) = H(T): it can only seem to compress through its bins. Here X is drawn from the n
    examples and T from the K activations that the looks hold for it, so I(X;T) = H(T) − H(T|X) over n·K pairs, at most
    log n; what the weights' late wandering cannot be told from is forgotten. Section 3.4 of Grabauskas 2019.

    K draws can hide at most log K: I(X;T) ≥ H(T) − log K. A value near log n says nothing, and a network that has come
    to rest gives H(T) as before.
    """
    if not looks:
        raise ValueError("as_if_random needs the activations of at least one epoch; several make T|X random")
    for other in looks:
        if list(other.layers) != list(looks[0].layers) or len(other) != len(task):
            raise ValueError(f"the looks differ in their layers, or have not the {len(task)} examples of {task.name!r}")
    x, y = np.tile(Examples.of(task).patterns, len(looks)), np.tile(task.labels.numpy(), len(looks))
    found = []
    for layer in looks[0].layers:
        t = torch.cat([one[layer] for one in looks])
        x_t = mutual_information(t, x, method, seed=seed, strict=False).named("I(X;T)")
        t_y = mutual_information(t, y, method, seed=seed, strict=False).named("I(T;Y)")
        found.append(LayerResult("pooled", layer, x_t, t_y))
    return found


def activations_of(
    network: nn.Module, weights: Sequence[Weights], task: Task, layers: Sequence[str] | None = None
) -> list[Activations]:
    """The activations of one architecture with each of these weights: what `as_if_random` takes."""
    architecture = Architecture.of(network)
    return [activations(architecture.with_weights(one), task.x, layers) for one in weights]
