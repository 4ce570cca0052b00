"""The question of an expert: which trained network to start from, and how good is each rule that says so?"""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from infoscope.data.combine import occurring_classes
from infoscope.data.named import Tasks, tasks, training_part
from infoscope.data.targets import Classes
from infoscope.data.task import Task
from infoscope.model_information.choosing.answer import WHOLE, ChoosingAnswer
from infoscope.model_information.choosing.question import Choosing
from infoscope.options import AtLeast, check_fields
from infoscope.prequential.loss_curve import LossCurve
from infoscope.run.context import RunContext
from infoscope.run.look import Looks
from infoscope.run.question import Request, Stages, ask
from infoscope.task_space.distance import ALPHA, asymmetric, symmetric
from infoscope.task_space.embed import probe_for
from infoscope.task_space.experts import AnyExperts, Expert, experts_of
from infoscope.task_space.probe import AnyProbe
from infoscope.task_space.select_answer import OfTask, SelectAnswer
from infoscope.task_space.task2vec import Embedding, Settings, check_task, code_look, embedding_look, parts_of
from infoscope.task_space.trial import Trial, trial_look

MOST_HELD_OUT = 1000

DISTANCES = ("d_asym", "d_sym")

TOGETHER = 64
"""Tasks whose experts are tried in one stage."""


