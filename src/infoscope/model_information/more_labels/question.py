"""The question of more labels: how many are missing?"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from jaxtyping import Bool, Float

from infoscope.data.named import AnyTask, task_of, training_part
from infoscope.data.targets import Classes
from infoscope.data.task import Task
from infoscope.figure import Figure, Line
from infoscope.measurement import NATS_PER_BIT, Bound, Measurement, Status
from infoscope.method_text import text_of
from infoscope.model_information.codelength import label_looks
from infoscope.model_information.more_labels.learning_curve import Extrapolation, extrapolate
from infoscope.models.default import Model, learner_for, model_name
from infoscope.options import AtLeast, check_fields
from infoscope.prequential.codelength import measured
from infoscope.prequential.coders import CODERS
from infoscope.prequential.encode import Coder
from infoscope.prequential.loss_curve import LossCurve
from infoscope.prequential.mixed import Mixed
from infoscope.record import Record, Row
from infoscope.run.context import RunContext
from infoscope.run.question import Rows, Stages, ask

FEWEST = 40
"""Labels below which a curve shows too little of itself."""

ENDS = (0.05, 0.5, 0.95)

ERRORS = 5
"""Errors that the target would leave in what was seen, below which the curve cannot show where it is."""

AHEAD = 100
"""Times as many labels as there are, to which the figure reaches at most."""

FARTHEST = 1000
"""Times as many labels as there are, beyond which a target counts as never reached."""


@dataclass(frozen=True)
class MoreLabels:
    """How many labels are missing for an accuracy, or for bits a label?

    The cost of the next label against the number known, from the codelength, is followed by three families of curves
    with a floor. They give the number of labels at which the target is reached, with a 90 % interval over orders and
    families, and how probable it is that it is not reached by a thousand times as many labels.

    Attributes
    ----------
    data
        A data set; its train split where it has one.
    accuracy
        The share of new examples to be predicted right. Default: 0.95, unless bits are given.
    bits
        The bits that a new label may cost, instead; also for targets other than one class.
    coder
        Who learns: mixed or kernel (model-free), or a network's own: replay, entk, blocks.
    model
        The network of such a coder, from its initial weights.
    replicates
        Coding orders.
    seed
        The first of their seeds.
    examples
        Look only at the first so many labels in coding order.
    """

    data: AnyTask
    accuracy: float | None = None
    bits: float | None = None
    coder: Coder = Mixed()
    model: Model = None
    replicates: Annotated[int, AtLeast(1)] = 3
    seed: Annotated[int, AtLeast(0)] = 0
    examples: Annotated[int | None, AtLeast(1)] = None

    def __post_init__(self) -> None:
        check_fields(self)
        if self.accuracy is not None and self.bits is not None:
            raise ValueError("accuracy and bits: one target at a time; leave out the other")
        if self.accuracy is not None and not 0 < self.accuracy < 1:
            raise ValueError(f"accuracy is {self.accuracy}; it is a share between 0 and 1, such as 0.95")
        if self.bits is not None and not self.bits > 0:
            raise ValueError(f"bits is {self.bits}; it is above 0")

    def stages(self, device: str = "cpu") -> Stages[MoreLabelsAnswer]:
        """The task's labels in several orders."""
        task = training_part(task_of(self.data))
        if not isinstance(task.target, Classes) and self.bits is None:
            raise ValueError(f"{task.name!r} has {task.target}, of which none is right or wrong; give bits a label")
        if self.model is not None and not self.coder.needs_network:
            raise ValueError("a model-free coder uses no model; give the coder replay or entk as well")
        learner = learner_for(task, self.model) if self.coder.needs_network else None
        curves = yield label_looks(task, self.coder, learner, self.replicates, self.seed, self.examples, device)
        answer = MoreLabelsAnswer(self, task, tuple(curves), extrapolate(losses(curves, self.bits is None)))
        yield Rows(tuple(answer.record()))
        return answer

    @property
    def target(self) -> float:
        """The loss that is asked for: a share of errors, or nats a label."""
        return 1 - (self.accuracy or 0.95) if self.bits is None else self.bits * NATS_PER_BIT


