"""The question of wrong labels: which are they, and how many?"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from infoscope import __version__
from infoscope.data.named import AnyTask, task_of, training_part
from infoscope.data.targets import Classes, Labels, Real
from infoscope.data.task import Task
from infoscope.figure import Figure, Gallery
from infoscope.measurement import NATS_PER_BIT, Measurement, Receipt
from infoscope.model_information.cost import LeftOutTime
from infoscope.model_information.mislabelled import given_probabilities, label_noise, wrong_numbers
from infoscope.model_information.mislabelled.suspicion import Suspicion
from infoscope.model_information.mislabelled.tiles import tile
from infoscope.options import AtLeast, check_fields
from infoscope.prequential.frozen import AnyFeatures, check_features, frozen
from infoscope.prequential.leave_one_out import LeaveOneOut, leave_one_out
from infoscope.record import Coordinate, Record, Row
from infoscope.run.context import RunContext
from infoscope.run.look import Look, Looks
from infoscope.run.question import Rows, Stages, ask
from infoscope.table_file import write_table

FEWEST = 10
"""Examples below which nothing is said."""

FLAGGED = 0.5
"""P(wrong) above which a label is among the rows of the record."""

SURE = 0.9
"""P(wrong) above which the sentence counts it."""

TILES = 24
"""Of the gallery, at most."""


@dataclass(frozen=True)
class Mislabelled:
    """Which labels are probably wrong?

    What all other examples say of each label, by leaving it out of Gaussian-process regressions (one inverse a kernel),
    against the label that was given. A noise is fitted, by which P(wrong) is calibrated and wrong labels are counted,
    and held against there being none, which may open the 90 % interval. Classes, several labels at once, and numbers.

    Attributes
    ----------
    data
        A data set; its train split where it has one.
    probs
        Your own out-of-sample probabilities instead, (n, classes): .npy, .npz or .csv, in the data's order.
    features
        A frozen network (NAME=FILE), a name on the Hub, a function or an array, whose features get kernels as well.
    show
        At most so many labels in the table and the record, those with P(wrong) above ½, the most suspect first. All
        labels are in mislabelled.csv.
    seed
        Draws the dictionary of patches and, of many examples, the landmarks.
    """

    data: AnyTask
    probs: Path | None = None
    features: AnyFeatures = None
    show: Annotated[int, AtLeast(0)] = 100
    seed: Annotated[int, AtLeast(0)] = 0

    def __post_init__(self) -> None:
        check_fields(self)
        object.__setattr__(self, "features", frozen(self.features))
        if self.probs is not None and self.features is not None:
            raise ValueError(
                "probs and features: what is said of the labels comes from one of them; leave out the other"
            )

    def stages(self, device: str = "cpu") -> Stages[MislabelledAnswer]:
        """One look, or none where the caller has looked."""
        task = training_part(task_of(self.data))
        self._check(task)
        check_features(self.features, len(task), task.target)
        if self.probs is not None:
            p = given_probabilities.read(self.probs, task)
            parts = (Part("", np.arange(len(task)), label_noise.of_probabilities(p, task.labels.numpy())),)
        else:
            looked = yield Looks((_look(task, self.features, self.seed),))
            parts = tuple(_parts(task, looked[0]))
        answer = MislabelledAnswer(self, task, parts)
        yield Rows(tuple(answer.record()))
        return answer

    def _check(self, task: Task) -> None:
        if not isinstance(task.target, Classes | Labels | Real):
            raise ValueError(f"{task.name!r} has {task.target}; wrong are classes, several labels at once, or numbers")
        if self.probs is not None and not isinstance(task.target, Classes):
            raise ValueError(f"probs are of one class an example, and {task.name!r} has {task.target}; leave them out")
        if len(task) < FEWEST or (isinstance(task.target, Classes) and task.classes < 2):
            raise ValueError(
                f"{task.name!r} has {len(task)} examples of {task.target}; wrong labels are told from {FEWEST} "
                "examples and two classes on"
            )


@dataclass(frozen=True, eq=False)
class Part:
    """What is suspected of one label or number of every example: its name where there are several, and which rows."""

    name: str
    rows: np.ndarray
    found: Suspicion


@dataclass(frozen=True)
class MislabelledAnswer:
    """What `Mislabelled` comes to."""

    question: Mislabelled
    task: Task
    parts: tuple[Part, ...]

    @property
    def title(self) -> str:
        """Wrong labels of the task."""
        return f"Wrong labels of {self.task.name}"

    def record(self) -> Record:
        """How many are wrong, and P(wrong) of the most suspect ones."""
        rows = [Row({"task": self.task.name} | _of(part), m) for part in self.parts for m in self._counts(part)]
        return Record.of([*rows, *(self._row(*at) for at in self._suspects()[: self.question.show])])

    def figures(self) -> list[Figure | Gallery]:
        """The most suspect examples."""
        tiles = [tile(self.task, int(part.rows[i]), self._words(part, i)) for part, i in self._suspects()[:TILES]]
        if not tiles:
            return []
        caption = "The place in the data, the label that was given → what it should be, and P(wrong)."
        return [Gallery("The most suspect labels", tiles, caption)]

    def sentence(self) -> str:
        """How many are wrong, and which is the most suspect."""
        count = sum(part.found.count for part in self.parts)
        lower, upper = (sum(getattr(part.found, side) for part in self.parts) for side in ("lower", "upper"))
        sure = sum(int((part.found.wrong > SURE).sum()) for part in self.parts)
        total = sum(len(part.rows) for part in self.parts)
        said = (
            f"about {count:,.0f} of the {total:,} labels of {self.task.name} are probably wrong (90 %: {lower:,.0f} to "
            f"{upper:,.0f}), {sure:,} of them with P(wrong) above {SURE:g}"
        )
        if suspects := self._suspects():
            part, i = suspects[0]
            said += f"; the most suspect is {self._words(part, i)}"
        if any(part.found.undecided for part in self.parts):
            said += "; that none is wrong, and what is unclear is so by nature, explains them as well"
        return f"{said[:1].upper()}{said[1:]}."

    def choices(self) -> Mapping[str, str]:
        """Where the probabilities come from, which accounts are left, and what isn't shown."""
        told = {"Said by": "the caller's probabilities" if self.question.probs else "kernels of the default code"}
        accounts = dict.fromkeys(name for part in self.parts for name in part.found.accounts)
        told["Accounts that the data leave"] = "; ".join(accounts)
        if (hidden := len(self._suspects()) - self.question.show) > 0:
            told["Not shown"] = f"{hidden:,} more labels with P(wrong) above {FLAGGED:g}, see mislabelled.csv"
        return told

    def write(self, folder: Path) -> Mapping[str, str]:
        """Every label, the most suspect first."""
        rows = [
            {**self._at(part, i), "P(wrong)": float(part.found.wrong[i]), "bits": float(part.found.bits[i])}
            for part, i in self._ranked()
        ]
        return {"Every label": str(write_table(rows, folder / "mislabelled.csv"))}

    def _suspects(self) -> list[tuple[Part, int]]:
        return [(part, i) for part, i in self._ranked() if part.found.wrong[i] > FLAGGED]

    def _ranked(self) -> list[tuple[Part, int]]:
        """By P(wrong), and where that is equal by bits."""
        every = [(part, i) for part in self.parts for i in range(len(part.rows))]
        return sorted(every, key=lambda at: (-at[0].found.wrong[at[1]], -at[0].found.bits[at[1]]))

    def _counts(self, part: Part) -> list[Measurement]:
        found, n = part.found, len(part.rows)
        receipt = self._receipt(part)
        wrong = Measurement("wrong labels", found.count, found.count_error, unit="1", receipt=receipt)
        ends = [
            dataclasses.replace(wrong, quantity=f"wrong labels, 90 % {side}", value=end, stderr=np.nan)
            for side, end in (("from", found.lower), ("to", found.upper))
        ]
        rate = dataclasses.replace(wrong, quantity="noise rate", value=found.count / n, stderr=found.count_error / n)
        bits = float(part.found.bits.sum()) * NATS_PER_BIT
        return [wrong, *ends, rate, Measurement("leave-one-out bits", bits, receipt=receipt)]

    def _row(self, part: Part, i: int) -> Row:
        p, error = float(part.found.wrong[i]), float(part.found.error[i])
        return Row(self._at(part, i), Measurement("P(wrong)", p, error, unit="1", receipt=self._receipt(part)))

    def _receipt(self, part: Part) -> Receipt:
        asked = self.question
        return Receipt(
            "given probabilities" if asked.probs else "leave-one-out regressions",
            data=self.task.fingerprint[:16],
            n=len(part.rows),
            seeds=() if asked.probs else (asked.seed,),
            over="groups of examples (jackknife), and chance",
            notes=part.found.accounts,
            version=__version__,
        )

    def _at(self, part: Part, i: int) -> dict[str, Coordinate]:
        index = int(part.rows[i])
        label, suggested = self._label(part, index), self._suggested(part, i)
        return {"index": index} | _of(part) | {"label": label, "suggested": suggested}

    def _label(self, part: Part, index: int) -> Coordinate:
        target, y = self.task.target, self.task.y[index]
        if isinstance(target, Classes):
            return target.alphabet[int(y)]
        assert isinstance(target, Labels | Real)
        column = _column(target, part.name)
        return float(y[column]) if isinstance(target, Real) else int(y[column])

    def _suggested(self, part: Part, i: int) -> Coordinate:
        target, value = self.task.target, part.found.suggested[i]
        if isinstance(target, Classes):
            return target.alphabet[int(value)]
        if isinstance(target, Real):
            return float(f"{target.centre + target.scale * float(value):.5g}")
        return int(value)

    def _words(self, part: Part, i: int) -> str:
        at = self._at(part, i)
        of = f" {part.name}" if part.name else ""
        return f"#{at['index']}{of}: {at['label']} → {at['suggested']} ({part.found.wrong[i]:.2f})"


