"""What the question of the Fisher information during training comes to."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float

from infoscope.dynamics.fisher_training.curve import CALIBRATED, LOSS, RAW, VARIANCE, FisherCurve, When
from infoscope.dynamics.fisher_training.watched_trainings import WatchedTraining
from infoscope.figure import Figure, Line
from infoscope.measurement import NATS_PER_BIT, Measurement, Receipt
from infoscope.record import Record, Row

UNITS = {RAW: "nat", CALIBRATED: "1", VARIANCE: "1", LOSS: "nat"}

_SHARE = "tr F / mean p (1 − p)"


@dataclass(frozen=True)
class FisherTrainingAnswer:
    """What `FisherTraining` comes to: a watched training a seed; those that broke off are left out, and told."""

    name: str
    model: str
    seeds: tuple[int, ...]
    trainings: tuple[WatchedTraining, ...]

    @cached_property
    def curves(self) -> dict[int, FisherCurve]:
        """By seed, of trainings that went to their end."""
        return {seed: one.curve for seed, one in zip(self.seeds, self.trainings, strict=True) if not one.stopped}

    @property
    def times(self) -> tuple[When, ...]:
        """The steps that were measured."""
        return next(iter(self.curves.values())).times if self.curves else ()

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers, in their order."""
        return next(iter(self.curves.values())).layers if self.curves else ()

    @property
    def stopped(self) -> str:
        """Why a training broke off, where one did."""
        told = (f"seed {s}: {one.stopped}" for s, one in zip(self.seeds, self.trainings, strict=True) if one.stopped)
        return next(told, "")

    @property
    def title(self) -> str:
        """The Fisher information while this network trains."""
        return f"Fisher information while {self.model} trains on {self.name}"

    def at(self, place: int, quantity: str = RAW, layer: str | None = None) -> Measurement:
        """One quantity at one time; the error is over seeds, or over examples and signs where there is one seed."""
        if len(self.curves) == 1:
            (curve,) = self.curves.values()
            return next(
                row.measurement
                for row in curve.rows(place)
                if row.measurement.quantity == quantity and row.coordinates.get("layer") == layer
            )
        replicates = {seed: _value(curve, place, quantity, layer) for seed, curve in self.curves.items()}
        return Measurement.from_replicates(quantity, replicates, unit=UNITS[quantity], receipt=self.receipt)

    def rise(self, quantity: str = RAW) -> Measurement:
        """Log2 of the quantity at its highest over that at the start: how often it doubles."""
        return self._change("rise of tr F", quantity, 0)

    def fall(self, quantity: str = RAW) -> Measurement:
        """Log2 of the quantity at its highest over that at the end: how often it halves."""
        return self._change("fall of tr F", quantity, -1)

    def peak(self, quantity: str = RAW) -> int:
        """Where its mean over the seeds is highest, on a logarithmic axis."""
        return int(np.argmax(self._logs(quantity).mean(0)))

    def record(self) -> Record:
        """How it rises and falls, and the start, the highest place and the end, with the layers."""
        if not self.curves:
            return Record()
        both = (RAW, CALIBRATED)
        rows = [Row({"of": of}, change(of)) for of in both for change in (self.rise, self.fall)]
        places = dict.fromkeys((0, self.peak(), self.peak(CALIBRATED), len(self.times) - 1))
        return Record.of([*rows, *(row for place in sorted(places) for row in self.rows(place))])

    def rows(self, place: int) -> list[Row]:
        """All that was measured at one time."""
        when = {"step": self.times[place].step, "epoch": self.times[place].epoch}
        rows = [Row({**when, "layer": None}, self.at(place, quantity)) for quantity in (RAW, CALIBRATED, VARIANCE)]
        if place:
            rows.append(Row(when, self.at(place, LOSS)))
        layers = [(layer, quantity) for layer in self.layers for quantity in (RAW, CALIBRATED)]
        return [*rows, *(Row({**when, "layer": layer}, self.at(place, q, layer)) for layer, q in layers)]

    def figures(self) -> Sequence[Figure]:
        """Both traces over the steps, the loss beside, and the layers' calibrated ones."""
        if not self.curves:
            return []
        return [
            self._figure("Trace of the Fisher information", "tr F (bits an example)", [(RAW, None, "tr F")]),
            self._figure("Trace over the variance of the predictions", _SHARE, [(CALIBRATED, None, "calibrated")]),
            self._figure("Training loss", "loss (bits)", [(LOSS, None, "loss")]),
            self._figure("The same by layer", _SHARE, [(CALIBRATED, layer, layer) for layer in self.layers]),
        ]

    def sentence(self) -> str:
        """Whether it rises and falls, by both traces."""
        if not self.curves:
            return f"No training of {self.model} on {self.name} went to its end: {self.stopped}."
        return (
            f"While {self.model} trains on {self.name}, tr F {self._told(RAW)}. Divided by the variance of the "
            f"predictions, so that being sure does not count, it {self._told(CALIBRATED)}."
        )

    def choices(self) -> Mapping[str, str]:
        """What watching costs, and what broke off."""
        told = {"watching": self._cost()} if self.trainings else {}
        return told | ({"left out": self.stopped} if self.stopped else {})

    def write(self, folder: Path) -> Mapping[str, str]:
        """Every step that was measured of every training, to `fisher.jsonl`."""
        path = folder / "fisher.jsonl"
        path.unlink(missing_ok=True)
        kept = Record(path)
        for seed, curve in self.curves.items():
            for row in curve.record():
                kept.append(row.measurement, seed=seed, **row.coordinates)
        return {"every step that was measured": str(path)}

    @property
    def receipt(self) -> Receipt:
        """How all were made; the error is over seeds."""
        first = next(iter(self.curves.values())).receipt
        return replace(first, seeds=tuple(self.curves), over="seeds")

    def _logs(self, quantity: str) -> Float[np.ndarray, "seeds times"]:
        """Log2 of the whole network's; NaN where nothing is left of it."""
        values = [[_value(c, i, quantity, None) for i in range(len(c))] for c in self.curves.values()]
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = np.log2(np.array(values))
        return np.where(np.isfinite(logs), logs, -np.inf)

    def _change(self, name: str, quantity: str, to: int) -> Measurement:
        """From the highest place to another one; a seed's highest place is that of the other seeds' mean.

        So noise that made a seed highest there does not count for it.
        """
        logs = self._logs(quantity)
        found = {}
        for i, seed in enumerate(self.curves):
            others = np.delete(logs, i, 0) if len(logs) > 1 else logs
            found[seed] = float(logs[i, int(np.argmax(others.mean(0)))] - logs[i, to])
        return Measurement.from_replicates(name, found, unit="1", receipt=self.receipt)

    def _told(self, quantity: str) -> str:
        rise, fall = self.rise(quantity), self.fall(quantity)
        peak = self.times[self.peak(quantity)]
        up = f"rises {2**rise.value:,.3g} times until step {peak.step:,}" if peak.step else "never is above its start"
        if peak.step and _within(rise):
            up = f"does not rise beyond its errors (by {_powers(rise, 'doublings')})"
        if peak == self.times[-1]:
            return f"{up}, the last, and does not fall" if not _within(rise) else f"{up}, nor does it fall"
        if _within(fall):
            return f"{up} and does not fall again beyond its errors (by {_powers(fall, 'halvings')})"
        return f"{up} and falls to 1/{2**fall.value:,.3g} of that ({_powers(fall, 'halvings')})"

    def _figure(self, title: str, label: str, lines: Sequence[tuple[str, str | None, str]]) -> Figure:
        drawn = []
        for quantity, layer, name in lines:
            places = [i for i in range(len(self.times)) if i or quantity != LOSS]
            found = [self.at(i, quantity, layer) for i in places]
            scale = NATS_PER_BIT if UNITS[quantity] == "nat" else 1.0
            y, error = ([getattr(m, part) / scale for m in found] for part in ("value", "stderr"))
            band = [[v - e for v, e in zip(y, error, strict=True)], [v + e for v, e in zip(y, error, strict=True)]]
            low, high = band if not any(map(math.isnan, error)) else (None, None)
            drawn.append(Line(name, [self.times[i].step for i in places], y, low, high))
        return Figure(title, "step", label, drawn)

    def _cost(self) -> str:
        every = self.times[1].step if len(self.times) > 1 else 0
        watched, whole = sum(t.curve.watched for t in self.trainings), sum(t.seconds for t in self.trainings)
        if not whole > watched or not every:
            return f"at {len(self.times)} steps"
        share = watched / (whole - watched)
        return f"at every {every} steps, {share:.1%} on top of the training's own time"


def _within(change: Measurement) -> bool:
    """Whether a rise or a fall is none beyond two of its errors; of one network nobody knows."""
    return change.value <= (0 if math.isnan(change.stderr) else 2 * change.stderr)


def _powers(change: Measurement, name: str) -> str:
    """So many powers of two, with the error where it is known."""
    error = "" if math.isnan(change.stderr) else f" ± {change.stderr:.1g}"
    return f"{change.value:.2g}{error} {name}"


def _value(curve: FisherCurve, place: int, quantity: str, layer: str | None) -> float:
    if quantity == LOSS:
        return curve.losses[place]
    if quantity == VARIANCE:
        return float(curve.variances[place].mean())
    return curve.at(place, layer)[(RAW, CALIBRATED).index(quantity)].value
