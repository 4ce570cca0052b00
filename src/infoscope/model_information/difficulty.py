"""The question of difficulty: the main job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Annotated, Any

from infoscope.data.named import Tasks, tasks, training_part
from infoscope.data.partition import MOST_CODED, Partition, partition, room
from infoscope.data.task import Task
from infoscope.figure import Figure
from infoscope.measurement import Bound, Measurement, Receipt
from infoscope.model_information import figures, wording
from infoscope.model_information.budget import Sizes, Work, affordable, duration
from infoscope.model_information.codelength import LabelCode, label_looks
from infoscope.model_information.difficulty_figures import (
    Place,
    against_noise,
    massart_noise,
    noise_of,
    side_by_side,
)
from infoscope.model_information.information import check_own_code, train_then_code
from infoscope.model_information.task_information import TaskInformation
from infoscope.models.default import Model, learner_for, model_name
from infoscope.options import AtLeast, check_fields
from infoscope.prequential.encode import Coder
from infoscope.prequential.frozen import AnyFeatures, check_features, frozen, told_of
from infoscope.prequential.mixed import Mixed
from infoscope.prequential.replay import Replay
from infoscope.record import Record, Row
from infoscope.run.context import RunContext
from infoscope.run.question import Rows, Stages, ask
from infoscope.training.learner import Learner


@dataclass(frozen=True)
class Difficulty:
    """How hard is a task, and how much of it does a network learn?

    Codelength of the labels against uniform and H(Y); information, accuracy and confidence of a network that is
    trained on one part and measured on another. Several data sets are compared at the smallest k. "Model Information
    as an Analysis Tool in Deep Learning", §3.

    Attributes
    ----------
    data
        One or more data sets.
    model
        Network: a name from `infoscope list models`, or module:factory. Default: mlp, or cnn from 16 pixels on.
    coder
        The network's own code: replay, entk or blocks, with options as in "replay(replays=16)".
    k
        Examples to code, which are not trained on. Default: the test split or a third, at most 10,000, as far as the
        budget reaches.
    train
        Examples to train on. Default: what is left, as far as the budget reaches.
    examples
        Send only the first so many labels in coding order, to one who has these inputs and no others. Default: at
        most 10,000, as far as the budget reaches.
    replicates
        Coding orders and networks. The standard error is over them; one gives none.
    seed
        The first of their seeds.
    epochs
        Most epochs of a training, which ends earlier when it has settled. Default: the recipe's, 1000.
    budget
        About how long it may take on two cores of a common machine: 90s, 5m, 2h. The sizes that are left open follow
        from it, the same for all data sets and on every machine.
    features
        Frozen features that sender and receiver of the labels both own, beside the inputs: NAME=FILE, a model's name
        and its weights, or hf:NAME. What they know themselves is not counted; the network's own code has none.
    full
        Take all there is, whatever it takes, and code 10,000 as the papers do.
    """

    data: Tasks
    model: Model = None
    coder: Coder = Replay()
    k: Annotated[int | None, AtLeast(0)] = None
    train: Annotated[int | None, AtLeast(1)] = None
    examples: Annotated[int | None, AtLeast(1)] = None
    replicates: Annotated[int, AtLeast(1)] = 3
    seed: Annotated[int, AtLeast(0)] = 0
    epochs: Annotated[int | None, AtLeast(1)] = None
    budget: str = "5m"
    full: bool = False
    features: AnyFeatures = None

    def __post_init__(self) -> None:
        check_fields(self)
        object.__setattr__(self, "features", frozen(self.features))
        check_own_code(self.coder)
        duration(self.budget)

    def stages(self, device: str = "cpu") -> Stages[DifficultyAnswer]:
        """For one task after another its labels' code, then a network's information."""
        given = tasks(self.data)
        for task in map(training_part, given):
            check_features(self.features, len(task), task.target)
        learners = [learner_for(task, self.model, self.epochs) for task in given]
        sizes = self._sizes(given, learners)
        parts = comparable([self._cut(task, sizes) for task in given])
        found: list[TaskDifficulty] = []
        for task, part, learner in zip(given, parts, learners, strict=True):
            whole = training_part(task)
            some = self.examples or min(MOST_CODED, len(whole), sizes.examples or len(whole))
            sender = Mixed(features=self.features)
            curves = yield label_looks(whole, sender, None, self.replicates, self.seed, some, device)
            seeds = range(self.seed, self.seed + self.replicates)
            known = yield from train_then_code(part, learner, self.coder, seeds, device)
            found.append(TaskDifficulty(task.name, LabelCode(whole, curves), known, part))
            yield Rows(found[-1].rows())
        return DifficultyAnswer(self, tuple(found), sizes)

    def _sizes(self, given: Sequence[Task], learners: Sequence[Learner]) -> Sizes:
        """What was asked for, and where nothing was, what the budget allows."""
        asked = Sizes(self.examples, self.train, self.k)
        if self.full:
            return asked
        works = []
        for task, learner in zip(given, learners, strict=True):
            coded, pool = room(task, self.k)
            labels = self.examples or min(MOST_CODED, len(training_part(task)))
            works.append(Work(task, learner, coded, self.train or pool, labels))
        allowed = affordable(works, self.coder, self.replicates, duration(self.budget))
        return Sizes(*(a if a is not None else b for a, b in zip(astuple(asked), astuple(allowed), strict=True)))

    def _cut(self, task: Task, sizes: Sizes) -> Partition:
        """The partition that was asked for; what the budget chose is no more than the task has."""
        k = self.k if sizes.k in (None, self.k) else min(sizes.k, room(task)[0])
        train = self.train if sizes.train in (None, self.train) else min(sizes.train, room(task, k)[1])
        return partition(task, k=k, train=train)


@dataclass(frozen=True)
class TaskDifficulty:
    """What is found for one task: its labels' curves, and what the network knows."""

    name: str
    labels: LabelCode
    known: TaskInformation
    parts: Partition

    def rows(self) -> tuple[Row, ...]:
        """All quantities, the codelength first."""
        lengths = tuple(Row({"task": self.name}, row.measurement) for row in self.labels.rows())
        return lengths + self._noise() + self.known.rows(self.name)

    def _noise(self) -> tuple[Row, ...]:
        """What label noise costs of the labels that are sent, where it is known."""
        nats = massart_noise(self.labels.task)
        if nats is None:
            return ()
        n = len(self.labels.curves[0])
        receipt = Receipt("label noise in closed form", data=self.labels.task.fingerprint[:16], n=n)
        return (Row({"task": self.name}, Measurement("n h(noise)", n * nats, 0.0, bound=Bound.EXACT, receipt=receipt)),)

    @property
    def place(self) -> Place:
        """What is drawn of it beside other tasks."""
        measured = {row.measurement.quantity: row.measurement for row in self.known.rows(self.name)}
        return Place(self.name, noise_of(self.labels.task), measured)


