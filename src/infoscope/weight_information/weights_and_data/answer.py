"""What the question of I(w;D) comes to: bounds, what lies between them, a figure over β and a sentence."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from infoscope import __version__
from infoscope.figure import Figure, Line
from infoscope.measurement import NATS_PER_BIT, Bound, Measurement, Receipt, Status, mean_and_stderr
from infoscope.record import Record, Row
from infoscope.weight_information.gaussian import Eigenvectors
from infoscope.weight_information.weights_and_data.aggregate_prior import SeedAverage, aggregate_information
from infoscope.weight_information.weights_and_data.information_bounds import (
    decoded_information,
    gaussian_information,
    prior_information,
    resampling_entropy,
)
from infoscope.weight_information.weights_and_data.noisy_network import Following, Noise, NoisyNetwork

ESTIMATORS = ("decoder", "channel", "ensemble", "mixture", "prior")
"""What gives I(w;D): the lower bound, three between, the upper bound."""


@dataclass(frozen=True, eq=False)
class AtPrice:
    """Networks with noise at one β, a row for each data set, and the channel at a network of the whole pool."""

    noise: Noise
    noisy: tuple[tuple[NoisyNetwork, ...], ...]
    channel: Following | None


@dataclass(frozen=True, eq=False)
class TaskShannon:
    """What is found for one task: the pool's losses under weights as they were trained, and the same with noise."""

    name: str
    data: str
    model: str
    seeds: int
    counts: Int[Tensor, "sets n"]
    trained: Float[Tensor, "sets seeds n"]
    priced: tuple[AtPrice, ...]
    converged: bool

    @cached_property
    def measured(self) -> tuple[Row, ...]:
        """All measurements, made once."""
        n = self.counts.shape[1]
        entropy = Measurement(
            "H(D)", resampling_entropy(n), 0.0, bound=Bound.EXACT, receipt=self._receipt("n draws with replacement")
        )
        as_trained = self._said(decoded_information(self.trained, self.counts))
        rows = [
            Row({"task": self.name}, entropy),
            Row({"task": self.name, "weights": "as trained", "estimator": "decoder"}, as_trained),
        ]
        for price in self.priced:
            place = {"task": self.name, "weights": "with noise", "beta": price.noise.beta}
            rows += [Row({**place, "estimator": name}, m) for name, m in self._estimates(price).items()]
            rows.append(Row(place, self._divergence(price)))
        return tuple(rows)

    def rows(self) -> tuple[Row, ...]:
        """H(D), weights as they were trained, then with noise at every β."""
        return self.measured

    def decoded(self, price: AtPrice) -> Measurement:
        """The lower bound at one β."""
        return self.of("decoder", price.noise.beta)

    def of(self, estimator: str, beta: float | None = None) -> Measurement:
        """The measurement of one estimator at one β, or of weights as they were trained."""
        for row in self.measured:
            if row.coordinates.get("estimator") == estimator and row.coordinates.get("beta") == beta:
                return row.measurement
        raise KeyError(f"no {estimator} at β = {beta}")

    def most(self, price: AtPrice) -> float:
        """The least of the upper bounds at one β, nats."""
        known = (self.of("prior", price.noise.beta), self._divergence(price))
        return min(resampling_entropy(self.counts.shape[1]), *(m.value for m in known))

    def _estimates(self, price: AtPrice) -> dict[str, Measurement]:
        qs = [[one.q for one in row] for row in price.noisy]
        losses = torch.stack([torch.cat([one.losses for one in row]) for row in price.noisy])
        mixture = aggregate_information([SeedAverage(row) for row in qs], draws=_DRAWS)
        if price.channel is not None and price.channel.linear:  # one minimum, whatever the seed
            mixture = dataclasses.replace(mixture, bound=Bound.LOWER)
        found = {"decoder": decoded_information(losses, self.counts)}
        if price.channel is not None:
            found["channel"] = _of_channel(price.channel)
        found |= {"ensemble": gaussian_information(qs), "mixture": mixture, "prior": prior_information(qs)}
        return {name: self._said(m, price) for name, m in found.items()}

    def _divergence(self, price: AtPrice) -> Measurement:
        """E KL(q‖N(0, λ²)): what the plain prior pays, I(w;D) and what it lies away from the sharpest one."""
        centre, variance = torch.zeros_like(price.noisy[0][0].q.mean), price.noise.scale**2
        found = {j: mean_and_stderr(o.q.kl(centre, variance) for o in row)[0] for j, row in enumerate(price.noisy)}
        value, stderr = mean_and_stderr(found.values())
        receipt = Receipt("prior around zero", over="data sets", version=__version__)
        m = Measurement("KL(q|p)", value, stderr, replicates=found, bound=Bound.UPPER, receipt=receipt)
        return self._said(m, price)

    def _said(self, m: Measurement, price: AtPrice | None = None) -> Measurement:
        doubt = frozenset[Status]() if self.converged or price is not None else frozenset({Status.NOT_CONVERGED})
        notes = [f"{len(self.counts)} data sets of {self.counts.shape[1]} draws, {self._networks}"]
        if price is not None:
            form = "its whole covariance" if _whole(price) else "a noise a weight"
            notes.append(f"β = {price.noise.beta:g}, λ = {price.noise.scale:g}, {form}")
        receipt = dataclasses.replace(m.receipt, data=self.data, model=self.model, notes=(*m.receipt.notes, *notes))
        return dataclasses.replace(m, status=m.status | doubt, receipt=receipt)

    @property
    def _networks(self) -> str:
        if not self.seeds:
            return "a network each, all of one seed"
        return f"{self.seeds} networks each" if self.seeds > 1 else "a network each"

    def _receipt(self, method: str) -> Receipt:
        return Receipt(method, self.data, n=self.counts.shape[1], version=__version__)


