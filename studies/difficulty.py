"""Five tasks of ten classes, and three kinds of noise: Figures 1 and 3 and Tables 2 to 4 of Zhang et al."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from infoscope import Difficulty, Massart, MissingObjects, MissingPixels, Replay, Task
from infoscope.measurement import Measurement
from infoscope.model_information.difficulty import DifficultyAnswer
from infoscope.model_information.difficulty_figures import label_noise
from infoscope.options import AtLeast, check_fields
from infoscope.prequential.encode import Coder
from infoscope.run.question import Stages
from infoscope.run.study import Claim, StudyAnswer, Table, Verdict, judged

TASKS = ("mnist", "usps", "notmnist", "fashion_mnist", "cifar10")
LEVELS = (0.0, 0.05, 0.1, 0.2)
NOISES: dict[str, type[MissingPixels | MissingObjects | Massart]] = {
    "missing pixels": MissingPixels, "missing objects": MissingObjects, "massart noise": Massart,
}  # fmt: skip

PAPER = {
    "missing pixels": ((1559, 1718, 2120, 2719), (0.996, 0.992, 0.988, 0.981), (0.994, 0.989, 0.985, 0.985)),
    "missing objects": ((1559, 1489, 1560, 1296), (0.996, 0.953, 0.909, 0.865), (0.994, 0.946, 0.899, 0.848)),
    "massart noise": ((1559, 1833, 1735, 1605), (0.996, 0.949, 0.908, 0.867), (0.994, 0.973, 0.941, 0.908)),
}
"""Tables 2, 3 and 4: L(M,D), accuracy and confidence at the four levels."""

UNIT = """\
**Bits or nats.** The paper never says which its numbers are, and no bound in these tables tells: 10,000 labels of ten
classes are at most 33,219 bits or 23,026 nats, far above 2719. Ours are bits. What is judged here are signs, which no
unit changes."""

ORACLE = """\
**Label noise.** One who knows every true class pays {noise} bits a label at levels {levels}: of the labels that are
drawn anew one in ten hits the true class. (With so many *wrong* labels it would be {wrong}.) Neither term of L(M,D) can
go below, and their difference need not change. Nobody is right more often than {best} of the time on labels that are
drawn anew at level .2; Table 4 prints 0.867, so not all of its test labels can have been."""


@dataclass(frozen=True)
class DifficultyStudy:
    """Five tasks of ten classes, and three kinds of noise: Figures 1 and 3, Tables 2 to 4 of Zhang et al.

    "Model Information as an Analysis Tool in Deep Learning", §3 and A.2. Figure 1 has MNIST, EMNIST, SVHN, CIFAR-10 and
    one that is not named; here are mnist, usps, notmnist, fashion_mnist and cifar10. One network for all tasks; so many
    examples of each, of which k are coded and the others trained on. The noise is in both, as in the paper's
    accuracies.

    Attributes
    ----------
    sets
        The tasks, each a data set by name or a folder, such as path/to/mnist; noise is put on the first.
    model
        The network.
    examples
        Of each task.
    k
        Of them are coded.
    coder
        The networks' own code.
    replicates
        Networks and coding orders.
    seed
        The first of their seeds.
    """

    sets: tuple[Path, ...] = tuple(map(Path, TASKS))
    model: str = "mlp"
    examples: Annotated[int | None, AtLeast(10)] = 1000
    k: Annotated[int, AtLeast(1)] = 200
    coder: Coder = Replay(growth=1.1, replays=4, start=1000)
    replicates: Annotated[int, AtLeast(2)] = 3
    seed: Annotated[int, AtLeast(0)] = 0

    paper: ClassVar[Mapping[str, Any]] = {"model": "preact-resnet56", "examples": None, "k": 10_000, "coder": Replay()}

    def __post_init__(self) -> None:
        check_fields(self)

    def stages(self, device: str = "cpu") -> Stages[StudyAnswer]:
        """The five tasks, then the noises on MNIST, whose level 0 they share."""
        tasks = [self._task(path) for path in self.sets]
        five = yield from self._asked(tasks).stages(device)
        noisy = [tasks[0].corrupted(make(level)) for make in NOISES.values() for level in LEVELS[1:]]
        swept = yield from self._asked([tasks[0], *noisy]).stages(device)
        names = [path.name for path in self.sets]
        claims = [*_claims_of_tasks(five, names), *_claims_of_noise(swept)]
        rows = [*five.record(), *(row for row in swept.record() if "~" in str(row.coordinates["task"]))]
        drawn = [*five.figures()[:3], *swept.figures()[:3]]
        tables = (
            _five(five, names),
            *(_table(swept, names[0], name, number) for number, name in enumerate(NOISES, start=2)),
        )
        return StudyAnswer(
            "Difficulty: five tasks, three kinds of noise", rows, tables, claims, (UNIT, _oracle()), drawn
        )

    def _task(self, path: Path) -> Task:
        task = Task.from_dataset(str(path))
        if self.examples is None:
            return task
        part = task["train"] if "train" in task.splits else task
        return part.shuffled(0)[: min(len(part), self.examples)]

    def _asked(self, tasks: Sequence[Task]) -> Difficulty:
        return Difficulty(
            tasks,
            self.model,
            self.coder,
            k=self.k,
            examples=min(200, self.k),
            replicates=self.replicates,
            seed=self.seed,
            full=True,
        )


def _measured(answer: DifficultyAnswer, task: int) -> dict[str, Measurement]:
    return {row.measurement.quantity: row.measurement for row in answer.found[task].rows()}


def _at(answer: DifficultyAnswer, noise: str, level: float) -> dict[str, Measurement]:
    """What was measured under a noise; the first task has none."""
    place = 0 if not level else 1 + list(NOISES).index(noise) * (len(LEVELS) - 1) + LEVELS[1:].index(level)
    return _measured(answer, place)


def _five(answer: DifficultyAnswer, names: Sequence[str]) -> Table:
    quantities = ("L(M,D)", "L_init(y|x)", "L(y|x)", "accuracy", "confidence")
    rows = [(name, *(_measured(answer, i)[q] for q in quantities)) for i, name in enumerate(names)]
    note = "The paper's Figure 1 prints no numbers. L(y|x) is the shortest code that we have of the same labels."
    return Table("Figure 1: five tasks", ("task", *quantities), rows, (note,))


def _table(answer: DifficultyAnswer, task: str, noise: str, number: int) -> Table:
    lengths, right, sure = PAPER[noise]
    rows = []
    for i, level in enumerate(LEVELS):
        found = _at(answer, noise, level)
        rows.append(
            (f"{level:g}", lengths[i], found["L(M,D)"], right[i], found["accuracy"], sure[i], found["confidence"])
        )
    columns = ("level", "L(M,D), paper", "here", "accuracy, paper", "here", "confidence, paper", "here")
    return Table(f"Table {number}: {noise} on {task}", columns, rows)


def _claims_of_tasks(answer: DifficultyAnswer, names: Sequence[str]) -> list[Claim]:
    """Of the last task, the hardest to a person, against the first."""
    hard, easy, these = _measured(answer, -1), _measured(answer, 0), f"{names[-1]} against {names[0]}"
    claims = []
    for quantity, text, sign in (
        ("L(M,D)", f"the more complex task is richer in information ({these})", 1),
        ("accuracy", f"the more difficult task has the lower accuracy ({these})", -1),
        ("confidence", f"the more difficult task has the lower confidence ({these})", -1),
    ):
        effect, error, told = _difference(hard[quantity], easy[quantity])
        claims.append(Claim(text, judged(sign * effect, error, Verdict.DIFFERENT_SCALE), told))
    return claims


def _claims_of_noise(answer: DifficultyAnswer) -> list[Claim]:
    clean, claims, moved = _measured(answer, 0), [], {}
    for noise in NOISES:
        last = _at(answer, noise, LEVELS[-1])
        effect, error, told = _difference(last["L(M,D)"], clean["L(M,D)"])
        moved[noise] = (effect, error)
        if noise == "missing pixels":
            text, verdict = "missing pixels make the task more complex", judged(effect, error, Verdict.DIFFERENT_SCALE)
        else:
            text = f"{noise.removesuffix(' noise')} noise leaves the information as it is"
            verdict = Verdict.NOT_REPRODUCED if abs(effect) > 2 * error else Verdict.DIFFERENT_SCALE
        claims.append(Claim(text, verdict, f"from level 0 to {LEVELS[-1]:g} L(M,D) changes by {told}"))
        less, off, fallen = _difference(last["accuracy"], clean["accuracy"])
        if noise != "missing pixels":
            text = f"{noise.removesuffix(' noise')} noise lowers accuracy"
            claims.append(Claim(text, judged(-less, off, Verdict.DIFFERENT_SCALE), f"it changes by {fallen}"))
    kept = all(abs(effect) <= 2 * error for noise, (effect, error) in moved.items() if noise != "missing pixels")
    rose = moved["missing pixels"][0] > 2 * moved["missing pixels"][1]
    verdict = Verdict.DIFFERENT_SCALE if kept and rose else Verdict.NOT_REPRODUCED
    why = f"complexity {'raises' if rose else 'does not raise'} L(M,D), noise {'leaves' if kept else 'moves'} it"
    return [*claims, Claim("complexity and noise are two independent dimensions", verdict, why)]


def _difference(a: Measurement, b: Measurement) -> tuple[float, float, str]:
    """A − b as printed, its error (paired by seeds), and both in words."""
    one = a - b
    error = one.stderr_bits if one.unit == "nat" else one.stderr
    digits = 0 if one.unit == "nat" else 3
    return one.printed, error, f"{one.printed:+.{digits}f} ± {error:.{digits}f}{' bits' if one.unit == 'nat' else ''}"


def _oracle() -> str:
    def told(share: float) -> str:
        return ", ".join(f"{label_noise(share * level, 10) / math.log(2):.5f}" for level in LEVELS[1:])

    return ORACLE.format(
        noise=told(0.9),
        wrong=told(1.0),
        best=f"{1 - 0.9 * LEVELS[-1]:g}",
        levels=", ".join(f"{level:g}" for level in LEVELS[1:]),
    )
