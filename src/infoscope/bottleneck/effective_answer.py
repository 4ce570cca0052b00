"""What the question of effective information comes to: tables, curves over training and over β, and a sentence."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from infoscope import __version__
from infoscope.bottleneck.emergence import effective_information
from infoscope.bottleneck.weight_noise import Channels, Looking
from infoscope.figure import Figure, Line
from infoscope.measurement import Measurement, Receipt, Status, Unit
from infoscope.record import Record, Row

APART = 2.0
"""Times, by which the noise of activations as drawn may part from its linear form."""


@dataclass(frozen=True)
class TaskLayers:
    """What is found for one task: the channels of every network at every time, by epoch and seed.

    The epoch is None for weights that were given. `data` is the task's fingerprint.
    """

    name: str
    model: str
    looking: Looking
    data: str
    device: str
    seen: Mapping[tuple[int | None, int], Channels]

    @property
    def epochs(self) -> tuple[int | None, ...]:
        """When it was looked."""
        return tuple(dict.fromkeys(epoch for epoch, _ in self.seen))

    @property
    def layers(self) -> tuple[str, ...]:
        """In the order in which they answer."""
        return tuple(next(iter(self.seen.values())).ratios)

    def at(self, epoch: int | None) -> dict[int, Channels]:
        """The networks at this time, by seed."""
        return {seed: channels for (when, seed), channels in self.seen.items() if when == epoch}

    def information(self, epoch: int | None, layer: str, price: int = 0) -> Measurement:
        """I_eff of a layer, at the β of this number."""
        networks = self.at(epoch)
        drawn = [channels.drawn[layer][price] for channels in networks.values()]
        ratio = sum(drawn) / len(drawn)
        n = len(next(iter(networks.values())).ratios[layer][price])
        receipt = self._receipt(networks, price, n, f"noise as drawn / linear: {ratio:.3g}")
        found = effective_information({seed: c.ratios[layer][price] for seed, c in networks.items()}, receipt)
        apart = frozenset[Status]() if 1 / APART <= ratio <= APART else frozenset({Status.NOT_LINEAR})
        return dataclasses.replace(found, status=found.status | apart)

    def of_weights(self, epoch: int | None, price: int = 0) -> Measurement:
        """KL(q‖p) at the β of this number."""
        networks = self.at(epoch)
        return self._measured("KL(q|p)", {seed: c.kl[price] for seed, c in networks.items()}, networks, price)

    def trace(self, epoch: int | None) -> Measurement:
        """The trace of the Fisher information at the weights."""
        networks = self.at(epoch)
        return self._measured("tr F", {seed: c.trace for seed, c in networks.items()}, networks)

    def trace_of_outputs(self, epoch: int | None) -> Measurement:
        """That trace over the mean curvature of the loss in the outputs: a network's being sure taken out."""
        networks = self.at(epoch)
        shares = {seed: c.trace / c.uncertainty if c.uncertainty else math.nan for seed, c in networks.items()}
        return self._measured("tr F/tr H", shares, networks, unit="1")

    def loss(self, epoch: int | None) -> Measurement:
        """Nats an example."""
        networks = self.at(epoch)
        return self._measured("loss", {seed: c.loss for seed, c in networks.items()}, networks)

    def rows(self) -> tuple[Row, ...]:
        """Epoch by epoch: the weights, then each layer."""
        return tuple(row for epoch in self.epochs for row in self._rows(epoch))

    def _rows(self, epoch: int | None) -> Iterator[Row]:
        place = {"task": self.name} | ({} if epoch is None else {"epoch": epoch})
        for one in (self.loss(epoch), self.trace(epoch), self.trace_of_outputs(epoch)):
            yield Row(place, one)
        for price, beta in enumerate(self.looking.betas):
            yield Row({**place, "beta": beta}, self.of_weights(epoch, price))
            for layer in self.layers:
                yield Row({**place, "beta": beta, "layer": layer}, self.information(epoch, layer, price))

    def _measured(
        self,
        quantity: str,
        replicates: Mapping[int, float],
        networks: Mapping[int, Channels],
        price: int | None = None,
        unit: Unit = "nat",
    ) -> Measurement:
        receipt = self._receipt(networks, price, 0)
        return Measurement.from_replicates(quantity, dict(replicates), unit=unit, receipt=receipt)

    def _receipt(self, networks: Mapping[int, Channels], price: int | None, n: int, *notes: str) -> Receipt:
        how, told = self.looking, tuple[str, ...]()
        if price is not None:
            scales = ", ".join(f"{c.scale:.4g}" for c in networks.values())
            told = (f"posterior: {how.way}, {how.form}", f"β = {how.betas[price]:g}", f"λ = {scales}")
        if n:
            told += (f"inputs vary: {how.covariance}, spread {how.spread:g}", f"places: {how.places}", *notes)
        return Receipt(
            "local Gaussian channel", self.data, self.model, n=n, seeds=tuple(networks),
            over="networks" if len(networks) > 1 or not n else "inputs", notes=told, version=__version__,
            device=self.device,
        )  # fmt: skip