_DRAWS = 20


def _whole(price: AtPrice) -> bool:
    return isinstance(price.noisy[0][0].q.basis, Eigenvectors)


def _of_channel(channel: Following) -> Measurement:
    value = 0.5 * float(channel.signal.log1p().sum())
    status = frozenset[Status]() if channel.at_minimum else frozenset({Status.NOT_AT_A_MINIMUM})
    way = "its Fisher information" if channel.linear or not channel.risen else "its Hessian"
    notes = (f"by {way} at a network of the whole pool; a Newton step promises {channel.gain:.2g} nats",)
    receipt = Receipt("Gaussian channel by implicit differentiation", notes=notes, version=__version__)
    return Measurement("I(w;D)", value, status=status, receipt=receipt)


@dataclass(frozen=True)
class ShannonAnswer:
    """What `ShannonInformation` comes to."""

    beta: float
    found: tuple[TaskShannon, ...]

    @property
    def title(self) -> str:
        """Shannon information between weights and data."""
        return f"Shannon information in the weights of {self.found[0].model}, {', '.join(o.name for o in self.found)}"

    def record(self) -> Record:
        """All measurements."""
        return Record.of(row for one in self.found for row in one.rows())

    def figures(self) -> list[Figure]:
        """I(w;D) over β, by every estimator."""
        return [figure for one in self.found for figure in _over_prices(one)]

    def sentence(self) -> str:
        """Between what and what it lies."""
        return " ".join(_told(one) for one in self.found)

    def choices(self) -> Mapping[str, str]:
        """How many data sets, and what noise."""
        return {one.name: "; ".join(one.decoded(one.priced[0]).receipt.notes) for one in self.found}

    def write(self, folder: Path) -> Mapping[str, str]:
        """No file but the report."""
        return {}


def _over_prices(one: TaskShannon) -> list[Figure]:
    if len(one.priced) < 2:
        return []
    prices = sorted(one.priced, key=lambda price: price.noise.beta)
    betas, lines = [price.noise.beta for price in prices], []
    for name in ESTIMATORS:
        if name == "channel" and prices[0].channel is None:
            continue
        lines.append(Line(name, betas, [one.of(name, beta).bits for beta in betas], dash=name in ("decoder", "prior")))
    return [Figure(f"Shannon information in the weights, {one.name}", "β", "I(w;D) (bits)", lines, log_x=True)]


def _told(one: TaskShannon) -> str:
    price = one.priced[0]
    low, high, all_of_it = (
        v / NATS_PER_BIT for v in (one.decoded(price).value, one.most(price), resampling_entropy(one.counts.shape[1]))
    )
    told = (
        f"Which examples of {one.name} were drawn takes {all_of_it:,.0f} bits to say. The weights of {one.model} hold "
        f"{max(0.0, low):,.3g} to {high:,.3g} of them under the noise of β = {price.noise.beta:g}"
    )
    if price.channel is not None:
        told += f", {one.of('channel', price.noise.beta).bits:,.3g} by the Gaussian channel"
    return f"{told}; as they were trained, at least {max(0.0, one.of('decoder').bits):,.3g}."
