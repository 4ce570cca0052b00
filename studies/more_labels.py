"""How many labels are missing, asked of the first quarter of each order, beside what the whole shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np

from infoscope.data.named import training_part
from infoscope.data.task import Task
from infoscope.measurement import Measurement, Receipt
from infoscope.model_information.codelength import label_looks
from infoscope.model_information.more_labels.learning_curve import extrapolate
from infoscope.model_information.more_labels.question import losses
from infoscope.options import AtLeast, check_fields
from infoscope.prequential.encode import Coder
from infoscope.prequential.kernel import Kernel
from infoscope.record import Row
from infoscope.run.question import Stages
from infoscope.run.study import Cell, Claim, StudyAnswer, Table, Verdict

PLACES = 0.5, 0.85
"""Of all labels, where the target is what the mean of all orders comes to."""

AROUND = 0.1
"""Of all labels to either side, over which that mean is taken."""

ASKED = 0.85
"""Of the orders, in which the 90 % interval is to hold."""


@dataclass(frozen=True)
class MoreLabelsStudy:
    """How many labels are missing, asked of the first quarter of each order, beside what the whole shows.

    Of each order only the first quarter is looked at. The target is the accuracy, or the bits a label, that the mean of
    all orders comes to at half and at 0.85 of the labels; the interval holds where it has that number of labels. So it
    foretells two to three and a half times as many labels as it has seen.

    Attributes
    ----------
    sets
        Data sets of classes, by name, folder or file.
    examples
        Of each, at most.
    coder
        Who learns.
    replicates
        Orders.
    seed
        The first of their seeds.
    """

    sets: tuple[str, ...] = ("digits",)
    examples: Annotated[int, AtLeast(100)] = 2400
    coder: Coder = Kernel()
    replicates: Annotated[int, AtLeast(1)] = 20
    seed: Annotated[int, AtLeast(0)] = 0

    paper: ClassVar[Mapping[str, Any]] = {}

    def __post_init__(self) -> None:
        check_fields(self)

    def stages(self, device: str = "cpu") -> Stages[StudyAnswer]:
        """All orders of each set."""
        rows: list[Row] = []
        cells: list[list[Cell]] = []
        least = 1.0
        for name in self.sets:
            whole = training_part(Task.from_dataset(name))
            task = whole.shuffled(0)[: self.examples]
            curves = yield label_looks(task, self.coder, None, self.replicates, self.seed, None, device)
            for errors in (True, False):
                every = losses(curves, errors)
                for place in PLACES:
                    at, loss, ends = asked(every, place)
                    share = float(np.mean([low <= at <= high for low, high in ends]))
                    least = min(least, share)
                    what = f"accuracy {1 - loss:.3f}" if errors else f"{loss / np.log(2):.3f} bits"
                    low, high = np.median(np.array(ends), axis=0)
                    upper = f"{high:.0f}" if np.isfinite(high) else "no end"
                    cells.append([whole.name, what, f"{at}", f"{low:.0f} to {upper}", share])
                    receipt = Receipt("interval from a quarter", task.fingerprint[:16], n=len(task))
                    found = Measurement("labels needed, covered", share, unit="1", receipt=receipt)
                    rows.append(Row({"task": whole.name, "target": what, "place": place}, found))
        columns = ("set", "target", "labels needed", "interval, median over orders", "orders in which it holds")
        table = Table("From the first quarter", columns, cells)
        held = Verdict.REPRODUCED if least >= ASKED else Verdict.NOT_REPRODUCED
        why = f"in {least:.2f} of them where it holds least, and {ASKED} is asked for"
        claim = Claim("the 90 % interval from the first quarter holds in the orders", held, why)
        return StudyAnswer("How many more labels", rows, (table,), (claim,))


def asked(every: np.ndarray, place: float) -> tuple[int, float, list[tuple[float, float]]]:
    """Where the target is reached, the loss there, and each order's interval for it."""
    n = every.shape[1]
    at, width = round(place * n), round(AROUND * n)
    loss = float(every[:, at - width : at + width].mean())
    ends = []
    for order in every:
        found = extrapolate(order[None, : n // 4])
        low, high = found.quantiles(found.reaches(loss), (0.05, 0.95))
        ends.append((float(low), float(high)))
    return at, loss, ends
