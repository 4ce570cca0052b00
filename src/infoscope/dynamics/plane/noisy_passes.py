"""Layers of a network with noise inside, from several passes of the same examples."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from infoscope.dynamics.examples import Examples
from infoscope.dynamics.plane.layer_method import FittedBins
from infoscope.dynamics.plane.layer_results import LayerResult, noted
from infoscope.dynamics.plane.specification import LayerSpecification
from infoscope.measurement import NATS_PER_BIT, Bound, Measurement
from infoscope.mi.estimate import layer_information, mutual_information
from infoscope.mi.estimators.noisy import Noisy
from infoscope.mi.method import Method
from infoscope.observation.activations import Activations, in_groups
from infoscope.observation.noise import noise_of


def is_measured_in_passes(network: nn.Module, method: Method | FittedBins) -> bool:
    """Whether the network has noise inside that the method measures exactly; a ValueError if theirs differs."""
    variance = noise_of(network)
    if not isinstance(method, Noisy) or variance is None:
        return False
    if variance != method.variance:
        raise ValueError(
            f"the network's noise has variance {variance:g} and Noisy's is {method.variance:g}; "
            "data processing holds where they are equal"
        )
    return True


def noisy_results(network: nn.Module, examples: Examples, how: LayerSpecification, side: str) -> Iterator[LayerResult]:
    """I(X;T̂) and I(T̂;Y) of the layers of a network with noise inside, nats.

    T̂_k = S_k + Z_k, and given x the layer before its own noise, S_k, is random too: its law is that of the R passes.
    As I is convex in p(t̂|x), the mean over their draws is an upper bound, which falls to the truth as passes are added:
    slowly where layers make the noise much wider than it is at the last. How much more half of the passes give is
    counted as an error and told. A layer that no noise reaches is the same in every pass, and exact.
    """
    runs = (
        in_groups(network, examples.x, how.layers, how.batch, how.room // how.passes, seed=seed, own_noise=False)
        for seed in range(how.passes)
    )
    for passes in zip(*runs, strict=True):
        for layer in passes[0].layers:
            yield _of_layer(layer, passes, examples, how, side)


def _of_layer(
    layer: str, passes: Sequence[Activations], examples: Examples, how: LayerSpecification, side: str
) -> LayerResult:
    drawn = [one[layer] for one in passes]
    if all(torch.equal(drawn[0], other) for other in drawn):
        both = layer_information(drawn[0], examples.y, how.method_for(None), seed=how.seed, name=layer)
        return LayerResult(side, layer, both.x_t, both.t_y)
    x_t, t_y = (_over_passes(drawn, other, how) for other in (examples.patterns, examples.y.numpy()))
    return LayerResult(side, layer, x_t.named("I(X;T)"), t_y.named("I(T;Y)"))


def _over_passes(
    drawn: Sequence[Float[Tensor, "n d"]], other: Int[np.ndarray, " n"], how: LayerSpecification
) -> Measurement:
    def pooled(some: Sequence[Tensor]) -> Measurement:
        return mutual_information(
            torch.cat(list(some)), np.tile(other, len(some)), how.method_for(None), seed=how.seed, strict=False
        )

    whole, half = pooled(drawn), len(drawn) // 2
    excess = (pooled(drawn[:half]).value + pooled(drawn[half : 2 * half]).value) / 2 - whole.value
    note = f"{len(drawn)} noisy passes; half as many give {excess / NATS_PER_BIT:+.6f} bit"
    # The draws of the last noise may be many, those of the noise before it are as many as the passes give.
    draws = len(drawn) * len(other)
    few = math.sqrt(max(1.0, how.method.samples / draws)) if isinstance(how.method, Noisy) else 1.0
    stderr = math.hypot(whole.stderr * few, excess)
    return dataclasses.replace(noted(whole, note), stderr=stderr, bound=Bound.UPPER)
