"""The question of distillation: how much does a teacher tell a student?"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Annotated, Any

from infoscope import __version__
from infoscope.data.corruption import Massart
from infoscope.data.named import AnyTask, task_of
from infoscope.data.partition import Partition, partition, room
from infoscope.data.targets import Classes
from infoscope.data.task import Task
from infoscope.ensembles.population import Member, Population
from infoscope.ensembles.train import Train
from infoscope.measurement import Measurement, Receipt
from infoscope.model_information.codes import code_looks
from infoscope.model_information.cost import LearningTime, PassTime
from infoscope.model_information.distillation.answer import CONTROLS, DistillationAnswer, Gain, Setting
from infoscope.model_information.performance import accuracy
from infoscope.models.default import Model, Models, learner_for, model_name, several
from infoscope.options import AtLeast, check_fields
from infoscope.prequential.encode import Coder
from infoscope.prequential.loss_curve import LossCurve
from infoscope.prequential.replay import Replay
from infoscope.prequential.synced import Synced, Teaches, check_teacher
from infoscope.record import Record
from infoscope.run.context import RunContext
from infoscope.run.look import Look, Looks
from infoscope.run.question import Request, Rows, Stages, ask
from infoscope.training.fit import Trained, fit
from infoscope.training.learner import Learner, copy_weights
from infoscope.training.predict import Predictions, predict
from infoscope.training.recipe import Recipe
from infoscope.training.soft_targets import Discounted, TaughtBy, distilling

MOST = 1000
"""Examples that are learned, and coded afterwards, unless more are asked for: each teacher learns them many times."""


@dataclass(frozen=True)
class Distillation:
    """How much does a teacher tell a student? Synced distillation, for several teachers, shares and temperatures.

    I = L(M_{D+D_T}, D) − L(M_D, D), eq. (8) of "Model Information as an Analysis Tool in Deep Learning", §7, read in
    two ways. `synced`: bits that the student's code of D saves with a teacher who is trained on the labels already
    sent, anew for each prefix, so that none leaks. `fresh`: eq. (2) on examples that neither has seen, of a student who
    learned D with a teacher of D, less that of one who learned D alone. Both take equal steps with a teacher as
    without, from the same start; differences are paired.

    Attributes
    ----------
    data
        The data set.
    teacher
        Networks of the teachers, by name or module:factory. They are trained here: one that comes with weights may
        have seen the labels that are sent, and is refused.
    student
        The student's network. Default: mlp, or cnn from 16 pixels on.
    alpha
        The teacher's share α of the loss, eq. (17), one or more; 0, the student alone, is always there.
    temperature
        Of the soft targets, T in eq. (18), one or more.
    coder
        The student's own code, replay with its options. Regressions on the student's features are left out: they learn
        labels at once, whatever a teacher says.
    controls
        Teachers that know nothing of the inputs, beside: one of labels drawn at random, and smoothed labels.
    everywhere
        The synced teacher speaks of all inputs, those whose labels are to come included, in place of the prefix alone.
    refit
        The synced teacher is trained anew whenever the prefix has grown by this factor. A smaller one costs more, and
        lets him speak of more examples: of those that he has not learned yet he is silent.
    train
        Examples to learn, whose labels the synced code sends. Default: what is left, at most 1000.
    k
        Fresh examples. Default: the test split or a third, at most 1000.
    replicates
        Coding orders and networks. The standard error is over them; one gives none.
    seed
        The first of their seeds.
    epochs
        Most epochs of a training, which ends earlier when it has settled. Default: the recipe's, 1000.
    """

    data: AnyTask
    teacher: Models
    student: Model = None
    alpha: tuple[float, ...] = (0.5,)
    temperature: tuple[float, ...] = (4.0,)
    coder: Coder = Replay(last_layer=None, nearby=None)
    controls: bool = False
    everywhere: bool = False
    refit: float = 1.5
    train: Annotated[int | None, AtLeast(2)] = None
    k: Annotated[int | None, AtLeast(1)] = None
    replicates: Annotated[int, AtLeast(1)] = 3
    seed: Annotated[int, AtLeast(0)] = 0
    epochs: Annotated[int | None, AtLeast(1)] = None

    def __post_init__(self) -> None:
        check_fields(self)
        if not isinstance(self.coder, Replay):
            raise ValueError(f"a student is coded step by step, by replay; {type(self.coder).__name__} takes no steps")
        if not self.teacher or not self.temperature:
            raise ValueError("give one teacher and one temperature or more")
        for setting in product(self.alpha, self.temperature):
            Synced(None, *setting, refit=self.refit)

    def stages(self, device: str = "cpu") -> Stages[DistillationAnswer]:
        """The plain student, the teachers, then for each setting the synced code and the student of its teacher."""
        task = task_of(self.data)
        if not isinstance(task.target, Classes):
            raise ValueError(f"a teacher's soft targets are of classes; {task.name!r} has {task.target}")
        student = learner_for(task, self.student, self.epochs)
        teachers = {model_name(task, one): learner_for(task, one, self.epochs) for one in several(self.teacher)}
        for teacher in teachers.values():
            Synced(teacher)  # refuses one that comes with weights
            check_teacher(teacher, task.x, task.target)
        run = _Run(self, self._parts(task), student, range(self.seed, self.seed + self.replicates), device)
        alone, learners = yield from run.alone()
        found: list[Gain] = [alone]
        asked: list[tuple[str, Learner, Teaches]] = [(name, one, "labels") for name, one in teachers.items()]
        if self.controls:
            controls: list[tuple[str, Learner, Teaches]] = [(what, asked[0][1], what) for what in CONTROLS]
            asked += controls
        for name, teacher, teaches in asked:
            taught = yield from run.taught_by(name, teacher, teaches, alone, learners)
            found += taught
            yield Rows(tuple(row for one in taught for row in one.rows(task.name)))
        return DistillationAnswer(task.name, model_name(task, self.student), tuple(found), run.parts.notes)

    def _parts(self, task: Task) -> Partition:
        coded, _ = room(task)
        k = min(MOST, coded) if self.k is None else self.k
        train = min(MOST, room(task, k)[1]) if self.train is None else self.train
        return partition(task, k=k, train=train)


def distillation(data: Any, teacher: Models, *, context: RunContext = RunContext(), **options: Any) -> Record:
    """How much does a teacher tell a student? `Distillation` asked at once; its table."""
    return ask(Distillation(data, teacher, **options), context).record()


@dataclass(frozen=True)
class _Run:
    """What all settings of a question share."""

    question: Distillation
    parts: Partition
    student: Learner
    seeds: Sequence[int]
    device: str

    def alone(self) -> Generator[Request, Any, tuple[Gain, list[Learner]]]:
        """The student without a teacher, and for each seed its learner with as many epochs as suit it."""
        stopped: list[Trained] = yield self._fits([self.student] * len(self.seeds))
        learners = [replace(self.student, recipe=self._recipe(one)) for one in stopped]
        first: list[LossCurve] = yield Looks(self._codes(self.parts.coded, [self.student] * len(self.seeds)))
        return (yield from self._gain(Setting("none", 0.0, 1.0), self.question.coder, learners, first)), learners

    def taught_by(
        self, name: str, teacher: Learner, teaches: Teaches, alone: Gain, learners: Sequence[Learner]
    ) -> Generator[Request, Any, list[Gain]]:
        """The student with this teacher, at every share and temperature."""
        trained = yield from self._teachers(teacher, teaches)
        found, task = [], self.parts.train
        for alpha, temperature in product(self.question.alpha, self.question.temperature):
            if not alpha:
                continue
            asked = self.question
            assert isinstance(asked.coder, Replay)
            coder = Synced(teacher, alpha, temperature, teaches, asked.everywhere, asked.coder, refit=asked.refit)
            loss = Discounted(task.target.loss, alpha, temperature, None if trained else coder.smoothing)
            taught = [
                distilling(one, loss, TaughtBy(by, task.shape, task.target.outputs, alpha, temperature) if by else None)
                for one, by in zip(learners, trained or [None] * len(learners), strict=True)
            ]
            setting = Setting(name, alpha, temperature)
            found.append((yield from self._gain(setting, coder, taught, alone.untrained, trained, alone)))
        return found

    def _teachers(self, teacher: Learner, teaches: Teaches) -> Generator[Request, Any, list[Learner]]:
        """For each seed the teacher as it was trained on all of D; none where labels are only smoothed."""
        if teaches == "label-smoothing":
            return []
        train, stops = self.parts.train, self.parts.validation
        members = []
        for seed in self.seeds:
            some = (train, stops)
            if teaches == "random-labels":
                some = (train.corrupted(Massart(1.0), seed), stops.corrupted(Massart(1.0), seed))
            members.append(Member(teacher, some[0], seed, some[1]))
        population: Population = yield Train(tuple(members))
        if population.failed:
            raise ValueError(f"a teacher's training failed: {'; '.join(population.failed.values())}")
        return [teacher.starting_from(population.trained(i).weights) for i in range(len(population))]

    def _gain(
        self, setting: Setting, coder: Coder, learners: Sequence[Learner], untrained: Sequence[LossCurve],
        teachers: Sequence[Learner] = (), alone: Gain | None = None,
    ) -> Generator[Request, Any, Gain]:  # fmt: skip
        """One setting: the code of D, the student of all of D, and its code of fresh examples."""
        same = [self.student] * len(self.seeds)
        curves: list[LossCurve] = yield Looks(
            code_looks(self.parts.train, coder, same, seeds=self.seeds, device=self.device, label=setting.teacher)
        )
        trained: list[Trained] = yield self._fits(learners)
        students = [self.student.starting_from(one.weights) for one in trained]
        fresh: list[LossCurve] = yield Looks(self._codes(self.parts.coded, students))
        right = yield from self._accuracy(students)
        teacher = (yield from self._accuracy(teachers)) if teachers else None
        return Gain(setting, curves, untrained, fresh, right, teacher, alone)

    def _codes(self, task: Task, learners: Sequence[Learner]) -> tuple[Look[LossCurve], ...]:
        return code_looks(task, self.question.coder, learners, seeds=self.seeds, device=self.device)

    def _recipe(self, stopped: Trained) -> Recipe:
        """As many epochs as gave the student alone its least held-out loss, for all: equal steps."""
        losses = stopped.validation_losses
        epochs = losses.index(min(losses)) + 1 if losses else stopped.epochs
        return replace(self.student.recipe, epochs=epochs, patience=None)

    def _fits(self, learners: Sequence[Learner]) -> Looks[Trained]:
        parts, device = self.parts, self.device
        return Looks(
            tuple(
                Look(
                    _fitted,
                    (learner, parts.train, parts.validation, seed, device),
                    Trained,
                    label=f"student of {parts.train.name}, seed {seed}",
                    kind="trainings",
                    seconds=LearningTime.of(self.student, parts.train, bool(len(parts.validation))),
                    stand_in=partial(_untrained, learner, parts.train, seed),
                )
                for learner, seed in zip(learners, self.seeds, strict=True)
            )
        )

    def _accuracy(self, learners: Sequence[Learner]) -> Generator[Request, Any, Measurement]:
        """Of networks as they stand, on the fresh examples."""
        coded = self.parts.coded
        guesses: list[Predictions] = yield Looks(
            tuple(
                Look(
                    predict,
                    (coded, learner, seed, self.device),
                    Predictions,
                    kind="predictions",
                    seconds=PassTime.of(predict, coded, learner, seed, self.device),
                    stand_in=partial(Predictions.of_nobody, coded),
                )
                for learner, seed in zip(learners, self.seeds, strict=True)
            )
        )
        receipt = Receipt("network on unseen examples", coded.fingerprint[:16], n=len(coded),
                          seeds=tuple(self.seeds), over="networks", version=__version__)  # fmt: skip
        p = {seed: guess.p.numpy() for seed, guess in zip(self.seeds, guesses, strict=True)}
        return accuracy(p, coded.labels.numpy(), receipt)


def _fitted(learner: Learner, task: Task, validation: Task, seed: int, device: str) -> Trained:
    return fit(learner, task, validation, seed=seed, device=device)


def _untrained(learner: Learner, task: Task, seed: int) -> Trained:
    """A stand-in for a training: the network as it starts."""
    start = copy_weights(learner.network(task.shape, task.target.outputs, seed))
    return Trained(start, start, (0.0,), (0.0,), True)
