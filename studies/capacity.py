"""Table 7 and Fig. 6: what networks of several widths hold of tasks of more and more classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from infoscope.data.task import Task
from infoscope.measurement import Measurement
from infoscope.model_information.capacity.question import Capacity, CapacityAnswer
from infoscope.model_information.capacity.result import Held
from infoscope.options import AtLeast, check_fields
from infoscope.prequential.replay import Replay
from infoscope.run.question import Stages
from infoscope.run.study import Claim, StudyAnswer, Table, Verdict, judged

NETWORKS = {
    "mlp": {f"width {w}": f"mlp(widths=({w},))" for w in (2, 8, 64)},
    "resnet11": {
        name: f"preact-resnet20(depth=11, widths={widths})"
        for name, widths in (("Tiny", (16, 16, 24)), ("Small", (16, 24, 32)), ("Standard", (16, 32, 64)),
                             ("Large", (16, 48, 96)))
    },
}  # fmt: skip
"""From the smallest to the largest."""

PAPER = {
    "50": (6970.1, 7358.2, 7140.0, 7687.0), "100": (7492.2, 8343.9, 8496.2, 8907.8),
    "150": (7777.0, 8086.6, 9322.1, 9540.7), "200": (7448.8, 8170.3, 9410.7, 10264.0),
    "parameters": (29457, 49905, 124433, 264657),
}  # fmt: skip
"""Table 7, its columns from the smallest network to the largest."""


@dataclass(frozen=True)
class CapacityStudy:
    """Table 7 and Fig. 6: several widths of one network on tasks of more and more classes, trained on equally many.

    "Model Information as an Analysis Tool in Deep Learning", §5 and A.4: ResNet-11 on 50 to 200 classes of
    Tiny-ImageNet, 12,500 examples each. The small scale has networks of one hidden layer on 10 to 50 classes, those of
    five data sets whose alphabets are kept apart, in grey at 16×16.

    Attributes
    ----------
    data
        The folder that holds the data sets; without it they go by their names alone.
    sets
        The data sets, whose classes come in this order.
    alphabets
        Numbers of classes.
    networks
        Of one hidden layer, or ResNets of depth 11.
    size
        Images are scaled to squares of so many pixels.
    k
        Examples to code.
    train
        Examples to train on.
    start
        Gradients of the code at its beginning; replays are 4 a label.
    memorise
        Epochs of training on random labels.
    replicates
        Networks of each width and task.
    """

    data: Path | None = None
    sets: tuple[str, ...] = ("mnist", "fashion_mnist", "usps", "notmnist", "cifar10")
    alphabets: tuple[int, ...] = (10, 20, 30, 40, 50)
    networks: Literal["mlp", "resnet11"] = "mlp"
    size: Annotated[int, AtLeast(8)] = 16
    k: Annotated[int, AtLeast(1)] = 150
    train: Annotated[int, AtLeast(1)] = 800
    start: Annotated[int, AtLeast(0)] = 200
    memorise: Annotated[int, AtLeast(1)] = 60
    replicates: Annotated[int, AtLeast(1)] = 3

    paper: ClassVar[Mapping[str, Any]] = {
        "sets": ("tiny_imagenet",), "alphabets": (50, 100, 150, 200), "networks": "resnet11", "size": 64,
        "k": 10_000, "train": 12_500, "start": 5000, "memorise": 300,
    }  # fmt: skip

    def __post_init__(self) -> None:
        check_fields(self)

    def stages(self, device: str = "cpu") -> Stages[StudyAnswer]:
        """The question of capacity, with the paper's table beside its answer."""
        places = [name if self.data is None else self.data / name for name in self.sets]
        given = [Task.from_dataset(place, size=self.size) for place in places]
        asked = Capacity(
            given, tuple(NETWORKS[self.networks].values()), self.alphabets, Replay(replays=4, start=self.start),
            self.k, self.train, self.memorise, self.replicates,
        )  # fmt: skip
        answer: CapacityAnswer = yield from asked.stages(device)
        notes = [f"{', '.join(self.sets)}; trained on {self.train}, k = {self.k}"]
        if self.networks == "mlp":
            notes.append(
                "The paper's networks, data and sizes are others, so that no number is to be met but the claims."
            )
        tables = [self._table(answer.held), _paper_table()]
        return StudyAnswer("Capacity", list(answer.record()), tables, _claims(answer.held), notes, answer.figures())

    def _table(self, held: tuple[Held, ...]) -> Table:
        columns = ("", *NETWORKS[self.networks])
        known = zip(*(one.informations() for one in held), strict=True)
        rows: list[tuple[Any, ...]] = [(name, *row) for name, row in zip(held[0].tasks, known, strict=True)]
        rows.append(("C(M)", *(one.capacity() for one in held)))
        rows.append(("which is", *map(_kind, held)))
        rows.append(("max L(M,D)", *(one.maximum()[0] for one in held)))
        rows.append(("of which bias", *(one.maximum()[1] for one in held)))
        rows.append(("memorised", *(one.memorised() for one in held)))
        rows.append(("parameters", *(one.parameters for one in held)))
        return Table("Here, bits", columns, rows)


def _kind(one: Held) -> str:
    if one.plateau is not None:
        return "a plateau"
    return "a lower bound" if one.levels_off is None else "a lower bound: the tasks may hold no more"


def _paper_table() -> Table:
    columns = ("", *NETWORKS["resnet11"])
    return Table("Table 7, unit not said", columns, [(f"{name} classes" if name.isdigit() else name, *row)
                                                     for name, row in PAPER.items()])  # fmt: skip


def _claims(held: tuple[Held, ...]) -> list[Claim]:
    full = [one.model for one in held if one.plateau is not None]
    saturated = Verdict.DIFFERENT_DATA if full else Verdict.UNDECIDED
    told = f"a plateau of its own has {', '.join(full)}" if full else "no network has a plateau of its own"
    smallest, second, largest = held[0], held[-2], held[-1]
    gain = [a - b for a, b in zip(largest.informations(), second.informations(), strict=True)]
    return [
        Claim("information saturates as tasks grow", saturated, told),
        _grows(smallest, largest),
        _judged("a task has an inherent amount: the last widening adds more on the hardest task than on the simplest",
                gain[-1] - gain[0]),
    ]  # fmt: skip


def _grows(smallest: Held, largest: Held) -> Claim:
    """Lower bounds do not decide it."""
    text, effect = "capacity grows with the parameters", largest.capacity() - smallest.capacity()
    if smallest.plateau is not None:
        return _judged(text, effect)
    why = f"the largest network's bound is {effect.bits:,.0f} ± {effect.stderr_bits:.2g} bits above the smallest's"
    return Claim(text, Verdict.UNDECIDED, f"{why}, but the smallest has no plateau: it may hold more than that")


def _judged(text: str, effect: Measurement) -> Claim:
    verdict = judged(effect.bits, effect.stderr_bits, Verdict.DIFFERENT_DATA)
    return Claim(text, verdict, f"by {effect.bits:,.0f} ± {effect.stderr_bits:.2g} bits")
