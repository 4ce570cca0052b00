"""The trace of the Fisher information along one training, as a value."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from infoscope import __version__
from infoscope.measurement import Measurement, Receipt
from infoscope.record import Record, Row

RAW, CALIBRATED, VARIANCE, LOSS = "tr F", "tr F, calibrated", "p(1-p)", "training loss"


@dataclass(frozen=True)
class Watching:
    """How the Fisher information is watched: at every so many steps, on so many examples, by so many random signs.

    A measurement costs about 1.4 forward and backward passes of as many examples and signs. With 32 examples at every
    20th step of batches of 64 that is 3.5 % of a training, where the network is large enough for its passes to count.
    """

    every: int = 20
    examples: int = 32
    draws: int = 1

    def __post_init__(self) -> None:
        for name, least in (("every", 1), ("examples", 2), ("draws", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}; it is {least} or more")


@dataclass(frozen=True)
class When:
    """A step of a training, 0 before the first, and the epoch that it is in, counted from 1."""

    step: int
    epoch: int


@dataclass(frozen=True, eq=False)
class FisherCurve:
    """tr F of one training, layer by layer, at the steps that were measured.

    `traces` are those of the examples of one fixed batch; `variances` the mean over a network's outputs of p (1 − p)
    (of the diagonal of their Hessian) of each; `losses` the training loss since the measurement before, NaN at step 0.
    `watched` are the seconds of the processor that measuring took.
    """

    times: tuple[When, ...]
    layers: tuple[str, ...]
    traces: Float[Tensor, "times layers n"]
    variances: Float[Tensor, "times n"]
    losses: tuple[float, ...]
    receipt: Receipt
    watched: float = 0.0

    def __len__(self) -> int:
        return len(self.times)

    def at(self, place: int, layer: str | None = None) -> tuple[Measurement, Measurement]:
        """The traces tr F and tr F over mean p (1 − p), of a layer or of all; errors are over examples and signs.

        >>> curve = FisherCurve((When(0, 0),), ("fc",), torch.tensor([[[2.0, 4.0]]]).double(),
        ...                     torch.tensor([[0.25, 0.25]]).double(), (math.nan,), Receipt(""))
        >>> [(m.value, m.stderr) for m in curve.at(0)]
        [(3.0, 1.0), (12.0, 4.0)]
        """
        each = self.traces[place]
        traces = each.sum(0) if layer is None else each[self.layers.index(layer)]
        variances, n = self.variances[place], self.variances.shape[1]
        mean, scale = float(traces.mean()), float(variances.mean())
        ratio = mean / scale if scale > 0 else math.nan
        return (
            Measurement(RAW, mean, float(traces.std()) / math.sqrt(n), receipt=self.receipt),
            Measurement(CALIBRATED, ratio, _error_of_ratio(traces, variances, ratio), "1", receipt=self.receipt),
        )

    def rows(self, place: int) -> tuple[Row, ...]:
        """What was measured at one time: the whole network (layer None), its confidence and loss, then every layer."""
        when = asdict(self.times[place])
        variances = self.variances[place]
        own = Measurement(
            VARIANCE, float(variances.mean()), float(variances.std()) / math.sqrt(len(variances)), "1",
            receipt=self.receipt,
        )  # fmt: skip
        rows = [Row({**when, "layer": None}, m) for m in (*self.at(place), own)]
        if not math.isnan(self.losses[place]):
            rows.append(Row(when, Measurement(LOSS, self.losses[place], receipt=self.receipt)))
        return (*rows, *(Row({**when, "layer": layer}, m) for layer in self.layers for m in self.at(place, layer)))

    def record(self) -> Record:
        """All rows."""
        return Record.of(row for place in range(len(self)) for row in self.rows(place))

    def then(self, other: FisherCurve) -> FisherCurve:
        """This training gone on as another one, whose steps follow; its first point is left out, as it is our last."""
        steps, epochs = self.times[-1].step, self.times[-1].epoch
        times = tuple(When(steps + t.step, epochs + t.epoch) for t in other.times[1:])
        return FisherCurve(
            (*self.times, *times), self.layers, torch.cat([self.traces, other.traces[1:]]),
            torch.cat([self.variances, other.variances[1:]]), (*self.losses, *other.losses[1:]), self.receipt,
            self.watched + other.watched,
        )  # fmt: skip

    def parts(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and facts that `of_parts` makes it from."""
        facts = {
            "times": [[t.step, t.epoch] for t in self.times], "layers": self.layers, "receipt": asdict(self.receipt),
            "watched": self.watched,
        }  # fmt: skip
        losses = torch.tensor(self.losses, dtype=torch.float64)
        return {"traces": self.traces, "variances": self.variances, "losses": losses}, facts

    @classmethod
    def of_parts(cls, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> FisherCurve:
        """The value that `parts` took apart."""
        receipt = facts["receipt"] | {k: tuple(facts["receipt"][k]) for k in ("seeds", "notes")}
        return cls(
            tuple(When(*one) for one in facts["times"]), tuple(facts["layers"]), tensors["traces"],
            tensors["variances"], tuple(tensors["losses"].tolist()), Receipt(**receipt), facts["watched"],
        )  # fmt: skip


def receipt_of(data: str, network: str, watching: Watching, seed: int, device: str) -> Receipt:
    """How a curve was made."""
    notes = (f"{watching.draws} random sign{'s' * (watching.draws > 1)} an example", "in eval mode, on a fixed batch")
    return Receipt(
        "sketched trace of the Fisher information", data[:16], network, n=watching.examples, seeds=(seed,),
        over="examples and signs", notes=notes, version=__version__, device=device,
    )  # fmt: skip


def _error_of_ratio(above: Float[Tensor, " n"], below: Float[Tensor, " n"], ratio: float) -> float:
    """Of a ratio of means over the same examples, to first order."""
    n, scale = len(below), float(below.mean())
    return float((above - ratio * below).std()) / (math.sqrt(n) * scale) if scale > 0 else math.nan
