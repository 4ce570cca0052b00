"""What lies between two checkpoints: distances, functions, the barrier, and whether it is noise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float
from torch import Tensor

from infoscope.figure import Bars, Figure, Line
from infoscope.measurement import Measurement, Receipt, Status
from infoscope.record import Record, Row
from infoscope.training.learner import Weights
from infoscope.weight_information.between.looks import POINTS, Likeness
from infoscope.weight_information.checkpoint import Checkpoint, layer_of
from infoscope.weight_information.example_losses import mean_and_error
from infoscope.weight_information.quantise.quantised_layers import part


@dataclass(frozen=True)
class Distance:
    """Squares of what changed, and of what was there, of each layer."""

    layers: Mapping[str, tuple[float, float]]

    @classmethod
    def of(cls, one: Weights, other: Weights, names: Sequence[str]) -> Distance:
        """Over these parameters."""
        found: dict[str, tuple[float, float]] = {}
        for name in names:
            changed, there = found.get(layer_of(name), (0.0, 0.0))
            a, b = one[name].double(), other[name].double()
            found[layer_of(name)] = changed + float((a - b).square().sum()), there + float(a.square().sum())
        return cls(found)

    @property
    def whole(self) -> float:
        """|Δw| over all layers."""
        return math.sqrt(sum(changed for changed, _ in self.layers.values()))

    def of_layer(self, layer: str | None) -> tuple[float, float]:
        """|Δw| and |Δw|/|w|, of a layer or of all; NaN where |w| is 0."""
        parts = list(self.layers.values()) if layer is None else [self.layers[layer]]
        changed, there = (math.sqrt(sum(part[i] for part in parts)) for i in (0, 1))
        return changed, changed / there if there > 0 else math.nan


@dataclass(frozen=True)
class BetweenAnswer:
    """What `Between` comes to."""

    one: Checkpoint
    other: Checkpoint
    model: str
    distance: Distance
    quadratic: Mapping[str | None, Float[Tensor, " n"]] = field(default_factory=dict)
    line: Float[Tensor, "points n"] | None = None
    divergences: Float[Tensor, "2 n"] | None = None
    alike: Likeness = Likeness((), (), ())
    noise: Mapping[str | None, float] = field(default_factory=dict)
    examples: int = 0
    receipt: Receipt = Receipt("Euclidean")
    freed: str = ""
    freed_distance: Distance | None = None
    freed_line: Float[Tensor, "points n"] | None = None
    symmetries: str = ""

    @property
    def title(self) -> str:
        """The two checkpoints."""
        return f"Between {self.one.name} and {self.other.name}"

    def record(self) -> Record:
        """The whole, then layer by layer; what is left after symmetries has `way`."""
        rows = [Row(self._place(None), m) for m in self._whole()]
        if self.freed_distance is not None and self.freed_line is not None:
            place = self._place(None) | {"way": self.freed}
            rows += [Row(place, m) for m in self._distances(self.freed_distance, None)]
            rows.append(Row(place, self._barrier(self.freed_line)))
        for layer in self.distance.layers:
            rows += [Row(self._place(layer), m) for m in (*self._distances(self.distance, layer), *self._metric(layer))]
        for layer, value, error in zip(self.alike.layers, self.alike.values, self.alike.errors, strict=True):
            receipt = replace(self.receipt, method="linear CKA, unbiased", over="examples, jackknife by tenths")
            rows.append(Row(self._place(layer), Measurement("CKA", value, error, "1", receipt=receipt)))
        return Record.of(rows)

    def figures(self) -> list[Figure]:
        """What each layer's change costs beside its noise, and the loss on the line."""
        if self.line is None:
            lengths = [self.distance.of_layer(layer)[1] for layer in self.distance.layers]
            return [
                Figure("Change of weights", "layer", "|Δw|/|w|", [Bars("change", list(self.distance.layers), lengths)])
            ]
        layers = list(self.distance.layers)
        shares = [self._share(layer).value for layer in layers]
        t = np.linspace(0, 1, POINTS).tolist()
        lines = [Line("as they are", t, (self.line.mean(1) / math.log(2)).tolist())]
        if self.freed_line is not None:
            lines.append(Line(self.freed, t, (self.freed_line.mean(1) / math.log(2)).tolist()))
        return [
            Figure(
                "Change beside the posterior's noise",
                "layer",
                "½ n ΔwᵀFΔw / ½ Σ s/(1+s)",
                [Bars("share", layers, shares)],
            ),
            Figure("On the line", f"from {self.one.name} to {self.other.name}", "loss (bits an example)", lines),
        ]

    def sentence(self) -> str:
        """How far, what it does, and whether it is noise."""
        length, share = self.distance.of_layer(None)
        told = f"{self.other.name} lies {length:.4g} from {self.one.name}, {100 * share:.3g} % of its weights' length."
        if self.line is None or self.divergences is None:
            return told
        predictions, metric = self._divergences()[0], self._metric(None)[0]
        inside = sum(self._share(layer).value <= 1 for layer in self.distance.layers)
        barrier = self._barrier(self.line)
        doubt = " By the Fisher information alone: they lie far apart for it." if self._doubt else ""
        return (
            f"{told} Its predictions differ by {predictions.bits:.3g} bits an example (by the Fisher information "
            f"{metric.bits:.3g}), the loss between both rises by {barrier.bits:.3g} ± {barrier.stderr_bits:.2g} bits "
            f"above the line. The change is within the posterior's noise in {inside} of "
            f"{len(self.distance.layers)} layers.{doubt}"
        )

    def choices(self) -> Mapping[str, str]:
        """What was compared."""
        notes = {one.name: "; ".join(one.notes) for one in (self.one, self.other) if one.notes}
        n = {"Examples": f"{self.receipt.n} of {self.examples}"} if self.examples else {}
        return n | notes | ({"Symmetries": self.symmetries} if self.symmetries else {})

    def write(self, folder: Path) -> Mapping[str, str]:
        """No file but the report."""
        return {}

    def _place(self, layer: str | None) -> dict[str, str | int | float | None]:
        return {"layer": layer, "way": "as they are"}

    def _whole(self) -> list[Measurement]:
        found = [*self._distances(self.distance, None), *self._metric(None)]
        if self.line is not None and self.divergences is not None:
            found += [*self._divergences(), self._barrier(self.line)]
        return found

    def _distances(self, distance: Distance, layer: str | None) -> tuple[Measurement, Measurement]:
        receipt = replace(self.receipt, method="Euclidean", n=0, over="")
        length, share = distance.of_layer(layer)
        return (
            Measurement("|Δw|", length, unit="1", receipt=receipt),
            Measurement("|Δw|/|w|", share, unit="1", receipt=receipt),
        )

    def _metric(self, layer: str | None) -> tuple[Measurement, ...]:
        if not self.quadratic:
            return ()
        receipt = replace(self.receipt, method="derivatives of the outputs along Δw")
        status = self._doubt if layer is None else frozenset[Status]()
        value = Measurement("½ΔwᵀFΔw", *mean_and_error(self.quadratic[layer]), "nat", status=status, receipt=receipt)
        noise = Measurement("lambda_E", self.noise.get(layer, 0.0), unit="1", receipt=replace(receipt, method="EKFAC"))
        return value, noise, self._share(layer)

    def _share(self, layer: str | None) -> Measurement:
        """N ½ ΔwᵀFΔw / λ_E: up to 1 the change is within the posterior's noise."""
        value, error = mean_and_error(self.quadratic[layer])
        noise = self.noise.get(layer, 0.0)
        scale = self.examples / noise if noise > 0 else math.nan
        receipt = replace(
            self.receipt, notes=(*self.receipt.notes, "the error is that of the change, not of the noise")
        )
        status = self._doubt if layer is None else frozenset[Status]()
        return Measurement("change by noise", value * scale, error * scale, "1", status=status, receipt=receipt)

    @property
    def _doubt(self) -> frozenset[Status]:
        """Where predictions differ by something else than the metric says, the change is too large for it."""
        if self.divergences is None:
            return frozenset()
        apart = part(*mean_and_error(self.divergences[0]), *mean_and_error(self.quadratic[None]))
        return frozenset({Status.NOT_QUADRATIC} if apart else ())

    def _divergences(self) -> list[Measurement]:
        assert self.divergences is not None
        names = ("KL(A‖B)", "KL(B‖A)")
        both = zip(names, self.divergences, strict=True)
        return [Measurement(name, *mean_and_error(row), "nat", receipt=self.receipt) for name, row in both]

    def _barrier(self, line: Float[Tensor, "points n"]) -> Measurement:
        """The most that the loss inside the line lies above the chord, its error at that place."""
        t = np.linspace(0, 1, POINTS).tolist()
        above = [row - (1 - s) * line[0] - s * line[-1] for s, row in zip(t, line, strict=True)][1:-1]
        highest = max(above, key=lambda row: float(row.mean()))
        return Measurement("barrier", *mean_and_error(highest), "nat", receipt=self.receipt)