@dataclass(frozen=True)
class DifficultyAnswer:
    """What `Difficulty` comes to."""

    question: Difficulty
    found: tuple[TaskDifficulty, ...]
    sizes: Sizes

    @property
    def title(self) -> str:
        """Difficulty of these tasks."""
        return f"Difficulty of {', '.join(one.name for one in self.found)}"

    def record(self) -> Record:
        """One row a task and quantity."""
        return Record.of(row for one in self.found for row in one.rows())

    def figures(self) -> list[Figure]:
        """Tasks side by side, and against noise; what labels cost, and what training saves."""
        places = [one.place for one in self.found]
        several = [*against_noise(places), *side_by_side(places)]
        named = [figures.NamedCurves(one.name, one.labels.curves) for one in self.found]
        saved = [figures.saving(one.name, one.known.initial, one.known.trained) for one in self.found]
        return [*several, *figures.codes(named), *saved]

    def sentence(self) -> str:
        """How few bits, and how many of them a network learns."""
        return wording.sentences(self.record())

    def choices(self) -> Mapping[str, str]:
        """The networks, how each task was parted, and what the budget allowed."""
        question = self.question
        models = dict.fromkeys(model_name(one.labels.task, question.model) for one in self.found)
        told = {"Network": ", ".join(models)} | told_of(question.features)
        told |= {one.name: "; ".join(one.parts.notes) for one in self.found}
        if self.sizes != Sizes(question.examples, question.train, question.k):
            told["Sizes"] = (
                f"as far as {question.budget} reach on two cores, the same for all data sets: "
                f"{self.sizes.told()}; full takes all there is, a longer budget more"
            )
        return told

    def write(self, folder: Path) -> Mapping[str, str]:
        """No file but the report."""
        return {}


def difficulty(*data: Any, context: RunContext = RunContext(), **options: Any) -> Record:
    """How hard is a task, and how much of it does a network learn? `Difficulty` asked at once; its table.

    >>> from infoscope.models import MLP
    >>> table = difficulty("iris", model=MLP((8,)), coder=Replay(replays=1, start=8), k=20, replicates=1)
    >>> [row.measurement.quantity for row in table][:3]
    ['L(y|x)', 'n log C', 'n H(Y)']
    """
    return ask(Difficulty([task for one in data for task in tasks(one)], **options), context).record()


def comparable(parts: Sequence[Partition]) -> list[Partition]:
    """The partitions with the smallest k of all, so that their informations can be compared."""
    k = min(len(p.coded) for p in parts)
    return [p.coding(k) for p in parts]