@dataclass(frozen=True)
class EffectiveAnswer:
    """What `EffectiveInformation` comes to."""

    found: tuple[TaskLayers, ...]

    @property
    def title(self) -> str:
        """Effective information in activations of a network on these tasks."""
        first = self.found[0]
        return f"Effective information in activations of {first.model} on {', '.join(one.name for one in self.found)}"

    def record(self) -> Record:
        """All measurements."""
        return Record.of(row for one in self.found for row in one.rows())

    def figures(self) -> list[Figure]:
        """Over training, over β, and the information in the weights beside."""
        return [figure for one in self.found for figure in (*_over_training(one), *_over_prices(one))]

    def sentence(self) -> str:
        """What each layer tells of an input, and how that changed."""
        return " ".join(_told(one) for one in self.found)

    def choices(self) -> Mapping[str, str]:
        """How it was measured."""
        return {one.name: "; ".join(one.information(one.epochs[-1], one.layers[0]).receipt.notes) for one in self.found}

    def write(self, folder: Path) -> Mapping[str, str]:
        """No file but the report."""
        return {}


def curve(name: str, x: Sequence[float], measured: Sequence[Measurement]) -> Line:
    """Values as they are printed, with a band of one standard error."""
    errors = [m.stderr_bits if m.unit == "nat" else m.stderr for m in measured]
    if any(map(math.isnan, errors)):
        return Line(name, x, [m.printed for m in measured])
    y = [m.printed for m in measured]
    lower, upper = ([v + side * e for v, e in zip(y, errors, strict=True)] for side in (-1, 1))
    return Line(name, x, y, lower, upper)


def _over_training(one: TaskLayers) -> list[Figure]:
    epochs = [epoch for epoch in one.epochs if epoch is not None]
    if len(epochs) < 2:
        return []
    beta = one.looking.betas[0]
    lines = [curve(layer, epochs, [one.information(e, layer) for e in epochs]) for layer in one.layers]
    weights = curve("KL(q|p)", epochs, [one.of_weights(e) for e in epochs])
    trace = curve("tr F", epochs, [one.trace(e) for e in epochs])
    sure = curve("tr F/tr H", epochs, [one.trace_of_outputs(e) for e in epochs])
    return [
        Figure(f"Effective information in activations during training, {one.name}, β = {beta:g}", "epoch",
               "I_eff(x; z) (bits)", lines),
        Figure(f"Information in the weights during training, {one.name}, β = {beta:g}", "epoch", "KL(q‖p) (bits)",
               [weights]),
        Figure(f"Fisher information during training, {one.name}", "epoch", "tr F (bits)", [trace]),
        Figure(f"Fisher information over the curvature of the outputs, {one.name}", "epoch", "tr F/tr H", [sure]),
    ]  # fmt: skip


def _over_prices(one: TaskLayers) -> list[Figure]:
    if len(one.looking.betas) < 2:
        return []
    last = one.epochs[-1]
    order = sorted(range(len(one.looking.betas)), key=lambda i: one.looking.betas[i])
    betas = [one.looking.betas[i] for i in order]
    kl = [one.of_weights(last, i).bits for i in order]
    found = {layer: [one.information(last, layer, i) for i in order] for layer in one.layers}
    return [
        Figure(f"Effective information against the price of the weights, {one.name}", "β", "I_eff(x; z) (bits)",
               [curve(layer, betas, values) for layer, values in found.items()], log_x=True),
        Figure(f"Effective information against information in the weights, {one.name}", "KL(q‖p) (bits)",
               "I_eff(x; z) (bits)", [curve(layer, kl, values) for layer, values in found.items()], log_x=True),
    ]  # fmt: skip


def _told(one: TaskLayers) -> str:
    last, epochs = one.epochs[-1], [epoch for epoch in one.epochs if epoch is not None]
    values = {layer: one.information(last, layer) for layer in one.layers}
    held = ", ".join(f"{layer} {_bits(m)}" for layer, m in values.items())
    told = f"Of an input of {one.name} the layers of {one.model} tell, at β = {one.looking.betas[0]:g}: {held}."
    if len(epochs) > 1:
        told += " " + " ".join(_course(one, layer, epochs) for layer in one.layers)
    if any(Status.NOT_LINEAR in m.status for m in values.values()):
        told += " Where the noise of activations parts from its linear form, the number is of another channel."
    return told


def _course(one: TaskLayers, layer: str, epochs: Sequence[int]) -> str:
    values = {epoch: one.information(epoch, layer) for epoch in epochs}
    finite = {epoch: m for epoch, m in values.items() if not math.isnan(m.value)}
    if len(finite) < len(values):
        return f"{layer} is infinite at {len(values) - len(finite)} of {len(values)} epochs."
    most = max(finite, key=lambda epoch: finite[epoch].value)
    end = epochs[-1]
    fell = finite[most] - finite[end]
    if most == end:
        return f"{layer} is at its most in the end."
    if fell.value <= 2 * fell.stderr:
        return f"{layer} has not fallen beyond its errors since epoch {most}, by {_bits(fell)}."
    return f"{layer} fell by {_bits(fell)} from epoch {most} on."


def _bits(m: Measurement) -> str:
    if math.isnan(m.value):
        return "without end"
    return f"{m.bits:.3g} bits" if math.isnan(m.stderr) else f"{m.bits:.3g} ± {m.stderr_bits:.2g} bits"
