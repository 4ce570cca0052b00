"""What becomes of a network's loss when layers of it are rounded: predicted, and measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from infoscope.data.task import Task
from infoscope.measurement import NATS_PER_BIT, Measurement, Receipt, Status
from infoscope.record import Row
from infoscope.run.look import Look
from infoscope.training.isolation import isolated
from infoscope.training.learner import Learner, Weights, load_weights
from infoscope.weight_information.example_losses import PerExample, losses, mean_and_error
from infoscope.weight_information.fisher import Fisher
from infoscope.weight_information.quantise.quantisation import WIDTHS, predicted_rise, quantised

Allocation = tuple[tuple[str, int], ...]
"""Parameters, and the bits of each."""

_APART, _ERRORS = 2.0, 3.0
"""Prediction and measurement part by more than this factor, and by more than so many of their errors."""


def rounded(weights: Weights, bits: Allocation, names: Mapping[str, Sequence[str]]) -> dict[str, Tensor]:
    """The weights, some parameters rounded, under all the names that each goes by."""
    found = dict(weights)
    for name, width in bits:
        held = quantised(weights[name], width).weights()
        found |= dict.fromkeys(names[name], held)
    return found


def rounded_losses(
    task: Task, learner: Learner, several: Sequence[Allocation], names: Mapping[str, Sequence[str]], device: str
) -> PerExample:
    """The loss of every example with the network rounded in each of these ways."""
    assert learner.weights is not None
    with isolated(0, threads=1):
        network, rows = learner.network(task.shape, task.target.outputs, 0).to(device), []
        for bits in several:
            load_weights(network, rounded(learner.weights, bits, names))
            rows.append(losses(network, task))
    return PerExample(torch.stack(rows))


def rounded_look(
    task: Task, learner: Learner, several: Sequence[Allocation], names: Mapping[str, Sequence[str]], device: str
) -> Look[PerExample]:
    """The same as a look."""
    args = (task, learner, tuple(several), dict(names), device)
    told = ", ".join(dict.fromkeys(name for bits in several for name, _ in bits)) or "the network as it is"
    stand_in = partial(PerExample.stand_in, len(several), len(task))
    return Look(rounded_losses, args, PerExample, 1, f"rounding {told[:60]}", kind="roundings", stand_in=stand_in)


@dataclass(frozen=True)
class Rise:
    """How much a rounding adds to the mean loss, nats an example: measured and predicted, and whether these part."""

    measured: Measurement
    predicted: Measurement

    @classmethod
    def of(cls, after: Tensor, before: Tensor, predicted: tuple[float, float], receipt: Receipt) -> Rise:
        """From the losses of the same examples, and a prediction with its error."""
        value, error = mean_and_error(after - before)
        diagonal = replace(
            receipt, method="½ Σ F δ², the Fisher diagonal", over="examples and draws, entries' errors added up"
        )
        status = frozenset({Status.NOT_QUADRATIC}) if part(value, error, *predicted) else frozenset[Status]()
        return cls(
            Measurement("loss rise", value, error, "nat", receipt=receipt),
            Measurement("loss rise, predicted", *predicted, "nat", status=status, receipt=diagonal),
        )


def part(measured: float, error: float, predicted: float, its_error: float) -> bool:
    """Whether a prediction is off by more than a factor of 2, and by more than the errors of both explain."""
    errors = math.hypot(*(0.0 if math.isnan(one) else one for one in (error, its_error)))
    beyond = abs(measured - predicted) > _ERRORS * errors
    return beyond and not (predicted / _APART <= measured <= predicted * _APART)


def prediction(fisher: Fisher, weights: Weights, bits: Allocation) -> tuple[float, float]:
    """½ Σ F δ² of a rounding, and the most that its error can be: that of all entries at once."""
    value, error = 0.0, 0.0
    for name, width in bits:
        other = quantised(weights[name], width).weights()
        value += predicted_rise(fisher.diagonal.mean[name], weights[name], other)
        error += predicted_rise(fisher.diagonal.stderr[name], weights[name], other)
    return value, error


@dataclass(frozen=True)
class Layer:
    """A layer at every number of bits that was tried."""

    name: str
    parameter: str
    size: int
    rises: tuple[Rise, ...]

    def bits(self, most: float) -> Measurement:
        """The fewest bits a weight from which on the rise is no more than so many nats; its error half a range.

        The range goes from what one standard error less of a rise would take to what one more would; it is not known
        where these are not.
        """
        found, low, high = (self._fewest(most, errors) for errors in (0, -1, 1))
        receipt = replace(
            self.rises[0].measured.receipt, notes=(f"a rise of {most / NATS_PER_BIT:.3g} bits tolerated",)
        )
        status = frozenset({Status.NOT_REACHABLE}) if math.isinf(found) else frozenset[Status]()
        value = math.nan if math.isinf(found) else found * NATS_PER_BIT
        known = all(math.isfinite(rise.measured.stderr) for rise in self.rises)
        error = (high - low) / 2 * NATS_PER_BIT if known and math.isfinite(high) else math.nan
        return Measurement("bits", value, error, "nat", status=status, receipt=receipt)

    def _fewest(self, most: float, errors: int) -> float:
        fewest = math.inf
        for width, rise in zip(reversed(WIDTHS), reversed(self.rises), strict=True):
            error = 0.0 if math.isnan(rise.measured.stderr) else rise.measured.stderr
            if not rise.measured.value + errors * error <= most:
                break
            fewest = width
        return fewest

    def rows(self, most: float) -> list[Row]:
        """Bits, then the rises at every number of bits."""
        found = [Row({"layer": self.name, "width": None}, self.bits(most))]
        for width, rise in zip(WIDTHS, self.rises, strict=True):
            place = {"layer": self.name, "width": width}
            found += [Row(place, rise.measured), Row(place, rise.predicted)]
        return found


def layer_names(parameters: Sequence[str]) -> dict[str, str]:
    """What each parameter is called in a table: its layer, or its whole name where a layer has several.

    >>> layer_names(["a.weight", "b.in_proj", "b.out_proj"])
    {'a.weight': 'a', 'b.in_proj': 'b.in_proj', 'b.out_proj': 'b.out_proj'}
    """
    layers = [name.rpartition(".")[0] or name for name in parameters]
    return {name: layer if layers.count(layer) == 1 else name for name, layer in zip(parameters, layers, strict=True)}
