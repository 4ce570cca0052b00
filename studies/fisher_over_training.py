"""Fisher information over training: does it rise and then fall, and what do deficits such as a blur do to it?"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np

from infoscope.data.deficit import DEFICITS
from infoscope.data.task import Task
from infoscope.dynamics.fisher_training.answer import FisherTrainingAnswer
from infoscope.dynamics.fisher_training.curve import CALIBRATED, RAW, Watching
from infoscope.dynamics.fisher_training.watched_trainings import WatchedTraining, WatchTrainings
from infoscope.ensembles.population import Member
from infoscope.figure import Figure, Line
from infoscope.measurement import NATS_PER_BIT, Measurement
from infoscope.models import MODELS, SmallCNN
from infoscope.options import AtLeast, check_fields
from infoscope.record import Row
from infoscope.run.look import Look, Looks
from infoscope.run.question import Stages
from infoscope.run.study import Claim, StudyAnswer, Table, Verdict, judged
from infoscope.training.learner import Learner
from infoscope.training.predict import Predictions, predict
from infoscope.training.recipe import SGD, Recipe

NONE = "none"
CLEAN = f"{NONE}, half"

NETWORKS = {"small": SmallCNN((8, 16, 32), 64), "resnet20": MODELS["resnet20"]}


@dataclass(frozen=True)
class Condition:
    """A deficit, and for how many epochs it lasts: a network trains under it, and then without."""

    deficit: str
    share: str
    epochs: int

    @property
    def name(self) -> str:
        """Such as "blur, half"."""
        return f"{self.deficit}, {self.share}"


@dataclass(frozen=True)
class FisherOverTraining:
    """Fisher information over training: it rises and then falls, and a blur keeps it up.

    After Achille, Rovere & Soatto (2019), "Critical Learning Periods in Deep Networks", and the slides of "Information
    in the Weights". Images are blurred (32 → 8 → 32), turned over, noise, or have the names of other classes for the
    first part of a training, and are as they are for the rest. Beside tr F stands tr F over the mean of p (1 − p), from
    which the mere confidence of the network is taken off. tr F is of the examples that the network is trained on at
    that step. Between the two parts every network begins anew with SGD, whose momentum is then 0, those without a
    deficit too.

    Attributes
    ----------
    data
        A folder with cifar10 in Hub layout.
    train
        Examples to train on.
    test
        Examples that accuracies are of.
    epochs
        Of a training, both parts together; a multiple of 4.
    network
        small (a CNN of five layers) or resnet20.
    every
        Steps from one measurement to the next.
    replicates
        Networks of each kind.
    seed
        The first of their seeds.
    """

    data: Path
    train: Annotated[int, AtLeast(100)] = 640
    test: Annotated[int, AtLeast(100)] = 2000
    epochs: Annotated[int, AtLeast(4)] = 40
    network: str = "small"
    every: Annotated[int, AtLeast(1)] = 10
    replicates: Annotated[int, AtLeast(2)] = 3
    seed: Annotated[int, AtLeast(0)] = 0

    paper: ClassVar[Mapping[str, Any]] = {
        "train": 50_000, "test": 10_000, "epochs": 300, "network": "resnet20", "every": 500, "replicates": 5,
    }  # fmt: skip

    def __post_init__(self) -> None:
        check_fields(self)
        if self.network not in NETWORKS:
            raise ValueError(f"network is {self.network!r}; take {' or '.join(NETWORKS)}")
        if self.epochs % 4:
            raise ValueError(
                f"epochs is {self.epochs}; deficits last a quarter of them, a half or all: a multiple of 4"
            )

    def stages(self, device: str = "cpu") -> Stages[StudyAnswer]:
        """The first parts of all trainings, then the second ones, then what the networks say of the test examples."""
        task, test = self._parts()
        under = {name: task.corrupted(deficit, self.seed) for name, deficit in DEFICITS.items()} | {NONE: task}
        ones = [(c, s) for c in self._conditions() for s in range(self.seed, self.seed + self.replicates)]
        watching = Watching(self.every)
        first: list[WatchedTraining] = yield WatchTrainings(
            tuple(Member(self._learner(c.epochs), under[c.deficit], s, name=f"{c.name}, seed {s}") for c, s in ones),
            watching,
        )
        whole = dict(zip(ones, first, strict=True))
        going = [one for one in ones if one[0].epochs < self.epochs and not whole[one].stopped]
        then: list[WatchedTraining] = yield WatchTrainings(
            tuple(
                Member(
                    self._learner(self.epochs - c.epochs).starting_from(whole[c, s].weights), task, s,
                    name=f"after {c.name}, seed {s}",
                )
                for c, s in going
            ),
            watching,
        )  # fmt: skip
        whole |= {one: _joined(whole[one], after) for one, after in zip(going, then, strict=True)}
        answers = {
            c.name: FisherTrainingAnswer(
                c.name, self.network, tuple(s for d, s in ones if d == c), tuple(whole[d, s] for d, s in ones if d == c)
            )
            for c in self._conditions()
        }
        found: list[Predictions] = yield Looks(tuple(self._look(test, whole[one], one[1], device) for one in ones))
        scores: dict[str, dict[int, float]] = {}
        for (c, s), one in zip(ones, found, strict=True):
            right = (one.p.argmax(1) == test.labels).double().mean()
            scores.setdefault(c.name, {})[s] = math.nan if whole[c, s].stopped else float(right)
        accuracies = {k: Measurement.from_replicates("accuracy", v, unit="1") for k, v in scores.items()}
        return self._told(answers, accuracies)

    def _parts(self) -> tuple[Task, Task]:
        task = Task.from_dataset(str(self.data / "cifar10"))
        train, test = task["train"].shuffled(self.seed)[: self.train], task["test"].shuffled(self.seed)[: self.test]
        mean, std = train.array.mean((0, 2, 3), keepdim=True), train.array.std((0, 2, 3), keepdim=True)
        parts = [
            Task.from_arrays((one.array - mean) / std, one.labels.numpy(), alphabet=task.alphabet, name=name)
            for one, name in ((train, "cifar10"), (test, "cifar10 test"))
        ]
        return parts[0], parts[1]

    def _conditions(self) -> tuple[Condition, ...]:
        half = self.epochs // 2
        blurs = [
            Condition("blur", name, n) for name, n in (("a quarter", half // 2), ("half", half), ("all", 2 * half))
        ]
        others = ("vertical-flip", "permuted-classes", "noise")
        return (Condition(NONE, "half", half), *blurs, *(Condition(name, "half", half) for name in others))

    def _learner(self, epochs: int) -> Learner:
        recipe = Recipe(SGD(0.03, 0.9, weight_decay=0.001), batch=64, epochs=epochs, patience=None)
        return Learner(NETWORKS[self.network], recipe)

    def _look(self, test: Task, one: WatchedTraining, seed: int, device: str) -> Look[Predictions]:
        learner = self._learner(1)
        if not one.stopped:
            learner = learner.starting_from(one.weights)
        return Look(
            predict, (test, learner, seed, device), Predictions, label="test examples", kind="passes",
            stand_in=partial(Predictions.of_nobody, test),
        )  # fmt: skip

    def _told(self, answers: Mapping[str, FisherTrainingAnswer], accuracies: Mapping[str, Measurement]) -> StudyAnswer:
        rows = [Row({"deficit": name, **row.coordinates}, row.measurement)
                for name, one in answers.items() for row in one.record()]  # fmt: skip
        rows += [Row({"deficit": name}, m) for name, m in accuracies.items()]
        peaks = {name: [str(one.times[one.peak(q)].step) for q in (RAW, CALIBRATED)] for name, one in answers.items()}
        cells = [
            (
                name, peaks[name][0], one.rise(), _fall(one, RAW), peaks[name][1],
                one.rise(CALIBRATED), _fall(one, CALIBRATED), accuracies[name],
            )
            for name, one in answers.items()
        ]  # fmt: skip
        columns = (
            "deficit", "tr F highest at step", "doublings until then", "halvings after", "calibrated: highest at step",
            "doublings until then", "halvings after", "accuracy",
        )  # fmt: skip
        last = next(iter(answers.values())).times[-1].step
        notes = (
            f"{self.epochs} epochs, {last} steps; ± one standard error over {self.replicates} networks. Halvings are "
            "from the tenth of the training in which the other networks are highest to the last tenth, by means of "
            "logarithms.",
        )
        table = Table("Rise and fall", columns, cells, notes)
        drawn = [_figure(answers, quantity) for quantity in (RAW, CALIBRATED)]
        return StudyAnswer(
            "Fisher information over training", rows, (table,), self._claims(answers, accuracies), drawn=drawn
        )

    def _claims(
        self, answers: Mapping[str, FisherTrainingAnswer], accuracies: Mapping[str, Measurement]
    ) -> tuple[Claim, ...]:
        plain, held = answers[CLEAN], Verdict.DIFFERENT_SCALE
        claims = []
        for quantity, words in ((RAW, "tr F"), (CALIBRATED, "the calibrated tr F")):
            rise, fall = plain.rise(quantity), _fall(plain, quantity)
            why = f"{rise.value:.2f} ± {rise.stderr:.2f} doublings"
            claims.append(Claim(f"{words} rises early in training", judged(rise.value, rise.stderr, held), why))
            between = "from the tenth of the training where it is highest to the last"
            why = f"{fall.value:.2f} ± {fall.stderr:.2f} halvings {between}"
            verdict = judged(fall.value, fall.stderr, held)
            if not any(fall.replicates.values()):
                verdict, why = Verdict.NOT_REPRODUCED, "it is highest in the last tenth of the training"
            claims.append(Claim(f"{words} falls later in training", verdict, why))
            for name in ("blur, half", "blur, all"):
                value, error = _above(answers[name], plain, quantity, _end_of(self, name, plain))
                why = f"{value:.2f} ± {error:.2f} doublings above"
                text = f"with {name.replace(', ', ' for ')} of the epochs {words} is higher when the blur ends"
                claims.append(Claim(text, judged(value, error, held), why))
        for name in ("blur, half", "vertical-flip, half"):
            lost = accuracies[CLEAN] - accuracies[name]
            why = f"{100 * lost.value:.1f} ± {100 * lost.stderr:.1f} points of accuracy"
            verdict = judged(lost.value, lost.stderr, held)
            if name.startswith("vertical"):
                verdict = {held: Verdict.NOT_REPRODUCED, Verdict.NOT_REPRODUCED: held}.get(verdict, verdict)
                claims.append(Claim("a vertical flip has no lasting effect", verdict, f"it costs {why}"))
            else:
                claims.append(Claim("a blur in the first half has a lasting effect", verdict, f"it costs {why}"))
        return tuple(claims)


def _joined(first: WatchedTraining, then: WatchedTraining) -> WatchedTraining:
    return dataclasses.replace(
        then, curve=first.curve.then(then.curve), seconds=first.seconds + then.seconds, stopped=then.stopped
    )


def _end_of(study: FisherOverTraining, name: str, plain: FisherTrainingAnswer) -> int:
    """The last place that was measured while the deficit lasted."""
    epochs = study.epochs if name.endswith("all") else study.epochs // 2
    last = plain.times[-1].step * epochs // study.epochs
    return max(i for i, when in enumerate(plain.times) if when.step <= last)


def _fall(one: FisherTrainingAnswer, quantity: str) -> Measurement:
    """Log2 of how much lower the last tenth of the training lies than the one where the other networks are highest.

    Single steps are too noisy for that, as 32 examples are looked at.
    """
    logs = np.log2([list(one.at(i, quantity).replicates.values()) for i in range(1, len(one.times))]).T
    tenths = np.stack([part.mean(1) for part in np.array_split(logs, min(10, logs.shape[1]), axis=1)], 1)
    found = {}
    for i, seed in enumerate(one.curves):
        highest = int(np.delete(tenths, i, 0).mean(0).argmax())
        found[seed] = float(tenths[i, highest] - tenths[i, -1])
    return Measurement.from_replicates("fall of tr F", found, unit="1")


def _above(one: FisherTrainingAnswer, other: FisherTrainingAnswer, quantity: str, place: int) -> tuple[float, float]:
    """Log2 of how much higher one lies at this place, and its error, paired by seeds."""
    values = {
        seed: math.log2(one.at(place, quantity).replicates[seed] / other.at(place, quantity).replicates[seed])
        for seed in one.curves
        if seed in other.curves
    }
    found = Measurement.from_replicates("rise of tr F", values, unit="1")
    return found.value, found.stderr


def _figure(answers: Mapping[str, FisherTrainingAnswer], quantity: str) -> Figure:
    scale, label = (NATS_PER_BIT, "tr F (bits an example)") if quantity == RAW else (1.0, "tr F / mean p (1 − p)")
    lines = []
    for name, one in answers.items():
        found: Sequence[Measurement] = [one.at(i, quantity) for i in range(len(one.times))]
        lines.append(Line(name, [t.step for t in one.times], [m.value / scale for m in found]))
    title = "Trace of the Fisher information" + (", calibrated" if quantity == CALIBRATED else "")
    return Figure(title, "step", label, lines, log_y=True)