def losses(curves: Sequence[LossCurve], errors: bool) -> Float[np.ndarray, "orders n"]:
    """Whether each label was predicted wrong, or what it cost, in nats."""
    return np.stack([~curve.correct if errors and curve.correct is not None else curve.nats for curve in curves]) * 1.0


@dataclass(frozen=True)
class MoreLabelsAnswer:
    """What `MoreLabels` comes to."""

    question: MoreLabels
    task: Task
    curves: tuple[LossCurve, ...]
    found: Extrapolation

    @property
    def title(self) -> str:
        """How many more labels the task needs."""
        return f"More labels of {self.task.name} for {self._target()}"

    @property
    def needed(self) -> tuple[float, float, float]:
        """How many labels in all: 5 %, 50 % and 95 % of the posterior; infinite where the target is never reached."""
        low, middle, high = map(float, self.found.quantiles(self._reaches(), ENDS))
        return low, middle, high

    @property
    def never(self) -> float:
        """How probable it is that a thousand times as many labels do not reach the target."""
        return self.found.share(~np.isfinite(self._reaches()))

    def record(self) -> Record:
        """What is paid now, how many labels are needed, how many are missing, and where the curve levels off."""
        at = {"task": self.task.name, "target": self._target()}
        return Record.of(Row(at, m) for m in self._measurements())

    def figures(self) -> list[Figure]:
        """The block means, and how they go on."""
        seen, errors = self.found.seen, self.question.bits is None
        ends = [n for n in self.needed if math.isfinite(n)]
        n = len(self.curves[0])
        last = min(AHEAD * n, max([4.0 * n, *ends]))
        ahead = np.geomspace(max(seen.known[0], 1.0), last, 60)
        low, middle, high = (
            self._shown(q) for q in np.stack([self.found.quantiles(self.found.at(k), ENDS) for k in ahead]).T
        )
        shares = self._shown(seen.means)
        band = (high, low) if errors else (low, high)
        target = self._shown(np.full(2, self.question.target))
        lines = [
            Line("seen", seen.known.tolist(), shares, points=False),
            Line("expected", ahead.tolist(), middle, *band),
            Line("target", [float(ahead[0]), float(ahead[-1])], target, dash=True),
        ]
        caption = "The band holds 90 % of the curves that go on from what was seen."
        label = "accuracy on the next label" if errors else "bits a label"
        return [Figure("How it goes on", "labels known", label, lines, log_x=True, caption=caption)]

    def sentence(self) -> str:
        """How many more, or that it is not to be reached."""
        n, (low, middle, high) = len(self.curves[0]), self.needed
        now = self._now()
        where = f"with {n:,} labels {self._learner()} comes to {self._said(now.value)}"
        if self.never > 0.5:
            return (
                f"{where[:1].upper()}{where[1:]}; {self._target()} is probably not reachable with {FARTHEST:,} "
                f"times as many (P = {self.never:.2f}): the curve levels off at {self._said(self._floor())}."
            )
        first = self.found.seen.known[0]
        upper = "never" if not math.isfinite(high) else f"{max(high, first):,.0f}"
        lower = f"{low:,.0f}" if low >= first else f"{first:,.0f} or fewer"
        if middle < first:
            need = f"{self._target()} was reached already with {first:,.0f} labels or fewer"
            more = f" (90 %: with {upper})" if high > first else ", the first looked at"
        else:
            need = f"{self._target()} needs about {middle:,.0f} (90 %: {lower} to {upper})"
            more = f", {middle - n:,.0f} more" if middle > n else ", so it is reached already"
        doubt = f"; P(not reachable) = {self.never:.2f}" if self.never > 0.005 else ""
        return f"{where[:1].upper()}{where[1:]}; {need}{more}{doubt}."

    def choices(self) -> Mapping[str, str]:
        """Who learns."""
        return {"Coder": self._learner()}

    def write(self, folder: Path) -> Mapping[str, str]:
        """No file but the report."""
        return {}

    def _measurements(self) -> list[Measurement]:
        n, (low, middle, high) = len(self.curves[0]), self.needed
        never = frozenset({Status.NOT_REACHABLE}) if self.never > 0.5 else frozenset()
        if self.question.bits is None and n * self.question.target < ERRORS:
            never |= {Status.TOO_FEW_SAMPLES}
        receipt = dataclasses.replace(self._now().receipt, over="orders, families of curves")
        blank = Measurement("labels needed", math.nan, math.nan, unit="1", status=never, receipt=receipt)
        whole = self._at_labels(blank, middle)
        rows = [
            self._now(),
            whole,
            self._at_labels(dataclasses.replace(blank, quantity="labels needed, 90 % from"), low),
            self._at_labels(dataclasses.replace(blank, quantity="labels needed, 90 % to"), high),
            dataclasses.replace(whole, quantity="labels missing", value=whole.value - n),
            dataclasses.replace(blank, quantity="P(not reachable)", value=self.never, status=frozenset()),
        ]
        low, middle, high = (float(v) for v in self.found.quantiles(self.found.floors, ENDS))
        floor = Measurement("loss in the end", middle, (high - low) / 3.29, unit=self._unit(), receipt=receipt)
        if self.question.bits is None:
            floor = dataclasses.replace(floor, quantity="accuracy in the end", value=1 - middle)
        return [*rows, floor]

    def _at_labels(self, blank: Measurement, n: float) -> Measurement:
        """So many labels; where nothing was looked at with so few, the first that was, as an upper bound."""
        first = float(self.found.seen.known[0])
        if n >= first:
            return dataclasses.replace(blank, value=_known(n))
        return dataclasses.replace(blank, value=first, bound=Bound.UPPER)

    def _now(self) -> Measurement:
        """What is paid for the last tenth of the labels."""
        last = max(1, len(self.curves[0]) // 10)
        if self.question.bits is None:
            found = measured("accuracy now", self.curves, lambda c: float(np.mean(_correct(c)[-last:])), unit="1")
        else:
            found = measured("loss now", self.curves, lambda c: float(np.mean(c.nats[-last:])))
        few = frozenset({Status.TOO_FEW_SAMPLES}) if len(self.curves[0]) < FEWEST else frozenset()
        return dataclasses.replace(found, status=found.status | few)

    def _reaches(self) -> Float[np.ndarray, " curves"]:
        """At how many labels each curve reaches the target; infinite where that is too far to say."""
        n = self.found.reaches(self.question.target)
        return np.where(n <= FARTHEST * len(self.curves[0]), n, np.inf)

    def _floor(self) -> float:
        middle = float(self.found.quantiles(self.found.floors, (0.5,))[0])
        return 1 - middle if self.question.bits is None else middle

    def _unit(self) -> Any:
        return "1" if self.question.bits is None else "nat"

    def _said(self, value: float) -> str:
        return f"accuracy {value:.1%}" if self.question.bits is None else f"{value / NATS_PER_BIT:.3f} bits a label"

    def _target(self) -> str:
        target = self.question.target
        return f"accuracy {1 - target:g}" if self.question.bits is None else f"{self.question.bits:g} bits a label"

    def _shown(self, values: np.ndarray) -> list[float]:
        return (1 - values if self.question.bits is None else values / NATS_PER_BIT).tolist()

    def _learner(self) -> str:
        coder = text_of(self.question.coder, CODERS)
        return (
            f"{coder} of {model_name(self.task, self.question.model)}" if self.question.coder.needs_network else coder
        )


def more_labels(what: Any, *, context: RunContext = RunContext(), **options: Any) -> Record:
    """How many labels are missing for an accuracy? `MoreLabels` asked at once; its table.

    >>> table = more_labels("iris", accuracy=0.9, replicates=1)
    >>> [row.measurement.quantity for row in table][:2]
    ['accuracy now', 'labels needed']
    """
    return ask(MoreLabels(Task.of(what), **options), context).record()


def _correct(curve: LossCurve) -> Bool[np.ndarray, " n"]:
    assert curve.correct is not None, "accuracy is asked of classes alone"
    return curve.correct


def _known(value: float) -> float:
    return value if math.isfinite(value) else math.nan
