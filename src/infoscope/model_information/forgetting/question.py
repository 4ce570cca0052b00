"""The question of forgetting: what does a network forget of one task while it learns others?"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from infoscope.data.named import Tasks, tasks
from infoscope.data.partition import Partition, partition, room
from infoscope.data.task import Task
from infoscope.figure import Figure
from infoscope.model_information.equal_partitions import equal_partitions
from infoscope.model_information.forgetting import forgotten
from infoscope.model_information.forgetting.chain import Chain, Heads, chain_of
from infoscope.model_information.forgetting.continual import ALGORITHMS, Algorithm, Lesson, candidates
from infoscope.model_information.forgetting.course import Course, lacks, read
from infoscope.model_information.forgetting.forgotten import DEPTHS, Depth, Found
from infoscope.model_information.heads import check_head
from infoscope.model_information.information import check_own_code
from infoscope.models.default import Model, learner_for, model_name
from infoscope.options import AtLeast, check_fields
from infoscope.prequential.encode import Coder
from infoscope.prequential.replay import Replay
from infoscope.record import Record
from infoscope.run.context import RunContext
from infoscope.run.question import Rows, Stages, ask

Algorithms = Sequence[Algorithm]
"""Algorithms of continual learning that are compared."""

CODED, TRAINED = 500, 2000
"""Examples that are coded and trained on of each task, at most, unless said otherwise."""


@dataclass(frozen=True)
class Forgetting:
    """What does a network forget of a task while it learns others, and which algorithm keeps it from that?

    L(M_A, A) − L(M_A→B, A) for every earlier task after every later one, as bits and as a share of what it had learned,
    beside accuracy. "Measuring Information Transfer in Neural Networks" (Zhang et al. 2020).

    Attributes
    ----------
    data
        Two or more tasks, in the order in which they are learned.
    algorithm
        plain, ewc, si, lwf or rehearsal, with options as in "ewc(strength=100)". Repeat it to compare. Default: all.
        A strength that is not given is chosen on examples that are neither coded nor trained on.
    model
        Network: a name from `infoscope list models`, or module:factory. Default: mlp, or cnn from 16 pixels on.
    heads
        own: each task has outputs of its own. shared: class i of each is output i. Default: shared, if the tasks have
        the same classes.
    depth
        How deep it is looked. head-kept: the network as it stands. closed-form: its features, with a head that is
        solved for. whole: the network that goes on learning, and may remember quickly. Default: all three.
    coder
        The network's own code: replay, entk or blocks.
    k
        Examples of each task to code, which are not trained on. Default: the test split or a third, at most 500.
    train
        Examples of each task to train on, the same number for all. Default: what the smallest has, at most 2,000.
    replicates
        Networks, each with a coding order of its own. The standard error is over them; one gives none.
    seed
        The first of their seeds.
    epochs
        How long each task is trained, without early stopping: all algorithms take the same steps.
    """

    data: Tasks
    algorithm: Algorithms = tuple(ALGORITHMS.values())
    model: Model = None
    heads: Heads | None = None
    depth: tuple[Depth, ...] = DEPTHS
    coder: Coder = Replay()
    k: Annotated[int | None, AtLeast(1)] = None
    train: Annotated[int | None, AtLeast(1)] = None
    replicates: Annotated[int, AtLeast(1)] = 3
    seed: Annotated[int, AtLeast(0)] = 0
    epochs: Annotated[int, AtLeast(1)] = 20

    def __post_init__(self) -> None:
        check_fields(self)
        check_own_code(self.coder)
        if not self.algorithm:
            raise ValueError(f"no algorithm was given; there are {', '.join(ALGORITHMS)}")
        if odd := [depth for depth in self.depth if depth not in DEPTHS]:
            raise ValueError(f"no depth {odd[0]!r}; there are {', '.join(DEPTHS)}")

    def stages(self, device: str = "cpu") -> Stages[ForgettingAnswer]:
        """The first task, then for each algorithm its strength, the later tasks, and the codes of all earlier ones."""
        chain, depths = self._chain()
        course = Course(chain, depths, self.coder, tuple(self.algorithm), self.seeds, device)
        first = yield from course.first()
        before = yield from course.before(first)
        found: list[Found] = []
        for algorithm in self.algorithm:
            settled = yield from course.settled(algorithm, first)
            found.append((yield from course.through(settled, first, before)))
            yield Rows(found[-1].rows())
        return ForgettingAnswer(self, chain, tuple(found))

    @property
    def seeds(self) -> range:
        """Of the networks."""
        return range(self.seed, self.seed + self.replicates)

    def _chain(self) -> tuple[Chain, tuple[Depth, ...]]:
        """Everything that can be known to be wrong is found here, before anything is trained."""
        given = tasks(self.data)
        if len(given) < 2:
            raise ValueError(
                f"forgetting needs two tasks or more, and {len(given)} was given; name what is learned after it"
            )
        learner = learner_for(given[0], self.model, self.epochs)
        learner = dataclasses.replace(learner, recipe=dataclasses.replace(learner.recipe, patience=None))
        chain = chain_of(given, self._parts(given), learner, self.heads)
        depths: tuple[Depth, ...] = tuple(
            depth
            for i, depth in enumerate(self.depth)
            if depth not in self.depth[:i] and not lacks(chain.parts[0].coded, depth)
        )
        if not depths:
            raise ValueError("tokens have no regression on a last layer; take depth head-kept or whole")
        start = chain.student(0).network(given[0].shape, chain.sizes[0], self.seed).state_dict()
        for depth in depths:
            for t in range(len(chain)):
                read(chain, t, start, depth, self.seed)
        if "closed-form" in depths:
            check_head("closed-form", self.coder)
        for algorithm in self.algorithm:
            lesson = Lesson(chain.parts[0].train, chain.columns(0), chain.loss(0), start, start, start)
            candidates(algorithm)[0].penalty([lesson])
        return chain, depths

    def _parts(self, given: Sequence[Task]) -> list[Partition]:
        """Equal sizes; nothing that is coded for one task is trained on for another."""
        cut = [partition(task, k=self.k or min(CODED, room(task)[0])) for task in given]
        return equal_partitions(cut, self.train or min(TRAINED, len(equal_partitions(cut)[0].train)))


@dataclass(frozen=True)
class ForgettingAnswer:
    """What `Forgetting` comes to."""

    question: Forgetting
    chain: Chain
    found: tuple[Found, ...]

    @property
    def title(self) -> str:
        """Forgetting along these tasks."""
        return f"Forgetting from {' to '.join(self.chain.names)}"

    def record(self) -> Record:
        """What was learned and forgotten, its share, and accuracy; for every algorithm, depth, task, and time."""
        return Record.of(row for one in self.found for row in one.rows())

    def figures(self) -> list[Figure]:
        """The share that each algorithm forgets, and what is known of the first task as others are learned."""
        return forgotten.figures(self.found)

    def sentence(self) -> str:
        """How much each algorithm forgets."""
        return forgotten.sentence(self.found)

    def choices(self) -> Mapping[str, str]:
        """The network, the heads, the sizes, and the strengths and how they were chosen."""
        asked, chain = self.question, self.chain
        told = {
            "Network": model_name(chain.parts[0].train, asked.model),
            "Heads": chain.heads,
            "Steps": f"{asked.epochs} epochs of each task for every algorithm; rehearsal and lwf do more in a step",
        }
        chosen = [one.algorithm for given, one in zip(asked.algorithm, self.found, strict=True)
                  if len(candidates(given)) > 1]  # fmt: skip
        if chosen:
            told["Strengths"] = (
                f"{', '.join(chosen)}: of the candidates the one that after the first two tasks has the least loss on "
                "both, on validation examples that are neither trained on nor coded, with the first seed"
            )
        for name, part in zip(chain.names, chain.parts, strict=True):
            sizes = f"trained on {len(part.train)}, {len(part.validation)} set aside, {len(part.coded)} coded"
            told[name] = "; ".join((sizes, *part.notes[1:]))
        return told

    def write(self, folder: Path) -> Mapping[str, str]:
        """No file but the report."""
        return {}


def forgetting(*data: Any, context: RunContext = RunContext(), **options: Any) -> Record:
    """What does a network forget of a task while it learns others? `Forgetting` asked at once; its table.

    >>> from infoscope.model_information.forgetting.continual import Plain
    >>> from infoscope.models import MLP
    >>> table = forgetting(
    ...     "iris", "iris", algorithm=[Plain()], model=MLP((8,)), depth=("head-kept",), k=20, replicates=1, epochs=2
    ... )
    >>> sorted({row.measurement.quantity for row in table})
    ['L(M,D)', 'accuracy', 'confidence', 'forgotten', 'forgotten share']
    """
    return ask(Forgetting([task for one in data for task in tasks(one)], **options), context).record()
