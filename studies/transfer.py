"""What data sets hold, and what representations bring along: the abstract of Zhang et al. 2020, at a small scale.

    infoscope study transfer --data FOLDER --page docs/results/transfer.md

Two experiments that "Measuring Information Transfer in Neural Networks" names: data sets are compared and dissected by
what networks that were trained on their parts know of the whole, and representations are judged by what they save of
another task, L_IT. The abstract prints no numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from infoscope.data.corruption import ShuffledLabels
from infoscope.data.task import Task
from infoscope.measurement import Measurement
from infoscope.model_information.comparing.parts_of_information import Parts
from infoscope.model_information.comparing.question import Compare
from infoscope.model_information.transfer.question import Transfer, TransferAnswer
from infoscope.models import MLP
from infoscope.options import AtLeast, check_fields
from infoscope.prequential.replay import Replay
from infoscope.record import Row
from infoscope.run.question import Stages
from infoscope.run.study import Claim, StudyAnswer, Table, Verdict, judged

SIDE = 16  # pixels, as usps has
PARTS = {
    "unlike classes": ("classes=0,1,2,3,4", "classes=5,6,7,8,9"),
    "drawn alike": ("rows=0..900", "rows=900.."),
}


@dataclass(frozen=True)
class TransferStudy:
    """What two parts of the digits tell of all of them, and what networks trained elsewhere bring along to usps.

    Attributes
    ----------
    data
        A folder with mnist, fashion_mnist and usps in Hub layout.
    k
        Examples to code.
    train
        Examples to train on, of each part, and of each source at most.
    replicates
        Networks.
    epochs
        Most epochs of a training.
    """

    data: Path
    k: Annotated[int, AtLeast(1)] = 200
    train: Annotated[int, AtLeast(16)] = 512
    replicates: Annotated[int, AtLeast(1)] = 3
    epochs: Annotated[int, AtLeast(1)] = 200

    paper: ClassVar[Mapping[str, Any]] = {"k": 2000, "train": 50_000, "replicates": 5, "epochs": 1000}

    def __post_init__(self) -> None:
        check_fields(self)

    def stages(self, device: str = "cpu") -> Stages[StudyAnswer]:
        """The parts of the digits, then one source after another."""
        size = {"replicates": self.replicates, "epochs": self.epochs, "model": MLP((64,))}
        coder = Replay(replays=4, start=2000)
        digits, rows, parts = Task.from_dataset("digits"), [], {}
        for name, (a, b) in PARTS.items():
            question = Compare(
                [digits[a], digits[b]], digits, k=self.k, train=min(400, self.train), coder=coder, **size
            )
            answer = yield from question.stages(device)
            parts[name] = answer.found
            rows += [Row({"parts": name, **row.coordinates}, row.measurement) for row in answer.record()]
        usps = Task.from_dataset(self.data / "usps", size=SIDE)["test"]
        brought: dict[str, TransferAnswer] = {}
        for name, (source, n) in self._sources().items():
            question = Transfer(usps, source=source, train=n, k=self.k, coder=coder, **size)
            brought[name] = yield from question.stages(device)
            rows += [Row({"source": name, **row.coordinates}, row.measurement) for row in brought[name].record()]
        return StudyAnswer(
            "Comparing data sets, and transfer",
            tuple(rows),
            (compared(parts), transferred(brought)),
            (*of_parts(parts), *of_sources(brought)),
            notes=(
                "The abstract prints no numbers; the settings are ours, and the claims are its own: that L_IT follows "
                "the information that generalises, and can compare and dissect data sets.",
                "A network of either head is compared with newly drawn weights of the same architecture, under the "
                "same head.",
            ),
        )

    def _sources(self) -> dict[str, tuple[Task, int]]:
        """What networks are trained on, and how many examples of it."""
        mnist, fashion = (Task.from_dataset(self.data / name, size=SIDE) for name in ("mnist", "fashion_mnist"))
        first = mnist["train"][: 4 * self.train]
        return {
            f"mnist, {self.train // 16}": (first, self.train // 16),
            f"mnist, {self.train // 4}": (first, self.train // 4),
            f"mnist, {self.train}": (first, self.train),
            f"mnist, {self.train}, labels shuffled": (first.corrupted(ShuffledLabels()), self.train),
            f"fashion_mnist, {self.train}": (fashion["train"][: 4 * self.train], self.train),
        }


def compared(parts: Mapping[str, Parts]) -> Table:
    """What each part tells of the digits alone, what both do, and both together."""
    rows = [(name, *one.unique, one.shared, one.known[2]) for name, one in parts.items()]
    columns = ("two parts of the digits", "only the first", "only the second", "either", "together")
    return Table("What parts of a data set tell of the whole, bits", columns, rows)


def transferred(brought: Mapping[str, TransferAnswer]) -> Table:
    """L_IT of each source under both heads."""
    rows = [(name, *(one.transferred for one in answer.found)) for name, answer in brought.items()]
    heads = [one.head for answer in brought.values() for one in answer.found]
    return Table("L_IT about usps, bits", ("trained on", *(f"head {h}" for h in dict.fromkeys(heads))), rows)


def of_parts(parts: Mapping[str, Parts]) -> tuple[Claim, ...]:
    """What dissecting a data set should show."""
    unlike, alike = (parts[name] for name in PARTS)
    return (
        claim("two parts that are drawn alike share more than two of unlike classes", alike.shared - unlike.shared),
        claim(
            "each of two unlike parts holds what the other does not",
            min(unlike.unique, key=lambda one: one.value / one.stderr if one.stderr > 0 else one.value),
        ),
    )


def of_sources(brought: Mapping[str, TransferAnswer]) -> tuple[Claim, ...]:
    """What the abstract says of L_IT, under the head in closed form: what the features hold."""
    few, more, most, shuffled, fashion = (answer.found[-1].transferred for answer in brought.values())
    return (
        claim("L_IT grows with what was there to learn from: 4 times as many examples", more - few),
        claim("and 4 times as many again", most - more),
        claim("labels that say nothing transfer less", most - shuffled),
        claim("a task of another kind transfers less", most - fashion),
    )


def claim(text: str, by: Measurement) -> Claim:
    """A claim that holds where this is above 0."""
    verdict = judged(by.value, by.stderr, Verdict.DIFFERENT_DATA)
    return Claim(text, verdict, f"by {by.bits:.1f} ± {by.stderr_bits:.1f} bits")
