"""The question of saved activations: how much do layers hold about input and label?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from infoscope.dynamics.plane.cost import seconds
from infoscope.dynamics.plane.layer_method import check_layer_method
from infoscope.dynamics.plane.layer_results import LayerResult, along_layers
from infoscope.dynamics.plane.saved_activations import number_in_chain, opened
from infoscope.figure import Bars, Figure
from infoscope.measurement import Measurement, Status
from infoscope.method_text import text_of
from infoscope.mi.estimate import layer_information
from infoscope.mi.estimators.binning import Uniform
from infoscope.mi.estimators.largest import Largest
from infoscope.mi.estimators.probe import Probe
from infoscope.mi.method import Method, ShufflingMethod
from infoscope.mi.methods import METHODS
from infoscope.options import AtLeast, check_fields
from infoscope.record import Record, Row
from infoscope.run import Store, Work
from infoscope.run.context import RunContext
from infoscope.run.question import Cost, Rows, Stages
from infoscope.unreadable import listed

TRIAL = 1000
"""Examples of the layer that is tried."""

SHUFFLINGS = 20
"""Shufflings of the labels where nobody asks for a number and they cost little."""

BINS = Uniform(range="layer")
SAMPLE, OF_WIDE = Largest(), Probe()
"""What measures I(X;T) and I(T;Y) where no estimator is named; the last, I(T;Y) of wide layers."""

WIDE = 100
"""Columns from which neighbours, which see little in so many, would take minutes."""


@dataclass(frozen=True)
class SavedInformation:
    """How much do layers hold about input and label? I(X;T) and I(T;Y) of saved activations.

    Layers are held against the data-processing inequality in the order of their numbers.

    Attributes
    ----------
    data
        An .npz with the labels `y` (n,), one array (n, …) a layer, named `T1`, `T2` … from the input on, and the inputs
        `X` if there are any; other arrays are not read. Layers of other names or of several epochs: infoscope plane.
    estimator
        One of `infoscope list estimators`, with options as in "saxe(width=0.5)" or "kde-upper(variance=0.001)".
        Default: 30 bins over the layer's range for I(X;T); for I(T;Y) largest, for which labels are a
        sample, or probe, a lower bound, of layers of 100 columns and more.
    null
        Estimate again on so many shufflings of the labels, and flag what is not above them. Default: 20 where they cost
        little (bins, kernels, quantised), else none.
    seed
        Of shufflings, of draws of noise, of what is trained.
    """

    data: Path
    estimator: Method | None = None
    null: Annotated[int | None, AtLeast(0)] = None
    seed: Annotated[int, AtLeast(0)] = 0

    def __post_init__(self) -> None:
        check_fields(self)
        if self.estimator is not None:
            check_layer_method(self.estimator)

    @property
    def shufflings(self) -> int:
        """Shufflings of the labels: as many as were asked for, else some where the method has a cheap way to them."""
        if self.null is not None:
            return self.null
        return SHUFFLINGS if isinstance(self.estimator, ShufflingMethod) else 0

    def measure(self, t: Any, y: Any, x: Any, name: str, store: Store | None) -> LayerResult:
        """I(X;T) and I(T;Y) of one layer.

        Where no estimator is named, each information has its own: bins that follow the layer's scale for I(X;T), which
        is infinite of a continuous layer unless something limits it, and the library's own for a sample for I(T;Y). In
        many dimensions every example has a bin, or a kernel, of its own, and bins would give H(Y) for any labels.
        """
        options: dict[str, Any] = {"seed": self.seed, "name": name, "store": store}
        if self.estimator is not None:
            both = layer_information(t, y, self.estimator, x=x, null=self.shufflings, **options)
            return LayerResult("train", name, both.x_t, both.t_y)
        x_t = layer_information(t, y, BINS, **options).x_t
        method = OF_WIDE if math.prod(t.shape[1:]) >= WIDE else SAMPLE
        t_y = layer_information(t, y, method, null=self.shufflings, **options).t_y
        return LayerResult("train", name, x_t, t_y)

    def stages(self, device: str = "cpu") -> Stages[SavedInformationAnswer]:
        """One stage: all layers."""
        found: LayersFound = yield _Layers(self, _layer_names(Path(self.data)))
        answer = SavedInformationAnswer(self, found.layers, found.stopped)
        yield Rows(tuple(answer.record()))
        return answer


@dataclass(frozen=True)
class LayersFound:
    """The layers that were measured, and why the next one could not be, where one couldn't."""

    layers: tuple[LayerResult, ...] = ()
    stopped: str = ""


