"""The question of an embedding: where do tasks lie in the space that a probe's filters span?"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from infoscope import __version__
from infoscope.data.combine import occurring_classes
from infoscope.data.named import Tasks, tasks, training_part
from infoscope.data.task import Task
from infoscope.ensembles.population import Member, Population
from infoscope.ensembles.train import Train
from infoscope.figure import Bars, Figure
from infoscope.measurement import Measurement, Receipt, Status, mean_and_stderr
from infoscope.observation.estimators import Exact, Sketch
from infoscope.options import AtLeast, check_fields
from infoscope.prequential.codelength import codelength
from infoscope.prequential.loss_curve import LossCurve
from infoscope.record import Record, Row
from infoscope.run.context import RunContext
from infoscope.run.look import Looks
from infoscope.run.question import Request, Rows, Stages, ask
from infoscope.task_space.embeddings import Embeddings, TaskFacts, of_looks
from infoscope.task_space.filter_noise import FilterNoise
from infoscope.task_space.probe import AnyProbe, Probe, probe_of, to_be_trained
from infoscope.task_space.task2vec import (
    Embedding,
    Settings,
    Way,
    check_task,
    code_look,
    embedding_look,
    parts_of,
)

EstimateName = Literal["sketch", "exact", "variational"]

TOGETHER = 16
"""Tasks that are looked at in one stage: what is told while many are embedded."""


@dataclass(frozen=True)
class Embed:
    """Where does a task lie? Task2Vec: how much each filter of a probe network matters to it, the head refitted.

    The diagonal of the Fisher information of the probe's weights on the task's inputs, averaged over every filter, with
    batch normalisation in eval mode. All tasks go through one probe; embeddings are saved, and can be compared with
    those of another run if probe and settings agree. Achille et al. (2019), "Task2Vec".

    Attributes
    ----------
    data
        One or more data sets, or parts of them (mnist:classes=0,1); their train splits where they have them.
    probe
        The network: NAME=FILE (a name from `infoscope list models` and its weights, with what is done to images first
        in brackets: resnet20[size=32, mean=(.485, .456, .406)]=FILE), or FILE alone. A NAME alone, or nothing (mlp, or
        cnn from 16 pixels on), is trained on all tasks together.
    estimate
        How the Fisher information is found: sketch (one pass back an example), exact (one a class), or variational (the
        paper's: noise that is trained, a hundred times as costly as the sketch).
    draws
        Random signs an example of the sketch.
    steps
        Steps of the variational estimate, of 64 examples each.
    examples
        Examples of a part, at most. Tasks of one size are compared; this is part of what must agree.
    replicates
        Disjoint parts of each task, each embedded by itself: errors, and how far a task is from itself.
    length
        Beside it what a task's labels cost, given what the probe says of its inputs: how hard the task is.
    seed
        Of the parts, the signs and the probe's training.
    epochs
        Most epochs of a probe's training here. Default: the recipe's, 1000.
    """

    data: Tasks
    probe: AnyProbe = None
    estimate: EstimateName = "sketch"
    draws: Annotated[int, AtLeast(1)] = 1
    steps: Annotated[int, AtLeast(2)] = 400
    examples: Annotated[int, AtLeast(2)] = 500
    replicates: Annotated[int, AtLeast(1)] = 2
    length: bool = True
    seed: Annotated[int, AtLeast(0)] = 0
    epochs: Annotated[int | None, AtLeast(1)] = None

    def __post_init__(self) -> None:
        check_fields(self)
        if self.estimate not in ("sketch", "exact", "variational"):
            raise ValueError(f"estimate is {self.estimate!r}; take sketch, exact or variational")

    @property
    def settings(self) -> Settings:
        """What must agree for embeddings to be compared."""
        ways: dict[str, Way] = {
            "sketch": Sketch(self.draws), "exact": Exact(), "variational": FilterNoise(self.steps)
        }  # fmt: skip
        return Settings(ways[self.estimate], self.examples)

    def stages(self, device: str = "cpu") -> Stages[EmbedAnswer]:
        """The probe, if it must be trained, then some tasks after others."""
        given = [dataclasses.replace(training_part(task), name=task.name) for task in tasks(self.data)]
        parts = [self._parts(task) for task in given]
        probe = yield from probe_for(self.probe, given, self.seed, self.epochs)
        for task in given:
            probe.body(task)
        found, lengths = list[list[Embedding]](), list[list[LossCurve]]()
        for start in range(0, len(given), TOGETHER):
            some = parts[start : start + TOGETHER]
            several, codes = yield from self._of(probe, some, device)
            found, lengths = found + several, lengths + codes
            answer = self._answer(probe, parts[: len(found)], found, lengths, device)
            yield Rows(tuple(row for row in answer.rows(start)))
        return self._answer(probe, parts, found, lengths, device)

    def _parts(self, task: Task) -> list[Task]:
        check_task(task)
        parts = parts_of(occurring_classes(task), self.examples, self.replicates, self.seed)
        for part in parts:
            check_task(part)
        return parts

    def _of(
        self, probe: Probe, parts: Sequence[Sequence[Task]], device: str
    ) -> Generator[Request, Any, tuple[list[list[Embedding]], list[list[LossCurve]]]]:
        """Embeddings and codes of these tasks, a list a task."""
        several = [(part, self.seed + r) for task in parts for r, part in enumerate(task)]
        looks = tuple(embedding_look(part, probe, self.settings.way, seed, device) for part, seed in several)
        embeddings: list[Embedding] = yield Looks(looks)
        curves: list[LossCurve] = []
        if self.length:
            curves = yield Looks(tuple(code_look(part, probe, seed, device) for part, seed in several))
        k = self.replicates
        places = range(0, len(several), k)
        return [embeddings[i : i + k] for i in places], [curves[i : i + k] for i in places]

    def _answer(
        self,
        probe: Probe,
        parts: Sequence[Sequence[Task]],
        found: Sequence[Sequence[Embedding]],
        lengths: Sequence[Sequence[LossCurve]],
        device: str,
    ) -> EmbedAnswer:
        facts = [
            _facts(part[0], embedded, curves) for part, embedded, curves in zip(parts, found, lengths, strict=True)
        ]
        settings = self.settings
        whole = of_looks(found, settings.hash(probe), probe.name, str(settings.way), self.examples, facts)
        seeds = tuple(range(self.seed, self.seed + self.replicates))
        receipt = Receipt(
            f"Task2Vec, {settings.way}", model=probe.name, seeds=seeds, over="disjoint parts of the task",
            notes=(probe.how, f"hash {whole.hash[:16]}", "batch normalisation in eval mode"), version=__version__,
            device=device, threads=1,
        )  # fmt: skip
        return EmbedAnswer(whole, tuple(map(tuple, found)), tuple(map(tuple, lengths)), probe.how, receipt)


@dataclass(frozen=True)
class EmbedAnswer:
    """What `Embed` comes to."""

    embeddings: Embeddings
    found: tuple[tuple[Embedding, ...], ...]
    lengths: tuple[tuple[LossCurve, ...], ...]
    how: str
    receipt: Receipt

    @property
    def title(self) -> str:
        """So many tasks, and the probe."""
        return f"{len(self.embeddings.tasks)} tasks seen by {self.embeddings.probe}"

    def record(self) -> Record:
        """Of each task the norm of its embedding, and what its labels cost."""
        return Record.of(self.rows())

    def rows(self, start: int = 0) -> list[Row]:
        """Those from this task on."""
        rows = []
        for fact, several, curves in list(zip(self.embeddings.tasks, self.found, self.lengths, strict=True))[start:]:
            place = {"task": fact.name}
            rows.append(Row(place, self.norm(fact, several)))
            if curves:
                rows.append(Row(place, codelength(curves)))
        return rows

    def norm(self, fact: TaskFacts, several: Sequence[Embedding]) -> Measurement:
        """|F|₁ over replicates."""
        status = frozenset() if all(one.converged for one in several) else frozenset({Status.NOT_CONVERGED})
        receipt = dataclasses.replace(self.receipt, data=fact.fingerprint[:16], n=fact.n)
        by_seed = dict(zip(self.receipt.seeds, (one.norm for one in several), strict=True))
        return Measurement.from_replicates("|F|", by_seed, unit="1", status=status, receipt=receipt)

    def figures(self) -> list[Figure]:
        """The norms, and where in the network they lie."""
        names = self.embeddings.names
        found = [self.norm(fact, several) for fact, several in zip(self.embeddings.tasks, self.found, strict=True)]
        low, high = ([m.value + side * _or_zero(m.stderr) for m in found] for side in (-1, 1))
        norms = Figure(
            "How much the probe's filters matter", "task", "|F|",
            [Bars("|F|", names, [m.value for m in found], low, high)],
            caption="Fisher information summed over filters, ± one standard error over parts.",
        )  # fmt: skip
        shares = []
        for place, (layer, mass) in enumerate(self._by_layer().items()):
            shares.append(Bars(layer, names, mass))
            if place > 20:
                break
        return [norms, Figure("Which layers matter", "task", "share of |F|", shares)]

    def _by_layer(self) -> dict[str, list[float]]:
        mean, start, found = self.embeddings.values.mean(1), 0, {}
        for layer, size in self.embeddings.layers.items():
            part = mean[:, start : start + size].sum(1) / mean.sum(1).clamp(min=1e-300)
            found[layer], start = part.tolist(), start + size
        return found

    def sentence(self) -> str:
        """Which task matters most to the probe, which least."""
        sums = self.embeddings.values.mean(1).sum(1).tolist()
        norms = dict(zip(self.embeddings.names, sums, strict=True))
        first, last = max(norms, key=lambda k: norms[k]), min(norms, key=lambda k: norms[k])
        told = (
            f"{len(norms)} tasks were embedded in {self.embeddings.values.shape[2]} filters of {self.embeddings.probe}"
        )
        if len(norms) == 1:
            return f"{told.replace('1 tasks were', '1 task was', 1)}: |F| is {norms[first]:.3g}."
        return f"{told}: |F| is largest for {first} ({norms[first]:.3g}), smallest for {last} ({norms[last]:.3g})."

    def choices(self) -> Mapping[str, str]:
        """The probe, where its weights come from, and whether the tasks are of one size."""
        sizes = sorted({one.n for one in self.embeddings.tasks})
        told = {"Probe": f"{self.embeddings.probe}: {self.how}", "Settings": f"hash {self.embeddings.hash}"}
        if len(sizes) > 1:
            told["Sizes"] = (
                f"parts have {sizes[0]} to {sizes[-1]} examples; a head fitted to fewer is surer, and |F| smaller: "
                f"--examples {sizes[0]} makes them alike"
            )
        return told

    def write(self, folder: Path) -> Mapping[str, str]:
        """The embeddings, where `infoscope tasks` finds them."""
        return self.embeddings.save(folder)


def probe_for(
    given: AnyProbe, several: Sequence[Task], seed: int, epochs: int | None
) -> Generator[Request, Any, Probe]:
    """The probe that was given, or one that is trained on all tasks together."""
    probe = probe_of(given, several)
    if probe is not None:
        return probe
    learner, whole, made = to_be_trained(given, several, seed, epochs)
    trained: Population = yield Train((Member(learner, whole, seed, name="the probe"),))
    if trained.failed:
        raise ValueError(
            f"the probe's training diverged ({', '.join(trained.failed.values())}); name a trained network"
        )
    return made(trained.member(0))


def embed(*data: Any, context: RunContext = RunContext(), **options: Any) -> Embeddings:
    """Where do tasks lie? `Embed` asked at once; the embeddings.

    >>> from infoscope.models import MLP
    >>> found = embed("iris", probe=MLP((4,)), epochs=2, length=False)
    >>> found.names, tuple(found.values.shape)
    (['iris'], (1, 2, 4))
    """
    return ask(Embed([task for one in data for task in tasks(one)], **options), context).embeddings


def _facts(part: Task, several: Sequence[Embedding], curves: Sequence[LossCurve]) -> TaskFacts:
    mean, error = mean_and_stderr([curve.total / len(curve) for curve in curves])
    return TaskFacts(
        part.name, part.fingerprint, len(part), max(one.classes for one in several),
        sum(one.loss for one in several) / len(several), None if math.isnan(mean) else mean,
        None if math.isnan(error) else error,
    )  # fmt: skip


def _or_zero(value: float) -> float:
    return 0.0 if math.isnan(value) else value
