"""What probing comes to: the codelength given each layer beside its controls, and which layer holds most."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from infoscope.data.task import Task
from infoscope.figure import Bars, Figure
from infoscope.measurement import Bound, Measurement, Receipt, Status
from infoscope.model_information import figures
from infoscope.model_information.codelength import about_labels
from infoscope.model_information.ranking import best
from infoscope.prequential.codelength import codelength
from infoscope.prequential.loss_curve import LossCurve
from infoscope.record import Record, Row

NONE, RANDOM, WORDS, UNTRAINED = "none", "random labels", "one label a word type", "untrained"
"""Values of the coordinate `control`."""

LABELS = "the labels alone"
"""The coordinate `layer` of what the labels cost without any features."""


@dataclass(frozen=True)
class LayerCodes:
    """A layer, its width, and the curves of its labels and controls; `unsteady` where it gave two answers for one."""

    name: str
    width: int
    curves: Mapping[str, Sequence[LossCurve]]
    unsteady: bool = False

    def rows(self, alone: LayerCodes, doubts: frozenset[Status] = frozenset()) -> tuple[Row, ...]:
        """L(y|x), the width, and for every control its own L(y|x) and the selectivity.

        `alone` has what the labels and the controls' labels cost without any features, in the same orders.
        """
        status = doubts | ({Status.NOT_DETERMINISTIC} if self.unsteady else frozenset())
        own = self._length(NONE)
        own = dataclasses.replace(own, status=own.status | status)
        receipt = Receipt("count of features", n=own.receipt.n)
        width = Measurement("width", self.width, 0.0, "1", Bound.EXACT, receipt=receipt)
        rows = [(NONE, own), (NONE, width)]
        for control in self.curves:
            if control != NONE:
                rows += [(control, self._length(control)), (control, self.selectivity(control, alone, status))]
        return tuple(Row({"layer": self.name, "control": control}, m) for control, m in rows)

    def selectivity(self, control: str, alone: LayerCodes, status: frozenset[Status] = frozenset()) -> Measurement:
        """Bits saved on the labels less bits saved on the control's: (L(y) − L(y|layer)) − (L(c) − L(c|layer)).

        Labels of a control may be easier to begin with: one a word type are, where a few types are most.
        """
        own = alone.length() - self.length()
        other = alone.length(control if control in alone.curves else NONE) - self.length(control)
        receipt = self._length(control).receipt
        return dataclasses.replace(
            own - other, quantity="selectivity", status=status, bound=Bound.NONE, receipt=receipt
        )

    def alone_rows(self) -> tuple[Row, ...]:
        """L(y) of labels and controls, where there are no features."""
        return tuple(Row({"layer": self.name, "control": control}, self.length(control)) for control in self.curves)

    def _length(self, control: str) -> Measurement:
        found = self.length(control)
        notes = (*found.receipt.notes, f"given layer {self.name}, frozen: its own information is excluded")
        return dataclasses.replace(found, receipt=dataclasses.replace(found.receipt, notes=notes))

    def length(self, control: str = NONE) -> Measurement:
        """L(y|x) of the labels or of a control; that nothing is learned of a control is what it is for."""
        found = codelength(self.curves[control])
        if control == NONE and self.name != LABELS:
            return found
        return dataclasses.replace(found, status=found.status - {Status.WORSE_THAN_UNIFORM})


@dataclass(frozen=True)
class ProbingAnswer:
    """What `Probing` comes to; `plain` is a bag of words or the inputs themselves, where there are any."""

    told: Mapping[str, str]
    labels: Task
    layers: tuple[LayerCodes, ...]
    alone: LayerCodes
    plain: LayerCodes | None
    doubts: frozenset[Status]

    @property
    def title(self) -> str:
        """What was probed about what."""
        return f"What layers hold about {self.labels.name}"

    @cached_property
    def shares(self) -> dict[str, float]:
        """P(best) of every layer."""
        return best({layer.name: layer.curves[NONE] for layer in self.layers})

    def record(self) -> Record:
        """What labels cost alone, given every layer with its controls, given plain inputs; and P(best)."""
        _, *uniform = about_labels(self.labels, self.alone.curves[NONE])
        rows = [*(Row({"layer": LABELS, "control": NONE}, m) for m in uniform), *self.alone.alone_rows()]
        for layer in self.layers:
            rows += layer.rows(self.alone, self.doubts)
        if self.plain is not None:
            rows += self.plain.rows(self.alone)
        for layer in self.layers:
            receipt = dataclasses.replace(
                layer.length().receipt, over="orders and groups of examples", method="rank among the layers"
            )
            share = Measurement("P(best)", self.shares[layer.name], unit="1", receipt=receipt)
            rows.append(Row({"layer": layer.name, "control": NONE}, share))
        return Record.of(rows)

    def figures(self) -> list[Figure]:
        """Bits given each layer beside those of its controls, and the cost of a label as more are known."""
        shown = [*self.layers, *([self.plain] if self.plain is not None else [])]
        controls = dict.fromkeys(control for layer in self.layers for control in layer.curves)
        caption = "Fewer bits: the layer holds more. ± one standard error over orders, if known."
        bars = [_bars("the labels" if c == NONE else c, c, shown) for c in controls]
        named = [figures.NamedCurves(layer.name, layer.curves[NONE]) for layer in shown]
        return [Figure("What the labels cost given a layer", "layer", "bits", bars, caption=caption),
                figures.costs(named)]  # fmt: skip

    def sentence(self) -> str:
        """Which layer holds most, how surely, and whether that is more than its controls."""
        winner = min(self.layers, key=lambda layer: layer.length().value)
        length, n = winner.length(), len(self.labels)
        uniform = self.layers[0].curves[NONE][0].uniform
        if length.value >= self.alone.length().value:
            alone = self.alone.length().with_error()
            return f"No layer saves anything: alone, the {n:,} labels of {self.labels.name} cost {alone} bits."
        said = (
            f"Given {winner.name}, the {n:,} labels of {self.labels.name} cost {length.with_error()} bits instead of "
            f"{uniform / math.log(2):,.0f}"
        )
        if len(self.layers) > 1:
            said += f"; of {len(self.layers)} layers it holds most with a probability of {self.shares[winner.name]:.2f}"
        return f"{said}{self._against(winner)}."

    def _against(self, winner: LayerCodes) -> str:
        """What plain inputs and the untrained network reach."""
        told = []
        if self.plain is not None:
            told.append(f"given {_article(self.plain.name)} they cost {self.plain.length().with_error()}")
        if UNTRAINED in winner.curves:
            told.append(f"given the same layer untrained {winner.length(UNTRAINED).with_error()}")
        return f"; {', '.join(told)}" if told else ""

    def choices(self) -> Mapping[str, str]:
        """The features, the coder, the pooling, the widths."""
        widths = dict.fromkeys(layer.width for layer in self.layers)
        named = ", ".join(f"{layer.name} {layer.width:,}" for layer in self.layers)
        return {**self.told, "Widths": f"all layers {next(iter(widths)):,}" if len(widths) == 1 else named}

    def write(self, folder: Path) -> Mapping[str, str]:
        """No file but the report."""
        return {}


def _bars(name: str, control: str, layers: Sequence[LayerCodes]) -> Bars:
    lengths = [layer.length(control) if control in layer.curves else None for layer in layers]
    bits = [math.nan if m is None else m.bits for m in lengths]
    errors = [0.0 if m is None or math.isnan(m.stderr) else m.stderr_bits for m in lengths]
    lower, upper = ([b + side * e for b, e in zip(bits, errors, strict=True)] for side in (-1, 1))
    return Bars(name, [layer.name for layer in layers], bits, lower, upper)


def _article(name: str) -> str:
    return f"a {name}" if name == "bag of words" else f"the {name} themselves"