@dataclass(frozen=True)
class _Layers:
    """What the stage needs: the layers of the file."""

    question: SavedInformation
    names: tuple[str, ...]

    def take(self, context: RunContext) -> LayersFound:
        """Measure one after another; what was measured before one that cannot be stays."""
        path, found = Path(self.question.data), []
        file = opened(path)
        x, y = file.get("X"), file["y"]
        if x is not None and x.shape[:1] != y.shape[:1]:
            raise ValueError(f"{path}: `X` has shape {x.shape} and `y` {y.shape}; give them row by row in pairs")
        for name in self.names:
            try:
                found.append(self.question.measure(file[name], y, x, name, context.store))
            except ValueError as error:
                if not found:
                    raise ValueError(f"{path}: {error}") from error
                return LayersFound(tuple(along_layers(found, chain=True)), f"{path}: {error}")
            if context.on_done is not None:
                context.on_done(Work(name, bytes, label=f"layer {name}"))
        return LayersFound(tuple(along_layers(found, chain=True)))

    def units(self) -> Mapping[str, int]:
        """One a layer."""
        return {"layers": len(self.names)}

    def cost(self, context: RunContext) -> Cost:
        """The first layer's first examples, for all."""
        file = opened(Path(self.question.data))
        t, y, x = file[self.names[0]], file["y"], file.get("X")
        few = min(TRIAL, len(y))
        some = None if x is None else x[:few]
        one = seconds(lambda: self.question.measure(t[:few], y[:few], some, self.names[0], None))
        return Cost(self.units(), one * len(y) / few * len(self.names))

    def stand_in(self) -> LayersFound:
        """No layer."""
        return LayersFound()


@dataclass(frozen=True)
class SavedInformationAnswer:
    """What `SavedInformation` comes to; `stopped` says why a layer could not be measured, where one couldn't."""

    question: SavedInformation
    layers: tuple[LayerResult, ...]
    stopped: str = ""

    @property
    def title(self) -> str:
        """What the layers of this file hold."""
        return f"Information of the layers in {self.question.data}"

    def record(self) -> Record:
        """Two rows a layer."""
        return Record.of(Row({"layer": one.layer}, m) for one in self.layers for m in (one.x_t, one.t_y))

    def figures(self) -> list[Figure]:
        """Both informations of each layer, with their standard errors."""
        names = [one.layer for one in self.layers]
        bars = [_bars(names, [one.x_t for one in self.layers]), _bars(names, [one.t_y for one in self.layers])]
        return [Figure("What the layers hold", "layer", "bit", bars, caption="± one standard error, if known.")]

    def sentence(self) -> str:
        """What the first and the last layer hold."""
        told = [
            f"{one.layer} holds {one.x_t:.2f} bits about the input and {one.t_y:.2f} about the label{_doubt(one.t_y)}"
            for one in (self.layers[0], *self.layers[1:][-1:])
        ]
        return f"By {self.layers[0].x_t.receipt.n:,} examples, {', '.join(told)}."

    def choices(self) -> Mapping[str, str]:
        """The estimator, or that of each information."""
        if self.question.estimator is not None:
            return {"estimator": repr(self.question.estimator)}
        methods = {one.t_y.receipt.method for one in self.layers}
        used = [text_of(m, METHODS) for m in (SAMPLE, OF_WIDE) if repr(m) in methods]
        wide = f" ({used[-1]} from {WIDE} columns on)" * (len(used) > 1)
        return {"estimator": f"{text_of(BINS, METHODS)} for I(X;T), {''.join(used[:1])} for I(T;Y){wide}"}

    def write(self, folder: Path) -> Mapping[str, str]:
        """No file but the report."""
        return {}


def _bars(names: Sequence[str], found: Sequence[Measurement]) -> Bars:
    """A bar a layer, in bits; an error that is unknown draws none."""
    errors = [0.0 if math.isnan(m.stderr) else m.stderr_bits for m in found]
    lower, upper = ([m.bits + side * e for m, e in zip(found, errors, strict=True)] for side in (-1, 1))
    return Bars(found[0].quantity, names, [m.bits for m in found], lower, upper)


def _doubt(m: Measurement) -> str:
    """What a sentence adds to a number that may be none."""
    if Status.INSIGNIFICANT in m.status:
        return " (no more than shuffled labels give)"
    return " (within two standard errors of none)" if m.value < 2 * m.stderr else ""


def _layer_names(path: Path) -> tuple[str, ...]:
    """The arrays named T1, T2 … in the order of their numbers."""
    names = list(opened(path))
    numbers = {name: number_in_chain(name) for name in names}
    found = sorted((n, name) for name, n in numbers.items() if n is not None)
    if "y" not in names or not found:
        raise ValueError(
            f"{path}: has the arrays {listed(names)}; it needs `y` and one `T1`, `T2` … a layer, and may have the "
            "inputs `X`"
        )
    return tuple(name for _, name in found)
