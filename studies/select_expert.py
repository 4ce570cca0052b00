"""Which of many small experts to start from: Task2Vec's distance and the free energy against chance and the rest."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np

from infoscope.data.combine import occurring_classes, resized, union
from infoscope.data.task import Task
from infoscope.ensembles.population import Member, Population
from infoscope.ensembles.train import Train
from infoscope.measurement import Measurement
from infoscope.model_information.similarity.question import Similarity
from infoscope.models import SmallCNN
from infoscope.options import AtLeast, check_fields
from infoscope.prequential.replay import Replay
from infoscope.record import Row
from infoscope.run.question import Request, Stages
from infoscope.run.study import Claim, StudyAnswer, Table, judged
from infoscope.task_space.experts import Expert
from infoscope.task_space.probe import Probe
from infoscope.task_space.select import Select
from infoscope.task_space.select_answer import CHANCE, FREE_ENERGY, LARGEST, SelectAnswer
from infoscope.task_space.space import TaskSpace
from infoscope.training.learner import Learner
from infoscope.training.recipe import Recipe

SETS = ("mnist", "usps", "notmnist", "fashion_mnist", "cifar10", "office31_amazon")
SHAPE = (1, 16, 16)
CLASSES = 5
SIZES = (60, 120, 250, 500)
"""Examples that experts are trained on, in turn."""

PAPER = {"d_asym": 0.10, "d_sym": 0.425}


@dataclass(frozen=True)
class SelectExpert:
    """Task2Vec, §5: the error of the expert that a rule chooses, over that of the best, on tasks made from classes.

    Tasks and experts are of five classes each, drawn from six data sets, at 16 × 16 grey pixels; no example of a task
    was trained on by an expert. Experts are small convolutional networks, trained on 60 to 500 examples; on a task they
    stay as they are, and a head is fitted. The probe is one such network, trained on all experts' examples together.

    What to expect: rules that look at an expert's features on the task beat chance by far; a distance that sees the
    expert's data alone beats it by less.

    Attributes
    ----------
    data
        A folder with the data sets in Hub layout.
    tasks
        Tasks, in equal shares of the data sets.
    experts
        Experts, likewise.
    examples
        Labels of a task that are known.
    pairs
        Tasks on whose ordered pairs the free-energy distance is held against S and S_uni; 0 for none.
    epochs
        Most epochs of an expert's training.
    seed
        Of classes, examples and networks.
    """

    data: Path
    tasks: Annotated[int, AtLeast(3)] = 60
    experts: Annotated[int, AtLeast(3)] = 30
    examples: Annotated[int, AtLeast(10)] = 60
    pairs: Annotated[int, AtLeast(0)] = 3
    epochs: Annotated[int, AtLeast(1)] = 15
    seed: Annotated[int, AtLeast(0)] = 0

    paper: ClassVar[Mapping[str, Any]] = {"tasks": 600, "experts": 156, "examples": 500, "epochs": 100}

    def __post_init__(self) -> None:
        check_fields(self)

    def stages(self, device: str = "cpu") -> Stages[StudyAnswer]:
        """The experts and the probe; all of them on every task; a few pairs by S and S_uni."""
        sets = [_grey(Task.from_dataset(str(self.data / name))) for name in SETS]
        draws = np.random.default_rng(self.seed)
        sources = [self._part(sets[i % len(sets)], draws, SIZES[i // len(sets) % len(SIZES)], i, 0)
                   for i in range(self.experts)]  # fmt: skip
        given = [self._part(sets[i % len(sets)], draws, self.examples + 200, i, 1) for i in range(self.tasks)]
        learner = Learner(SmallCNN((8, 16, 32), 32), Recipe(epochs=self.epochs, patience=None))
        members = tuple(Member(learner, task, self.seed + i) for i, task in enumerate(sources))
        trained: Population = yield Train(members)
        weights = {name: trained.member(i) for i, name in enumerate(trained.names)}
        experts = [
            Expert(
                task.name, Probe(task.name, learner.starting_from(weights[m.called]), CLASSES, "here"), task, len(task)
            )
            for m, task in zip(members, sources, strict=True)
            if m.called in weights
        ]
        probe = yield from self._probe(learner, sources)
        question = Select(given, experts, probe=probe, examples=self.examples, replicates=1, seed=self.seed)
        answer: SelectAnswer = yield from question.stages(device)
        beside = (yield from self._pairs(given, device)) if self.pairs else ((), None)
        return _answer(answer, *beside)

    def _part(self, task: Task, draws: np.random.Generator, n: int, place: int, half: int) -> Task:
        """Five classes of a data set, n examples of its first or second half."""
        chosen = sorted(draws.choice(task.classes, CLASSES, replace=False).tolist())
        rows = np.flatnonzero(np.isin(task.labels.numpy(), chosen))
        mine = np.sort(draws.permutation(rows[rows % 2 == half])[:n])
        kind = "task" if half else "expert"
        return dataclasses.replace(occurring_classes(task[draws.permutation(mine)]), name=f"{task.name} {kind} {place}")

    def _probe(self, learner: Learner, sources: Sequence[Task]) -> Generator[Request, Any, Probe]:
        """One network for all, trained on what all experts were trained on, each class of each data set for itself."""
        by_set: dict[str, list[Task]] = {}
        for task in sources:
            by_set.setdefault(task.name.partition(" ")[0], []).append(task)
        merged = [dataclasses.replace(union(*several), name=name) for name, several in by_set.items()]
        whole = union(*merged, disjoint=True)
        found: Population = yield Train((Member(learner, whole, self.seed, name="the probe"),))
        weights = learner.starting_from(found.member(0))
        return Probe("probe", weights, whole.classes, f"trained on {len(whole):,} examples of all experts")

    def _pairs(
        self, given: Sequence[Task], device: str
    ) -> Generator[Request, Any, tuple[tuple[Row, ...], Table | None]]:
        """S and S_uni of some tasks, and what one costs after another by the same kind of code."""
        few, learner = list(given[: self.pairs]), Learner(SmallCNN((8, 16, 32), 32), Recipe(epochs=self.epochs))
        coder = Replay(replays=4)
        k = self.examples
        alike = yield from Similarity(
            few, learner, head="new", coder=coder, k=k, train=150, replicates=2, epochs=self.epochs
        ).stages(device)
        space = TaskSpace((), few, coder, learner, examples=k)
        rows = yield from space.behind(few, device)
        found = {(r.coordinates["from"], r.coordinates["to"]): r.measurement for r in rows
                 if r.measurement.quantity == "C_12 - C_1"}  # fmt: skip
        lines = []
        for a, b in permutations((task.name for task in few), 2):
            s, uni = alike.found.s[a, b].measurement, alike.found.s_uni[a, b].measurement
            own, known = alike.found.known[b, b], alike.found.known[a, b]
            lines.append((f"{a} → {b}", found[a, b], (own - known).named("I_12 - I_1"), s, uni))
        columns = ("pair", "C_12 − C_1, bit", "I_12 − I_1 = I_2 − L(M_1,D_2), bit", "S", "S_uni")
        notes = ("I_12 = I_1 + I_2 − L(M_1,D_2), so that I_12 − I_1 = I_2 (1 − S_uni) by its definition.",)
        return tuple(rows), Table("Distances beside similarities", columns, lines, notes)


def _grey(task: Task) -> Task:
    return dataclasses.replace(resized(task, SHAPE), name=task.name)


def _answer(answer: SelectAnswer, rows: Sequence[Row], pairs: Table | None) -> StudyAnswer:
    order = sorted(answer.rules, key=lambda rule: answer.increase(rule).value)
    lines = [
        (rule, PAPER.get(rule), answer.increase(rule),
         None if rule == CHANCE else answer.against(rule, CHANCE),
         None if rule == LARGEST else answer.against(rule, LARGEST),
         Measurement("head error", float(answer.picked(rule).mean()), unit="1"))
        for rule in order
    ]  # fmt: skip
    title = f"Error increase over the best of {len(answer.experts)} experts, {len(answer.found)} tasks"
    columns = (
        "rule",
        "paper (iNat + CUB)",
        "error increase",
        "less chance's",
        "less the largest source's",
        "mean error",
    )
    notes = (
        f"The best expert's mean error is {np.nanmin(answer.errors, 1).mean():.3f}; it is known only afterwards.",
        "± one standard error, a jackknife over tasks; twice that is a 95 % interval.",
    )
    claims = [_claim(answer, rule, other) for rule in ("d_asym", FREE_ENERGY) for other in (CHANCE, LARGEST)]
    whole = [row for row in answer.record() if row.coordinates.get("task") is None]
    tables = [Table(title, columns, lines, notes), *([pairs] if pairs else [])]
    return StudyAnswer("Which expert to start from", [*whole, *rows], tables, claims, (), answer.figures()[-1:])


def _claim(answer: SelectAnswer, rule: str, other: str) -> Claim:
    m = answer.against(rule, other)
    low, high = (m.value + side * 2 * m.stderr for side in (-1, 1))
    why = f"difference of error increase {m.value:+.3f}, 95 %: {low:+.3f} to {high:+.3f}"
    return Claim(f"{rule} chooses better experts than {other}", judged(-m.value, m.stderr), why)
