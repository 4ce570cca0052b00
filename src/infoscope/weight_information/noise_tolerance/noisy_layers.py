"""What becomes of a network's loss when noise is put into layers of it: measured, and predicted by the curvature.

Shannon (1951) measured what a text holds by corrupting it and asking what is lost; here it is what weights hold.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from infoscope.data.task import Task
from infoscope.measurement import Measurement, Receipt, Status, mean_and_stderr
from infoscope.record import Row
from infoscope.run.look import Look
from infoscope.training.isolation import isolated
from infoscope.training.learner import Learner, Weights, load_weights
from infoscope.weight_information.example_losses import PerExample, losses, mean_and_error
from infoscope.weight_information.fisher import Fisher
from infoscope.weight_information.quantise.quantised_layers import part

Layers = Mapping[str, tuple[str, ...]]
"""Parameters that get noise of one size, by the layer's name."""


def size_of(weights: Weights, names: Sequence[str]) -> float:
    """The root mean square of these parameters' weights.

    >>> size_of({"a": torch.tensor([1.0, 7.0])}, ["a"])
    5.0
    """
    flat = torch.cat([weights[name].detach().cpu().double().flatten() for name in names])
    return float(flat.square().mean().sqrt())


def noisy_losses(
    task: Task, learner: Learner, layers: Layers, aliases: Mapping[str, Sequence[str]], scales: Sequence[float],
    seeds: Sequence[int], device: str,
) -> PerExample:  # fmt: skip
    """Each example's loss as the network is; then, for each scale and seed, its mean over a draw and its mirror image.

    Noise is Gaussian, of so many times the layer's root mean square. What is odd in it cancels in the mean of both.
    """
    assert learner.weights is not None
    with isolated(0, threads=1):
        network = learner.network(task.shape, task.target.outputs, 0).to(device)
        rows = [losses(network, task)]
        for scale in scales:
            for seed in seeds:
                both = []
                for sign in (1.0, -1.0):
                    load_weights(network, _noisy(learner.weights, layers, aliases, sign * scale, seed))
                    both.append(losses(network, task))
                rows.append((both[0] + both[1]) / 2)
    return PerExample(torch.stack(rows))


def _noisy(
    weights: Weights, layers: Layers, aliases: Mapping[str, Sequence[str]], scale: float, seed: int
) -> dict[str, Tensor]:
    draws, found = torch.Generator().manual_seed(seed), dict(weights)
    for names in layers.values():
        size = size_of(weights, names)
        for name in names:
            noise = torch.randn(weights[name].shape, generator=draws).to(weights[name])
            found |= dict.fromkeys(aliases[name], weights[name] + scale * size * noise)
    return found


def noisy_look(
    task: Task, learner: Learner, layers: Layers, aliases: Mapping[str, Sequence[str]], scales: Sequence[float],
    seeds: Sequence[int], device: str,
) -> Look[PerExample]:  # fmt: skip
    """The same as a look."""
    args = (task, learner, dict(layers), dict(aliases), tuple(scales), tuple(seeds), device)
    stand_in = partial(PerExample.stand_in, 1 + len(scales) * len(seeds), len(task))
    label = f"noise in {', '.join(layers)}"[:60]
    return Look(noisy_losses, args, PerExample, 1, label, kind="noisings", stand_in=stand_in)


def predicted_rise(fisher: Fisher, weights: Weights, layers: Layers, scale: float) -> tuple[float, float]:
    """½ Σ σ² tr F of the layers, nats an example: what the loss rises by to second order; the most its error can be."""
    value, error = 0.0, 0.0
    for names in layers.values():
        half = 0.5 * (scale * size_of(weights, names)) ** 2
        value += half * sum(float(fisher.diagonal.mean[name].double().sum()) for name in names)
        error += half * sum(float(fisher.diagonal.stderr[name].double().sum()) for name in names)
    return value, error


@dataclass(frozen=True)
class Noised:
    """A layer (None for all at once) at every scale that was tried, in order: measured and predicted rises."""

    name: str | None
    scales: tuple[float, ...]
    rises: tuple[Measurement, ...]
    predicted: tuple[Measurement, ...]

    @classmethod
    def of(
        cls, name: str | None, scales: Sequence[float], seeds: Sequence[int], came: Float[Tensor, "rows n"],
        told: Sequence[tuple[float, float]], receipt: Receipt,
    ) -> Noised:  # fmt: skip
        """From the losses, and a prediction at every scale with its error."""
        moved = (came[1:] - came[0]).view(len(scales), len(seeds), -1)
        rises, predicted = [], []
        for each, prediction in zip(moved, told, strict=True):
            by_draw = {seed: float(row.mean()) for seed, row in zip(seeds, each, strict=True)}
            value, over_draws = mean_and_stderr(by_draw.values())
            error = math.hypot(over_draws, mean_and_error(each.mean(0))[1])
            status = frozenset({Status.NOT_QUADRATIC}) if part(value, error, *prediction) else frozenset[Status]()
            rises.append(Measurement("loss rise", value, error, replicates=by_draw, receipt=receipt))
            second = replace(receipt, method="½ σ² tr F, the Fisher diagonal", over="entries' errors added up")
            predicted.append(Measurement("loss rise, predicted", *prediction, status=status, receipt=second))
        return cls(name, tuple(scales), tuple(rises), tuple(predicted))

    def tolerated(self, most: float) -> Measurement:
        """The noise at which the loss rises by `most` nats, between the scales by the power of the noise.

        Its error is half of what one error less of a rise, or one more, would make of it. Status NOT_REACHABLE, and
        NaN, where all scales that were tried stay below, or none does.
        """
        found, low, high = (self._crossing(most, errors) for errors in (0, 1, -1))
        status = frozenset({Status.NOT_REACHABLE}) if math.isnan(found) else frozenset[Status]()
        receipt = replace(self.rises[0].receipt, method="interpolated along log σ", over="draws and examples")
        return Measurement("noise tolerated", found, (high - low) / 2, "1", status=status, receipt=receipt)

    def _crossing(self, most: float, errors: int) -> float:
        rises = [m.value + errors * (0.0 if math.isnan(m.stderr) else m.stderr) for m in self.rises]
        for i, (low, high) in enumerate(pairwise(rises)):
            if low <= most < high:
                share = (math.log(most / low) / math.log(high / low)) if low > 0 else (most - low) / (high - low)
                return math.exp(math.log(self.scales[i]) + share * math.log(self.scales[i + 1] / self.scales[i]))
        return math.nan

    def rows(self, most: float) -> list[Row]:
        """The noise that is tolerated, then the rises at every scale."""
        found = [Row({"layer": self.name, "noise": None}, self.tolerated(most))]
        for scale, rise, told in zip(self.scales, self.rises, self.predicted, strict=True):
            place = {"layer": self.name, "noise": scale}
            found += [Row(place, rise), Row(place, told)]
        return found
