"""What quantisation comes to: bits of each layer, the rises of the loss, the allocation and its file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from infoscope.figure import Bars, Figure, Line
from infoscope.measurement import NATS_PER_BIT, Measurement, Receipt, Status
from infoscope.record import Record, Row
from infoscope.weight_information.checkpoint import Checkpoint
from infoscope.weight_information.example_losses import mean_and_error
from infoscope.weight_information.quantise.quantisation import WIDTHS
from infoscope.weight_information.quantise.quantised_layers import Allocation, Layer, Rise


@dataclass(frozen=True)
class Allocated:
    """Bits of each layer within a budget, what the loss rises by, and the file."""

    bits: Allocation
    rise: Rise
    content: bytes

    def mean_of(self, sizes: Mapping[str, int]) -> float:
        """Bits a weight."""
        return sum(width * sizes[name] for name, width in self.bits) / sum(sizes.values())


@dataclass(frozen=True)
class QuantiseAnswer:
    """What `Quantise` comes to."""

    model: str
    checkpoint: Checkpoint
    losses: Float[Tensor, " n"]
    layers: tuple[Layer, ...]
    receipt: Receipt
    tolerance: float
    seed: int
    save: Path | None = None
    spent: Allocated | None = None

    @property
    def title(self) -> str:
        """Bits that the layers need."""
        return f"Bits that {self.model} of {self.checkpoint.name} needs"

    @property
    def loss(self) -> Measurement:
        """The mean loss of the weights as they are, nats an example."""
        return Measurement("loss", *mean_and_error(self.losses), "nat", receipt=self.receipt)

    @property
    def mean_bits(self) -> float:
        """Bits a weight of the matrices within the budget; NaN without one."""
        return math.nan if self.spent is None else self.spent.mean_of({one.parameter: one.size for one in self.layers})

    def record(self) -> Record:
        """The loss; each layer's bits and rises; what the budget came to."""
        whole = {"layer": None, "width": None}
        rows = [Row(whole, self.loss)]
        if self.spent is not None:
            named = {layer.parameter: layer.name for layer in self.layers}
            chosen = Receipt("the least ½ Σ F δ² within the budget", self.receipt.data, self.receipt.model)
            rows += [Row(whole, self.spent.rise.measured), Row(whole, self.spent.rise.predicted)]
            rows.append(Row(whole, Measurement("file bytes", len(self.spent.content), unit="1", receipt=chosen)))
            rows += [
                Row({"layer": named[name], "width": None},
                    Measurement("bits, allocated", width * NATS_PER_BIT, unit="nat", receipt=chosen))
                for name, width in self.spent.bits
            ]  # fmt: skip
        most = self.tolerance * self.loss.value
        return Record.of([*rows, *(row for layer in self.layers for row in layer.rows(most))])

    def figures(self) -> list[Figure]:
        """Loss against bits of every layer, measured and predicted, and the bits of each."""
        lines = []
        for layer in self.layers:
            measured, predicted = zip(*((r.measured.bits, r.predicted.bits) for r in layer.rises), strict=True)
            lines += [
                Line(layer.name, WIDTHS, measured),
                Line(f"{layer.name}, predicted", WIDTHS, predicted, dash=True),
            ]
        needed = Bars("needed", [one.name for one in self.layers], [one.bits for one in self._bits()])
        return [
            Figure(
                "Loss against bits, a layer at a time", "bits a weight", "rise of the loss (bits an example)", lines
            ),
            Figure(f"Bits for a rise of {self.tolerance:.3g} of the loss", "layer", "bits a weight", [needed]),
        ]

    def sentence(self) -> str:
        """What most and least need, and what the budget does."""
        known = [(one.bits, layer.name) for one, layer in zip(self._bits(), self.layers, strict=True)]
        known = [(bits, name) for bits, name in known if not math.isnan(bits)]
        share = f"a rise of the loss by {100 * self.tolerance:.3g} %"
        told = f"No layer alone stays within {share}, even at 16 bits."
        if known:
            (low, first), (high, last) = min(known), max(known)
            told = f"Within {share}, a layer alone needs {low:.0f} ({first}) to {high:.0f} ({last}) bits a weight."
        if self.spent is None:
            return told
        rise, size = self.spent.rise, len(self.spent.content)
        doubt = " Prediction and measurement part." if rise.predicted.status else ""
        return (
            f"{told} With {self.mean_bits:.3g} bits on average, {size} bytes in all, the loss goes from "
            f"{self.loss.bits:.4g} by {rise.measured.bits:+.3g} bits an example (predicted "
            f"{rise.predicted.bits:+.3g}).{doubt}"
        )

    def choices(self) -> Mapping[str, str]:
        """What is measured on what, and what is left as it is."""
        parted = sum(Status.NOT_QUADRATIC in r.predicted.status for layer in self.layers for r in layer.rises)
        found = {
            "Examples": f"{self.receipt.n}, drawn by seed {self.seed}",
            "Left as they are": "biases, norms and running statistics",
            "Predictions that part from what was measured": f"{parted} of {len(self.layers) * len(WIDTHS)}",
        }
        return found | ({"Weights": "; ".join(self.checkpoint.notes)} if self.checkpoint.notes else {})

    def write(self, folder: Path) -> Mapping[str, str]:
        """The file of quantised weights, if one was named."""
        if self.save is None or self.spent is None:
            return {}
        self.save.write_bytes(self.spent.content)
        return {"quantised weights": str(self.save)}

    def _bits(self) -> list[Measurement]:
        return [layer.bits(self.tolerance * self.loss.value) for layer in self.layers]
