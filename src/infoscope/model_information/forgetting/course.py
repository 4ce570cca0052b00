"""The stages by which a chain of tasks is learned and examined, algorithm by algorithm."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infoscope.data.targets import Tokens
from infoscope.data.task import Task
from infoscope.method_text import text_of
from infoscope.model_information.codes import code_looks
from infoscope.model_information.forgetting.chain import Chain
from infoscope.model_information.forgetting.continual import ALGORITHMS, Algorithm, Lesson, candidates
from infoscope.model_information.forgetting.forgotten import UNTRAINED, Codes, Depth, Found, Place, as_said
from infoscope.model_information.forgetting.lessons import Exam, Importance, Learned, fisher_look, learn_look
from infoscope.model_information.heads import with_head
from infoscope.model_information.task_information import prediction_look
from infoscope.prequential.encode import Coder
from infoscope.prequential.fixed import Fixed
from infoscope.prequential.loss_curve import LossCurve
from infoscope.run.look import Look, Looks
from infoscope.run.question import Request
from infoscope.training.learner import Learner, Weights, copy_weights
from infoscope.training.predict import Predictions

Lessons = Mapping[int, Sequence[Lesson]]
"""What each seed's network has learned so far."""


@dataclass(frozen=True)
class Course:
    """A chain, how deep its tasks are looked into, by which coder, and the seeds of the networks that learn it."""

    chain: Chain
    depths: tuple[Depth, ...]
    coder: Coder
    algorithms: tuple[Algorithm, ...]
    seeds: Sequence[int]
    device: str

    def first(self) -> Generator[Request, Any, Lessons]:
        """The first task, which every algorithm learns alike."""
        damping = next((_damping(one) for one in self.algorithms if one.asks == "path"), None)
        students = {seed: self.chain.student(0) for seed in self.seeds}
        learned = yield from self._learned(0, students, "the first task", damping)
        if broken := [one.failed for one in learned.values() if one.failed]:
            raise ValueError(f"on {self.chain.names[0]}, the first task: {broken[0]}")
        lessons = {seed: self._lesson(0, one) for seed, one in learned.items()}
        if "fisher" in {one.asks for one in self.algorithms}:
            lessons = yield from self._with_fisher(0, lessons)
        return {seed: [one] for seed, one in lessons.items()}

    def settled(self, algorithm: Algorithm, first: Lessons) -> Generator[Request, Any, Algorithm]:
        """The strength at which the first two tasks together cost least on examples set aside, by the first seed."""
        tried = candidates(algorithm)
        if len(tried) == 1:
            return tried[0]
        seed = min(first)
        marks: list[Learned] = yield Looks(
            tuple(
                self._look(1, seed, self._student(1, one, first[seed]), text_of(one, ALGORITHMS), _damping(one))
                for one in tried
            )
        )
        return min(zip(tried, marks, strict=True), key=lambda pair: sum(pair[1].exams))[0]

    def through(self, algorithm: Algorithm, first: Lessons, before: Codes) -> Generator[Request, Any, Found]:
        """The later tasks by one algorithm, then the codes of every task after itself and every later one."""
        name, past, lost = text_of(algorithm, ALGORITHMS), dict(first), []
        for t in range(1, len(self.chain)):
            students = {seed: self._student(t, algorithm, lessons) for seed, lessons in past.items()}
            learned = yield from self._learned(t, students, name, _damping(algorithm))
            lost += [
                f"left out: seed {seed} on {self.chain.names[t]}: {one.failed}"
                for seed, one in learned.items()
                if one.failed
            ]
            lessons = {seed: self._lesson(t, one) for seed, one in learned.items() if not one.failed}
            if not lessons:
                raise ValueError(f"every training by {name} broke off, {lost[0]}")
            if algorithm.asks == "fisher" and t + 1 < len(self.chain):
                lessons = yield from self._with_fisher(t, lessons)
            past = {seed: [*past[seed], one] for seed, one in lessons.items()}
        pairs = [(t, s) for t in range(len(self.chain)) for s in range(t, len(self.chain)) if s > 0]
        weights = {seed: [one.weights for one in lessons] for seed, lessons in past.items()}
        codes = before.of(list(past)) | (yield from self._codes(pairs, weights, name))
        converged = all(one.converged for lessons in past.values() for one in lessons)
        notes = (f"{name}, heads {self.chain.heads}", *lost)
        tasks = tuple(part.coded for part in self.chain.parts)
        return Found(name, self.chain.names, tasks, self.depths, codes, converged, notes)

    def before(self, first: Lessons) -> Generator[Request, Any, Codes]:
        """What all algorithms share: codes of untrained networks, and of the first task when it has been learned."""
        task = self.chain.parts[0].train
        starts = {
            seed: [copy_weights(self.chain.student(0).network(task.shape, task.target.outputs, seed))] for seed in first
        }
        everything = [(t, UNTRAINED) for t in range(len(self.chain))]
        untrained = yield from self._codes(everything, starts, "untrained")
        learned = {seed: [one.weights for one in lessons] for seed, lessons in first.items()}
        return untrained | (yield from self._codes([(0, 0)], learned, "the first task"))

    def _codes(
        self, pairs: Sequence[tuple[int, int]], weights: Mapping[int, Sequence[Weights]], label: str
    ) -> Generator[Request, Any, Codes]:
        """Curves and predictions of task t from the weights after task s, for each pair of these."""
        places: list[Place] = [(depth, t, s) for depth in self.depths for t, s in pairs if not self._as_said(depth)]
        coded: list[LossCurve] = yield Looks(
            tuple(look for place in places for look in self._code_looks(*place, weights, label))
        )
        said: list[Predictions] = yield Looks(
            tuple(
                prediction_look(self.chain.parts[t].coded, self.chain.reader(t, own[s]), seed, self.device)
                for t, s in pairs
                for seed, own in weights.items()
            )
        )
        predictions = _by_seed(pairs, weights, said)
        curves = _by_seed(places, weights, coded)
        for depth in self.depths:
            if self._as_said(depth):
                curves |= {
                    (depth, *pair): _as_said(self.chain.parts[pair[0]].coded, predictions[pair]) for pair in pairs
                }
        return Codes(curves, predictions)

    def _as_said(self, depth: Depth) -> bool:
        """Whether the code is what a frozen network says, token by token, exactly."""
        return depth == "head-kept" and isinstance(self.chain.parts[0].coded.target, Tokens)

    def _code_looks(
        self, depth: Depth, t: int, s: int, weights: Mapping[int, Sequence[Weights]], label: str
    ) -> Sequence[Look[LossCurve]]:
        readers = [read(self.chain, t, own[s], depth, seed) for seed, own in weights.items()]
        coder = Fixed() if depth == "head-kept" else self.coder
        when = f"after {self.chain.names[s]}" if s != UNTRAINED else "before"
        what = f"{label}, {depth} code {when}"
        task = self.chain.parts[t].coded
        return code_looks(task, coder, readers, seeds=list(weights), device=self.device, label=what)

    def _student(self, t: int, algorithm: Algorithm, lessons: Sequence[Lesson]) -> Learner:
        return self.chain.student(t, lessons[-1].weights, algorithm.penalty(lessons))

    def _learned(
        self, t: int, students: Mapping[int, Learner], label: str, damping: float | None
    ) -> Generator[Request, Any, dict[int, Learned]]:
        looks = [self._look(t, seed, student, label, damping) for seed, student in students.items()]
        learned: list[Learned] = yield Looks(tuple(looks))
        return dict(zip(students, learned, strict=True))

    def _look(self, t: int, seed: int, student: Learner, label: str, damping: float | None) -> Look[Learned]:
        """One training, and how much this and the task before cost then on examples set aside."""
        parts = self.chain.parts
        exams = [Exam(parts[u].validation, self.chain.loss(u)) for u in range(max(0, t - 1), t + 1)]
        what = f"{self.chain.names[t]} by {label}, seed {seed}"
        return learn_look(student, parts[t].train, seed, self.device, exams=exams, damping=damping, label=what)

    def _lesson(self, t: int, learned: Learned) -> Lesson:
        chain = self.chain
        return Lesson(
            chain.parts[t].train, chain.columns(t), chain.loss(t), learned.weights, path=learned.path,
            converged=learned.converged,
        )  # fmt: skip

    def _with_fisher(self, t: int, lessons: Mapping[int, Lesson]) -> Generator[Request, Any, dict[int, Lesson]]:
        looks = [
            fisher_look(self.chain.student(t, one.weights), one.task, one.columns, seed, self.device)
            for seed, one in lessons.items()
        ]
        found: list[Importance] = yield Looks(tuple(looks))
        return {
            seed: dataclasses.replace(one, fisher=importance.tensors)
            for (seed, one), importance in zip(lessons.items(), found, strict=True)
        }


def read(chain: Chain, t: int, weights: Weights, depth: Depth, seed: int) -> Learner:
    """Who codes task t from these weights."""
    reader = chain.reader(t, weights)
    if depth != "closed-form":
        return reader
    return with_head(reader, reader.weights or {}, chain.parts[t].coded, seed, "closed-form")


def lacks(task: Task, depth: Depth) -> bool:
    """Whether there is no such depth for the task's target: tokens have no regression on a last layer."""
    return depth == "closed-form" and isinstance(task.target, Tokens)


def _damping(algorithm: Algorithm) -> float | None:
    """Of one that follows the path of the weights; None for others."""
    return getattr(algorithm, "damping", None) if algorithm.asks == "path" else None


def _by_seed(places: Sequence[Any], seeds: Mapping[int, Any], found: Sequence[Any]) -> dict[Any, dict[int, Any]]:
    """What was found for each place and seed, in this order."""
    n = len(seeds)
    return {place: dict(zip(seeds, found[i * n : (i + 1) * n], strict=True)) for i, place in enumerate(places)}


def _as_said(task: Task, predictions: Mapping[int, Predictions]) -> dict[int, LossCurve]:
    return {seed: as_said(task, one.p.numpy(), seed) for seed, one in predictions.items()}
