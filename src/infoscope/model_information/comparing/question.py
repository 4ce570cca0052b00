"""The question of comparing data sets: what does one hold about a task that the other does not, and what both?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from infoscope.data.combine import like, union
from infoscope.data.named import AnyTask, Tasks, task_of, tasks, training_part
from infoscope.data.partition import partition, room
from infoscope.data.targets import Classes
from infoscope.data.task import Task
from infoscope.ensembles.population import Member, Population
from infoscope.ensembles.train import Train
from infoscope.figure import Figure
from infoscope.measurement import Status
from infoscope.model_information.codes import code_looks
from infoscope.model_information.comparing.parts_of_information import Parts
from infoscope.model_information.information import check_own_code
from infoscope.models.default import Model, learner_for, model_name
from infoscope.options import AtLeast, check_fields
from infoscope.prequential.encode import Coder
from infoscope.prequential.loss_curve import LossCurve
from infoscope.prequential.replay import Replay
from infoscope.record import Record
from infoscope.run.context import RunContext
from infoscope.run.look import Looks
from infoscope.run.question import Stages, ask
from infoscope.training.check_network import check_network
from infoscope.training.learner import Learner

CODED, TRAINED = 1000, 2000
"""Examples that are coded, and trained on of each data set, at most, unless said otherwise."""


@dataclass(frozen=True)
class Compare:
    """What does one data set hold about a task that another does not, and what do both hold?

    Networks are trained on A, on B and on both; with L(M, T) what each knows of T, unique to A is
    L(M_AB, T) − L(M_B, T), shared is L(M_A, T) + L(M_B, T) − L(M_AB, T), below 0 a synergy: together they tell what
    neither tells alone. "Measuring Information Transfer in Neural Networks" (Zhang et al. 2020).

    Attributes
    ----------
    data
        Two data sets, or parts of one: digits:classes=0,1,2, digits:rows=0..900, mnist:train.
    on
        The task about which they are asked. Its test split, or a third of it, is coded, and trained on by none.
    model
        Network: a name from `infoscope list models`, or module:factory. Default: mlp, or cnn from 16 pixels on.
    coder
        The network's own code: replay, entk or blocks, with options as in "replay(replays=16)".
    k
        Examples of the task to code. Default: the test split or a third, at most 1,000.
    train
        Examples to train on of each data set, the same number for both. Default: what the smaller has, at most 2,000.
    replicates
        Networks for each, with a coding order of their own. The standard error is over them; one gives none.
    seed
        The first of their seeds.
    epochs
        Most epochs of a training, which ends earlier when it has settled. Default: the recipe's, 1000.
    """

    data: Tasks
    on: AnyTask
    model: Model = None
    coder: Coder = Replay()
    k: Annotated[int | None, AtLeast(1)] = None
    train: Annotated[int | None, AtLeast(1)] = None
    replicates: Annotated[int, AtLeast(1)] = 3
    seed: Annotated[int, AtLeast(0)] = 0
    epochs: Annotated[int | None, AtLeast(1)] = None

    def __post_init__(self) -> None:
        check_fields(self)
        check_own_code(self.coder)

    def stages(self, device: str = "cpu") -> Stages[CompareAnswer]:
        """Networks on A, B and both, then their codes of the task, and the untrained network's."""
        on = task_of(self.on)
        coded, taught = self._taught(on)
        learner = learner_for(coded, self.model, self.epochs)
        _check_outputs(learner, coded)
        seeds = range(self.seed, self.seed + self.replicates)
        trained: dict[str, Population] = {}
        for one in taught:
            members = (Member(learner, one.train, seed, one.validation, f"{one.name}, seed {seed}") for seed in seeds)
            trained[one.name] = yield Train(tuple(members))
        common = [seed for seed in seeds if all(seed in population.seeds for population in trained.values())]
        if not common:
            raise ValueError("no seed trained on all of the data sets; lower the learning rate")
        places = {name: [p.trained(p.seeds.index(seed)) for seed in common] for name, p in trained.items()}
        starts = {"": [learner.starting_from(one.initial) for one in places[taught[0].name]]}
        learners = starts | {
            name: [learner.starting_from(t.weights) for t in several] for name, several in places.items()
        }
        looks = [
            look
            for name, several in learners.items()
            for look in code_looks(
                coded, self.coder, several, seeds=common, device=device, label=f"{name or 'initial'} code"
            )
        ]
        curves: list[LossCurve] = yield Looks(tuple(looks))
        n = len(common)
        codes = {name: curves[i * n : (i + 1) * n] for i, name in enumerate(learners)}
        unsettled = any(not one.converged for several in places.values() for one in several)
        status = frozenset({Status.NOT_CONVERGED} if unsettled else ())
        lost = [f"left out: {name}: {why}" for p in trained.values() for name, why in p.failed.items()]
        a, b, both = (one.name for one in taught)
        notes = (_sizes(taught), *(note for one in taught for note in one.notes), *lost)
        found = Parts(coded.name, a, b, codes[""], codes[a], codes[b], codes[both], status, notes)
        return CompareAnswer(self, found, coded)

    def _taught(self, on: Task) -> tuple[Task, tuple[Taught, Taught, Taught]]:
        """The examples that are coded, and what each of A, B and both is trained on."""
        given = tasks(self.data)
        if len(given) != 2:
            raise ValueError(f"two data sets are compared, and {len(given)} were given; name two, or two parts of one")
        coded = partition(on, k=self.k or min(CODED, room(on)[0])).coded
        pools = [_without(_met(training_part(task), on), coded) for task in given]
        sizes = [len(pool.task) - _aside(len(pool.task)) for pool in pools]
        n = self.train or min(TRAINED, *sizes)
        for pool, size in zip(pools, sizes, strict=True):
            if n > size:
                raise ValueError(f"{pool.name!r} has {size} examples to train on; {n} were asked for, of each")
        a, b = (_cut(pool, n) for pool in pools)
        both = Taught(f"{a.name} and {b.name}", _all(a.train, b.train), _all(a.validation, b.validation), ())
        return coded, (a, b, both)