def mislabelled(what: Any, *, context: RunContext = RunContext(), **options: Any) -> Record:
    """Which labels are probably wrong? `Mislabelled` asked at once; its table.

    >>> import numpy as np
    >>> x = np.linspace(0, 1, 60)[:, None]
    >>> y = (x[:, 0] > 0.5).astype(int)
    >>> y[10] = 1
    >>> found = mislabelled((x, y))
    >>> [(row.coordinates["index"], row.coordinates["suggested"]) for row in found if "index" in row.coordinates]
    [(10, '0')]
    """
    return ask(Mislabelled(Task.of(what), **options), context).record()


def _of(part: Part) -> dict[str, Coordinate]:
    return {"of": part.name} if part.name else {}


def _column(target: Labels | Real, name: str) -> int:
    return _names(target).index(name)


def _names(target: Labels | Real) -> Sequence[str]:
    if isinstance(target, Labels):
        return target.names
    return [""] if target.dim == 1 else [f"number {j + 1}" for j in range(target.dim)]


def _look(task: Task, features: Any, seed: int) -> Look[LeaveOneOut]:
    return Look(
        leave_one_out,
        (task, features, seed),
        LeaveOneOut,
        2,
        f"every example of {task.name} left out",
        kind="leave-one-out regressions",
        seconds=LeftOutTime(task, features, seed) if len(task) else None,
        stand_in=partial(LeaveOneOut.of_nobody, task),
    )


def _parts(task: Task, found: LeaveOneOut) -> Iterator[Part]:
    """What is suspected of each label or number of an example."""
    every = np.arange(len(task))
    if isinstance(task.target, Classes):
        yield Part("", every, label_noise.of_regressions(found.means, found.variances, task.labels.numpy()))
        return
    target, y = task.target, task.y
    assert isinstance(target, Labels | Real)
    for j, name in enumerate(_names(target)):
        means = found.means[:, :, j]
        if isinstance(target, Real):
            numbers = target.standard(y[:, j].double()).numpy()
            resolution = target.resolution / target.scale
            yield Part(name, every, wrong_numbers.suspicion(means, found.variances, numbers, resolution))
            continue
        rows = np.flatnonzero(y[:, j].numpy() >= 0)
        if len(rows) < FEWEST:
            continue
        both = np.stack([-means[:, rows], means[:, rows]], -1)
        yield Part(
            name, rows, label_noise.of_regressions(both, found.variances[:, rows], y[rows, j].numpy().astype(int))
        )
