"""What the question of I(w;D) comes to: bounds, what lies between them, a figure over β and a sentence."""

from __future__ import annotations

import dataclasses
import math
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
from infoscope.weight_information.weights_and_data.drawn_labels import sent_information
from infoscope.weight_information.weights_and_data.information_bounds import (
    decoded_information,
    gaussian_information,
    prior_information,
    resampling_entropy,
)
from infoscope.weight_information.weights_and_data.noisy_network import Following, Noise, NoisyNetwork, Source

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
    """What is found for one task of n examples: losses under weights as they were trained, and the same with noise.

    `counts` and `trained` are there where examples are drawn; where labels are, `entropy` is theirs, nats, if known.
    """

    name: str
    data: str
    model: str
    seeds: int
    n: int
    sets: int
    counts: Int[Tensor, "sets n"] | None
    trained: Float[Tensor, "sets seeds n"] | None
    priced: tuple[AtPrice, ...]
    converged: bool
    source: Source = "examples"
    entropy: float | None = None

    @cached_property
    def measured(self) -> tuple[Row, ...]:
        """All measurements, made once."""
        rows: list[Row] = []
        if (all_of_it := self.whole) is not None:
            how = "n draws with replacement" if self.counts is not None else "labels of one network"
            entropy = Measurement("H(D)", all_of_it, 0.0, bound=Bound.EXACT, receipt=self._receipt(how))
            rows.append(Row({"task": self.name}, entropy))
        if self.counts is not None and self.trained is not None:
            as_trained = self._said(decoded_information(self.trained, self.counts))
            rows.append(Row({"task": self.name, "weights": "as trained", "estimator": "decoder"}, as_trained))
        for price in self.priced:
            place = {"task": self.name, "weights": "with noise", "beta": price.noise.beta}
            rows += [Row({**place, "estimator": name}, m) for name, m in self._estimates(price).items()]
            rows.append(Row(place, self._divergence(price)))
        return tuple(rows)

    @property
    def whole(self) -> float | None:
        """H(D), nats, where it is known: all there is to tell."""
        if self.counts is not None:
            return resampling_entropy(self.n)
        return None if self.entropy is None or math.isnan(self.entropy) else self.entropy

    def lowest(self, price: AtPrice) -> Measurement:
        """The lower bound at one β: of the decoder, or of the mixture where no decoder knows H(D)."""
        return self.of("mixture" if self.source == "prior" else "decoder", price.noise.beta)

    def rows(self) -> tuple[Row, ...]:
        """H(D), weights as they were trained, then with noise at every β."""
        return self.measured

    def of(self, estimator: str, beta: float | None = None) -> Measurement:
        """The measurement of one estimator at one β, or of weights as they were trained."""
        for row in self.measured:
            if row.coordinates.get("estimator") == estimator and row.coordinates.get("beta") == beta:
                return row.measurement
        raise KeyError(f"no {estimator} at β = {beta}")

    def has(self, estimator: str, beta: float) -> bool:
        """Whether one gave something at a β."""
        places = (row.coordinates for row in self.measured)
        return any(at.get("estimator") == estimator and at.get("beta") == beta for at in places)

    def most(self, price: AtPrice) -> float:
        """The least of the upper bounds at one β, nats."""
        known = (self.of("prior", price.noise.beta), self._divergence(price))
        return min(*(m.value for m in known), *(() if self.whole is None else (self.whole,)))

    def _estimates(self, price: AtPrice) -> dict[str, Measurement]:
        qs = [[one.q for one in row] for row in price.noisy]
        losses = torch.stack([torch.cat([one.losses for one in row]) for row in price.noisy])
        mixture = aggregate_information([SeedAverage(row) for row in qs], draws=_DRAWS)
        if price.channel is not None and price.channel.linear:  # one minimum, whatever the seed
            mixture = dataclasses.replace(mixture, bound=Bound.LOWER)
        found: dict[str, Measurement] = {}
        if self.counts is not None:
            found["decoder"] = decoded_information(losses, self.counts)
        elif self.source == "labels":
            found["decoder"] = sent_information(losses)
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
        notes = [f"{self.sets} data sets of {self.n} {_DRAWN[self.source]}, {self._networks}"]
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
        return Receipt(method, self.data, n=self.n, version=__version__)


_DRAWS = 20
_DRAWN = {"examples": "draws", "labels": "labels by one network", "prior": "labels by networks of the prior"}


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
        return {one.name: "; ".join(one.lowest(one.priced[0]).receipt.notes) for one in self.found}

    def write(self, folder: Path) -> Mapping[str, str]:
        """No file but the report."""
        return {}


def _over_prices(one: TaskShannon) -> list[Figure]:
    if len(one.priced) < 2:
        return []
    prices = sorted(one.priced, key=lambda price: price.noise.beta)
    betas, lines = [price.noise.beta for price in prices], []
    for name in ESTIMATORS:
        if not all(one.has(name, beta) for beta in betas):
            continue
        lines.append(Line(name, betas, [one.of(name, beta).bits for beta in betas], dash=name in ("decoder", "prior")))
    return [Figure(f"Shannon information in the weights, {one.name}", "β", "I(w;D) (bits)", lines, log_x=True)]


def _told(one: TaskShannon) -> str:
    price = one.priced[0]
    lowest, high, there, what = one.lowest(price), one.most(price) / NATS_PER_BIT, "", _WHAT[one.source]
    if one.whole is not None:
        there = f"{what} of {one.name} were drawn takes {one.whole / NATS_PER_BIT:,.0f} bits to say. "
        there = there[0].upper() + there[1:]
    low = f"{max(0.0, lowest.bits):,.3g} to" if lowest.bound is Bound.LOWER else "at most"
    told = f"{there}The weights of {one.model} hold {low} {high:,.3g} "
    told += "of them" if there else f"bits about {what} of {one.name} were drawn"
    told += f" under the noise of β = {price.noise.beta:g}"
    if price.channel is not None:
        told += f", {one.of('channel', price.noise.beta).bits:,.3g} by the Gaussian channel"
    if one.trained is None:
        return f"{told}."
    return f"{told}; as they were trained, at least {max(0.0, one.of('decoder').bits):,.3g}."


_WHAT = {"examples": "which examples", "labels": "which labels", "prior": "which labels"}
