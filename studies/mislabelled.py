"""Wrong labels that are planted, and how many of them are found: beside cleanlab's figures for digits."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from sklearn.metrics import average_precision_score

from infoscope.data.task import Task
from infoscope.model_information.mislabelled.question import Mislabelled, MislabelledAnswer
from infoscope.options import AtLeast, check_fields
from infoscope.record import Row
from infoscope.run.question import Stages
from infoscope.run.study import Cell, Claim, StudyAnswer, Table, Verdict

CLEANLAB = {("digits", 0.02): 0.905, ("digits", 0.05): 0.944, ("digits", 0.1): 0.964, ("digits", 0.2): 0.974}
"""Average precision of 5-fold logistic regression and confident learning (cleanlab), other planted errors."""

ASKED = 0.995


@dataclass(frozen=True)
class MislabelledStudy:
    """Wrong labels that are planted in data sets, found by leaving each label out.

    A share of the labels is replaced by another class, every one alike. Average precision is that of the labels ranked
    by P(wrong); a count holds where its 90 % interval has the number that was planted. Errors that the sets had before
    count as false alarms.

    Attributes
    ----------
    sets
        Data sets of classes, by name, folder or file.
    rates
        Shares of the labels that are replaced.
    seed
        Of the planted errors.
    """

    sets: tuple[str, ...] = ("digits", "breast_cancer", "wine")
    rates: tuple[float, ...] = (0.0, 0.02, 0.05, 0.1, 0.2)
    seed: Annotated[int, AtLeast(0)] = 0

    paper: ClassVar[Mapping[str, Any]] = {}

    def __post_init__(self) -> None:
        check_fields(self)

    def stages(self, device: str = "cpu") -> Stages[StudyAnswer]:
        """One look a set and rate."""
        rows: list[Row] = []
        cells: list[list[Cell]] = []
        on_digits, inside, sure, hits = [], 0, 0, 0
        for name in self.sets:
            whole = Task.from_dataset(name)
            for rate in self.rates:
                task, wrong = planted(whole, rate, self.seed)
                answer: MislabelledAnswer = yield from Mislabelled(task, show=0).stages(device)
                (part,) = answer.parts
                found, flagged = part.found, part.found.wrong > 0.9
                precision = float(average_precision_score(wrong, found.wrong)) if wrong.any() else None
                if name == "digits" and precision is not None:
                    on_digits.append(precision)
                inside += found.lower <= wrong.sum() <= found.upper
                sure, hits = sure + int(flagged.sum()), hits + int((flagged & wrong).sum())
                right = f"{int((flagged & wrong).sum())} of {int(flagged.sum())}"
                count = f"{found.count:.1f} ({found.lower:.0f} to {found.upper:.0f})"
                theirs = CLEANLAB.get((name, rate))
                cells.append([name, f"{rate:g}", f"{int(wrong.sum())}", precision, theirs, count, right])
                rows += [Row({**row.coordinates, "planted": rate}, row.measurement) for row in answer.record()]
        columns = ("set", "planted", "wrong", "average precision", "cleanlab", "expected (90 %)", "right of P > 0.9")
        table = Table("Planted errors", columns, cells, ("cleanlab's figures are of other draws of the errors.",))
        claims = (
            _claim(f"average precision on digits is at least {ASKED}", min(on_digits, default=None), ASKED),
            _claim("nine in ten of the labels with P(wrong) above 0.9 are wrong", hits / sure if sure else None, 0.9),
            _claim("the 90 % interval has the number that was planted", inside / len(cells) if cells else None, 0.8),
        )
        return StudyAnswer("Wrong labels that are planted", rows, (table,), claims)


def planted(whole: Task, rate: float, seed: int) -> tuple[Task, np.ndarray]:
    """The task with each label replaced by another class at this rate, and which were."""
    name = f"{whole.name}, {rate:g} wrong"
    rng, y = np.random.default_rng([seed, zlib.crc32(name.encode())]), whole.labels.numpy()
    wrong = rng.random(len(y)) < rate
    z = np.where(wrong, (y + rng.integers(1, whole.classes, len(y))) % whole.classes, y)
    return Task.from_arrays(whole.x, z, alphabet=whole.alphabet, name=name), wrong


def _claim(text: str, value: float | None, least: float) -> Claim:
    """The claim that a share is as large as was asked for; None where there was nothing to count."""
    if value is None:
        return Claim(text, Verdict.NOT_RUN, "nothing to count in these sets")
    held = Verdict.REPRODUCED if value >= least else Verdict.NOT_REPRODUCED
    return Claim(text, held, f"{value:.3f}, and {least:g} is asked for")