@dataclass(frozen=True)
class Taught:
    """What networks of one name are trained on, and stopped by."""

    name: str
    train: Task
    validation: Task
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Pool:
    """What of a data set may be trained on."""

    name: str
    task: Task
    notes: tuple[str, ...]


def _met(task: Task, on: Task) -> Task:
    """The data set with the task's image size and classes."""
    if type(task.target) is not type(on.target):
        raise ValueError(f"{task.name!r} has {task.target} and {on.name!r} {on.target}; compare like with like")
    if isinstance(on.target, Classes):
        return task if task.shape == on.shape and task.target == on.target else like(task, on)
    if task.target != on.target or task.shape != on.shape:
        raise ValueError(
            f"{task.name!r} has examples of shape {task.shape} and {task.target}, {on.name!r} of {on.shape} and "
            f"{on.target}; give data sets of one kind"
        )
    return task


def _without(task: Task, coded: Task) -> _Pool:
    """What of a data set is not coded, neither as the same example nor as an equal input, in an order of its own."""
    seen = np.isin(task.ids, coded.ids) | np.isin(task.content_hashes, coded.content_hashes)
    rows = np.flatnonzero(~seen)
    if len(rows) < 4:
        raise ValueError(f"{task.name!r} has {len(rows)} examples that are not coded; give more, or code fewer by k")
    notes = (f"{int(seen.sum())} examples of {task.name} are coded and not trained on",) if seen.any() else ()
    return _Pool(task.name, (task[rows] if seen.any() else task).shuffled(0), notes)


def _aside(n: int) -> int:
    """How many of n stop a training."""
    return max(1, n // 10)


def _cut(pool: _Pool, n: int) -> Taught:
    """The first n to train on, and one for nine of them to stop the training."""
    return Taught(pool.name, pool.task[:n], pool.task[n : n + max(1, n // 9)], pool.notes)


def _all(a: Task, b: Task) -> Task:
    """The union, an example that both have once."""
    rest = np.flatnonzero(~np.isin(b.ids, a.ids))
    return union(a, b[rest]) if len(rest) else a


def _sizes(taught: Sequence[Taught]) -> str:
    return "trained on " + ", ".join(f"{len(one.train)} of {one.name}" for one in taught)


def _check_outputs(learner: Learner, task: Task) -> None:
    """ValueError, from the network itself, unless it gives what the task asks for."""
    if learner.recipe.loss is None:
        check_network(learner.network(task.shape, task.target.outputs, 0), task)


@dataclass(frozen=True)
class CompareAnswer:
    """What `Compare` comes to."""

    question: Compare
    found: Parts
    coded: Task

    @property
    def title(self) -> str:
        """What two data sets hold about a task."""
        return f"What {self.found.a} and {self.found.b} hold about {self.found.task}"

    def record(self) -> Record:
        """Unique, shared, their shares, and what each network knows."""
        return Record.of(self.found.rows())

    def figures(self) -> list[Figure]:
        """The parts as bars."""
        return [self.found.figure()]

    def sentence(self) -> str:
        """What is unique, what shared."""
        return self.found.sentence()

    def choices(self) -> Mapping[str, str]:
        """The network and the sizes."""
        return {"Network": model_name(self.coded, self.question.model), "Sizes": "; ".join(self.found.notes)}

    def write(self, folder: Path) -> Mapping[str, str]:
        """No file but the report."""
        return {}


def compare(*data: Any, on: Any, context: RunContext = RunContext(), **options: Any) -> Record:
    """What does one data set hold about a task that another does not? `Compare` asked at once; its table.

    >>> from infoscope.models import MLP
    >>> table = compare("iris:rows=0..75", "iris:rows=75..", on="iris", model=MLP((4,)), k=20, replicates=1, epochs=2,
    ...                 coder=Replay(replays=1, start=8))
    >>> [row.measurement.quantity for row in table if row.coordinates["part"] == "both"]
    ['shared', 'shared share']
    """
    given = [task for one in data for task in tasks(one)]
    return ask(Compare(given, Task.of(on), **options), context).record()