@dataclass(frozen=True)
class Select:
    """Which trained network should a task start from? Experts ranked by the bits that the task's labels then cost.

    The free-energy distance: the prequential code of the labels, by a head in closed form on an expert's frozen
    features. Beside it Task2Vec's distances from what each was trained on, LEEP, LogME, H-score, sizes and chance; with
    two tasks or more what each rule costs: the held-out error of the expert it chooses, over that of the best.
    Achille et al. (2019), "Task2Vec", §5.

    Attributes
    ----------
    data
        One or more data sets to find an expert for. Where an expert was trained on one of them, it is left out there.
    experts
        A folder of files of weights (with experts.json, or one expert a file), or several NAME=FILE.
    sources
        What the experts were trained on, in their order: for Task2Vec's distances and the largest source.
    probe
        The network of Task2Vec, as for `embed`. Default: the largest expert.
    examples
        Labels of a task that are known, at most; half of a smaller one. The rest, 1,000 at most, is held out.
    alpha
        Of d_asym.
    choose
        Labels that are also sent by each network while it goes on learning them, as `infoscope choose` has it; 0 leaves
        this out. Slow: a network learns 40 labels in seconds, and 200 in minutes.
    replicates
        Coding orders. The probability of being the best is over them and over examples.
    seed
        The first of their seeds, and that of the parts.
    epochs
        Most epochs of a probe that is trained here.
    """

    data: Tasks
    experts: AnyExperts
    sources: Tasks | None = None
    probe: AnyProbe = None
    examples: Annotated[int, AtLeast(4)] = 200
    alpha: float = ALPHA
    choose: Annotated[int, AtLeast(0)] = 0
    replicates: Annotated[int, AtLeast(1)] = 2
    seed: Annotated[int, AtLeast(0)] = 0
    epochs: Annotated[int | None, AtLeast(1)] = None

    def __post_init__(self) -> None:
        check_fields(self)

    def stages(self, device: str = "cpu") -> Stages[SelectAnswer]:
        """All experts on each task; then embeddings of tasks and sources, if sources are known."""
        given = list(tasks(self.data))
        for task in given:
            self._check(task)
        sources = [] if self.sources is None else list(tasks(self.sources))
        experts = experts_of(self.experts, sources, given[0])
        for task in given:
            for one in experts:
                one.network.body(task)
        cut = [self._cut(task) for task in given]
        allowed = [self._allowed(task, experts) for task in given]
        found: list[OfTask] = []
        for start in range(0, len(given), TOGETHER):
            some = slice(start, start + TOGETHER)
            found += yield from self._of(given[some], cut[some], allowed[some], device)
        distances, probe = yield from self._distances(given, cut, experts, device)
        return SelectAnswer(tuple(found), experts, distances, probe, _overlaps(cut, allowed))

    def _check(self, task: Task) -> None:
        if not isinstance(task.target, Classes):
            raise ValueError(f"{task.name!r} asks for {task.target}; an expert is selected for a task of classes")
        check_task(task)
        if len(task) < 8:
            raise ValueError(f"{task.name!r} has {len(task)} examples; 8 or more are needed to hold some out")

    def _cut(self, task: Task) -> tuple[Task, Task]:
        """Labels that are known, and those that errors are counted on: the test split where there is one."""
        if {"train", "test"} <= set(task.splits):
            known, rest = task["train"].shuffled(self.seed), task["test"].shuffled(self.seed)
            known = known[: self.examples]
        else:
            mixed, n = task.shuffled(self.seed), min(self.examples, len(task) // 2)
            known, rest = mixed[:n], mixed[n:]
        parts = (known, rest[:MOST_HELD_OUT])
        check_task(known)
        return tuple(dataclasses.replace(part, name=task.name) for part in parts)  # pyright: ignore

    def _allowed(self, task: Task, experts: Sequence[Expert]) -> list[Expert]:
        """The experts that were not trained on this very task."""
        allowed = [one for one in experts if not _same(one, task)]
        if len(allowed) < 2:
            raise ValueError(f"{len(allowed)} experts were trained on other data than {task.name!r}; name two or more")
        return allowed

    def _of(
        self,
        given: Sequence[Task],
        cut: Sequence[tuple[Task, Task]],
        allowed: Sequence[Sequence[Expert]],
        device: str,
    ) -> Generator[Request, Any, list[OfTask]]:
        """Trials and codes of these tasks, all in one stage each."""
        pairs = [(part, one.network) for part, some in zip(cut, allowed, strict=True) for one in some]
        trials: list[Trial] = yield Looks(tuple(trial_look(*part, network, device) for part, network in pairs))
        seeds = range(self.seed, self.seed + self.replicates)
        sent = [(occurring_classes(part[0]), network) for part, network in pairs]
        looks = tuple(code_look(part, network, seed, device) for part, network in sent for seed in seeds)
        curves: list[LossCurve] = yield Looks(looks)
        each, codes, found = iter(trials), iter(curves), list[OfTask]()
        for task, (known, _), some in zip(given, cut, allowed, strict=True):
            whole: Mapping[str, Sequence[LossCurve]] = {}
            if self.choose:
                whole = yield from self._chosen(known, some, device)
            tried = {one.name: next(each) for one in some}
            sent = {one.name: [next(codes) for _ in seeds] for one in some}
            found.append(OfTask(task.name, known.fingerprint, len(known), tried, sent, whole))
        return found

    def _chosen(
        self, known: Task, allowed: Sequence[Expert], device: str
    ) -> Generator[Request, Any, dict[str, Sequence[LossCurve]]]:
        """The codes of `choose`."""
        learners = tuple(one.network.learner for one in allowed)
        task, few = occurring_classes(known), min(self.choose, len(known))
        question = Choosing(task, learners, examples=few, replicates=self.replicates, seed=self.seed)
        answer: ChoosingAnswer = yield from question.stages(device)
        codes = answer.of_use(WHOLE)
        return {one.name: codes[start.name] for one, start in zip(allowed, answer.starts, strict=True)}

    def _distances(
        self, given: Sequence[Task], cut: Sequence[tuple[Task, Task]], experts: Sequence[Expert], device: str
    ) -> Generator[Request, Any, tuple[dict[str, np.ndarray], str]]:
        """d_asym from each expert's source to each task, and d_sym: (tasks, experts); none where no source is known."""
        sources = [one.source for one in experts]
        known = [source for source in sources if source is not None]
        if not known:
            return {}, ""
        chosen = max(experts, key=lambda one: one.parameters).network if self.probe is None else self.probe
        probe = yield from probe_for(chosen, [*given, *known], self.seed, self.epochs)
        settings = Settings(examples=self.examples)
        of_sources = [parts_of(training_part(source), self.examples, 1, self.seed)[0] for source in known]
        parts = [*of_sources, *(few for few, _ in cut)]
        looks = tuple(embedding_look(part, probe, settings.way, self.seed, device) for part in parts)
        embedded: list[Embedding] = yield Looks(looks)
        of_source = iter(embedded[: len(known)])
        rows: dict[str, np.ndarray] = {name: np.full((len(given), len(experts)), np.nan) for name in DISTANCES}
        for e, source in enumerate(sources):
            if source is None:
                continue
            a = next(of_source)
            for t, b in enumerate(embedded[len(known) :]):
                if a.values.shape == b.values.shape:
                    rows["d_sym"][t, e] = float(symmetric(a.values, b.values))
                    rows["d_asym"][t, e] = float(asymmetric(a.values, b.values, a.trivial, self.alpha))
        return rows, f"{probe.name}: {probe.how}"


def _overlaps(cut: Sequence[tuple[Task, Task]], allowed: Sequence[Sequence[Expert]]) -> dict[tuple[str, str], float]:
    """The share of a task's known and held-out inputs that an expert was trained on, by task and expert, above 0."""
    found, learned = dict[tuple[str, str], float](), dict[int, np.ndarray]()
    for (known, held_out), some in zip(cut, allowed, strict=True):
        for one in some:
            if one.source is None or str(one.source.shape) != str(known.shape):
                continue
            if id(one.source) not in learned:
                learned[id(one.source)] = training_part(one.source).content_hashes
            own = np.concatenate([known.content_hashes, held_out.content_hashes])
            if share := float(np.isin(own, learned[id(one.source)]).mean()):
                found[known.name, one.name] = share
    return found


def _same(one: Expert, task: Task) -> bool:
    return one.source is not None and (one.source.name == task.name or one.source.fingerprint == task.fingerprint)


def select(*data: Any, experts: AnyExperts, context: RunContext = RunContext(), **options: Any) -> SelectAnswer:
    """Which trained network should a task start from? `Select` asked at once.

    >>> from infoscope import Learner
    >>> from infoscope.models import MLP
    >>> started = [Learner(MLP((4,))).network((4,), 3, seed).state_dict() for seed in (0, 1)]
    >>> answer = select("iris", experts=[Learner(MLP((4,)), weights=w) for w in started], examples=40)
    >>> sorted(answer.ranked("iris")) == ["MLP", "MLP #2"] or sorted(answer.ranked("iris"))
    ['MLP #1', 'MLP #2']
    """
    return ask(Select([task for one in data for task in tasks(one)], experts, **options), context)
