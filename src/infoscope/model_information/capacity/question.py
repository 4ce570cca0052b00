"""The question of capacity: how many bits can a network hold, whatever it learns?"""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from infoscope.data.combine import first_classes, resized, union
from infoscope.data.corruption import ShuffledLabels
from infoscope.data.named import Tasks, tasks, training_part
from infoscope.data.partition import Partition, partition, room
from infoscope.data.targets import Classes
from infoscope.data.task import Task
from infoscope.ensembles.population import Member, Population
from infoscope.ensembles.train import Train
from infoscope.figure import Figure, Line
from infoscope.measurement import Measurement
from infoscope.method_text import text_of
from infoscope.model_information.capacity.result import Held, Memory
from infoscope.model_information.difficulty import comparable
from infoscope.model_information.held_out_loss import HeldOutLoss, loss_looks
from infoscope.model_information.information import check_own_code, train_then_code
from infoscope.models import MODELS
from infoscope.models.default import Model, Models, learner_for, model_name, several
from infoscope.options import AtLeast, check_fields
from infoscope.prequential.encode import Coder
from infoscope.prequential.replay import Replay
from infoscope.record import Record
from infoscope.run.context import RunContext
from infoscope.run.look import Looks
from infoscope.run.question import Request, Rows, Stages, ask
from infoscope.training.learner import Learner
from infoscope.training.recipe import Recipe


@dataclass(frozen=True)
class Capacity:
    """How many bits can a network hold, whatever it learns?

    C(M) = max_D L(M_D, D), eq. (6) of "Model Information as an Analysis Tool in Deep Learning", over tasks of growing
    complexity that share k and the training size. Where information no longer grows with the task, though another of
    the networks learns more of it, C(M) is the mean over that plateau; else C(M) is a lower bound. The largest of
    several noisy numbers is too large on average, so it stands beside, with by how much. Beside it too: how many bits
    of random labels the same network learns by heart from as many examples.

    Attributes
    ----------
    data
        The tasks, the simplest first; with alphabets, what they are made of.
    models
        Networks: names from `infoscope list models`, with options as in "mlp(widths=(16,))", or module:factory.
    alphabets
        Numbers of classes: the tasks are then the first so many classes of all data in one, whose classes are kept
        apart and whose images take the shape of the first.
    coder
        The networks' own code: replay, entk or blocks. Numbers of different coders are not compared.
    k
        Examples to code, which are not trained on. Default: as many as the smallest task has for it.
    train
        Examples to train on. Default: as many as the smallest task has left.
    memorise
        Epochs of training on random labels; 0 leaves this out.
    replicates
        Networks, each with a coding order of its own. The standard error is over them; one gives none, and no plateau.
    seed
        The first of their seeds.
    epochs
        Most epochs of a training, which ends earlier when it has settled. Default: the recipe's, 1000.
    """

    data: Tasks
    models: Models = (None,)
    alphabets: tuple[int, ...] = ()
    coder: Coder = Replay()
    k: Annotated[int | None, AtLeast(1)] = None
    train: Annotated[int | None, AtLeast(1)] = None
    memorise: Annotated[int, AtLeast(0)] = 300
    replicates: Annotated[int, AtLeast(1)] = 3
    seed: Annotated[int, AtLeast(0)] = 0
    epochs: Annotated[int | None, AtLeast(1)] = None

    def __post_init__(self) -> None:
        check_fields(self)
        check_own_code(self.coder)
        if not several(self.models):
            raise ValueError("models is empty; name one network or more, or leave it out")
        if any(b <= a for a, b in zip((1, *self.alphabets), self.alphabets, strict=False)):
            raise ValueError(f"alphabets are {self.alphabets}; give growing numbers of classes, from 2 on")

    def stages(self, device: str = "cpu") -> Stages[CapacityAnswer]:
        """For every network its information about every task, then what it memorises."""
        given = self._tasks()
        self._check(given)
        models = several(self.models)
        learners = {_name(given[0], one): one for one in models}
        if len(learners) < len(models):
            raise ValueError(f"two of the models are called the same; there are {', '.join(learners)}")
        parts = self._parts(given)
        complexity = self.alphabets or tuple(range(1, len(given) + 1))
        held: list[Held] = []
        for name, model in learners.items():
            made = [learner_for(task, model, self.epochs) for task in given]
            known = []
            for part, learner in zip(parts, made, strict=True):
                known.append((yield from train_then_code(part, learner, self.coder, self._seeds, device)))
            memory = (yield from self._memory(parts[-1].train, made[-1], device)) if self.memorise else None
            counted = made[-1].network(given[-1].shape, given[-1].target.outputs, self.seed).parameters()
            size = sum(p.numel() for p in counted)
            names = tuple(task.name for task in given)
            held.append(Held(name, names, complexity, size, tuple(known), memory, self._choice))
            yield Rows(tuple(held[-1].task_rows()))
        whole = [
            dataclasses.replace(one, others=tuple(other.values for other in held if other is not one)) for one in held
        ]
        return CapacityAnswer(self, tuple(whole), tuple(parts))

    @property
    def _seeds(self) -> range:
        return range(self.seed, self.seed + self.replicates)

    @property
    def _choice(self) -> str:
        return "numbers of classes" if self.alphabets else "the tasks' order"

    def _tasks(self) -> tuple[Task, ...]:
        given = tasks(self.data)
        if not self.alphabets:
            return given
        pools = [resized(self._enough(training_part(task)), given[0].shape) for task in given]
        whole = union(*pools, disjoint=True) if len(pools) > 1 else pools[0]
        if self.alphabets[-1] > whole.classes:
            raise ValueError(
                f"{whole.name!r} has {whole.classes} classes, and alphabets asks for {self.alphabets[-1]}; add data"
            )
        return tuple(dataclasses.replace(first_classes(whole, n), name=f"{n} classes") for n in self.alphabets)

    def _enough(self, pool: Task) -> Task:
        """As many examples as a task of its classes alone can need, twice over: what is united is held in memory."""
        if self.k is None or self.train is None:
            return pool
        most = 2 * (self.k + self.train + self.train // 9) * max(1, -(-pool.classes // self.alphabets[0]))
        return pool.shuffled(0)[:most] if len(pool) > most else pool

    def _check(self, given: Sequence[Task]) -> None:
        others = [task.name for task in given if not isinstance(task.target, Classes)]
        if self.memorise and others:
            raise ValueError(f"{others[0]!r} has no classes to draw at random; set memorise to 0")
        for task in given:
            coded, trained = room(task, self.k)
            if self.train is not None and self.train > trained:
                raise ValueError(f"{task.name!r} has {trained} examples to train on, and train = {self.train}")
            if self.k is not None and self.k > coded:
                raise ValueError(f"{task.name!r} has {coded} examples to code, and k = {self.k}")

    def _parts(self, given: Sequence[Task]) -> list[Partition]:
        """The same k and the same training size for all."""
        k = self.k or min(room(task)[0] for task in given)
        train = self.train or min(room(task, k)[1] for task in given)
        return comparable([partition(task, k=k, train=train) for task in given])

    def _memory(self, task: Task, learner: Learner, device: str) -> Generator[Request, Any, Memory]:
        """The networks trained on as many random labels, each with its own, and what these cost them then."""
        recipe: Recipe = dataclasses.replace(learner.recipe, epochs=self.memorise, patience=None)
        noise = {seed: task.corrupted(ShuffledLabels(), seed) for seed in self._seeds}
        crammed = dataclasses.replace(learner, recipe=recipe)
        found: Population = yield Train(tuple(Member(crammed, noise[s], s, name=f"random {s}") for s in noise))
        looks = [
            look
            for i, seed in enumerate(found.seeds)
            for look in loss_looks(noise[seed], [crammed.starting_from(found.trained(i).weights)], [seed], device)
        ]
        losses: list[HeldOutLoss] = yield Looks(tuple(looks))
        return Memory(task, self.memorise, dict(zip(found.seeds, losses, strict=True)))


@dataclass(frozen=True)
class CapacityAnswer:
    """What `Capacity` comes to."""

    question: Capacity
    held: tuple[Held, ...]
    parts: tuple[Partition, ...]

    @property
    def title(self) -> str:
        """Capacity of these networks."""
        return f"Capacity of {', '.join(one.model for one in self.held)}"

    def record(self) -> Record:
        """For every network what it knows of each task, then its capacity."""
        return Record.of(row for one in self.held for row in one.rows())

    def figures(self) -> list[Figure]:
        """Fig. 6: information against the task, capacity and what is memorised against the size."""
        return [self._saturation(), self._sizes(), *([self._tasks()] if len(self.held) > 1 else [])]

    def sentence(self) -> str:
        """What each network holds, and what is not known."""
        return " ".join(_sentence(one) for one in self.held)

    def choices(self) -> Mapping[str, str]:
        """The networks, and how each task was parted."""
        told = {"Networks": ", ".join(one.model for one in self.held), "Complexity": self.question._choice}
        return told | {name: "; ".join(part.notes) for name, part in zip(self.held[0].tasks, self.parts, strict=True)}

    def write(self, folder: Path) -> Mapping[str, str]:
        """No file but the report."""
        return {}

    def _saturation(self) -> Figure:
        lines = []
        for one in self.held:
            lines.append(_line(one.model, one.complexity, one.informations()))
            if (first := one.plateau) is not None:
                x = one.complexity[first:]
                lines.append(Line(f"{one.model}, plateau", x, [one.capacity().bits] * len(x), dash=True))
        caption = "A dashed line is a plateau; a network without one may hold more than the last task asks for."
        label = "classes" if self.question.alphabets else "task"
        return Figure("Information against the task", label, "bits known of the task", lines, caption=caption)

    def _sizes(self) -> Figure:
        by_size = sorted(self.held, key=lambda one: one.parameters)
        sizes = [one.parameters for one in by_size]
        lines = [_line("C(M)", sizes, [one.capacity() for one in by_size])]
        if all(one.memory is not None for one in by_size):
            lines.append(_line("memorised of random labels", sizes, [one.memorised() for one in by_size]))
        return Figure("Capacity against size", "parameters", "bits", lines, log_x=True)

    def _tasks(self) -> Figure:
        by_size = sorted(self.held, key=lambda one: one.parameters)
        sizes = [one.parameters for one in by_size]
        lines = [
            _line(name, sizes, [one.informations()[i] for one in by_size]) for i, name in enumerate(by_size[0].tasks)
        ]
        return Figure("Information against size", "parameters", "bits known of the task", lines, log_x=True)


def _line(name: str, x: Sequence[float], found: Sequence[Measurement]) -> Line:
    known = all(len(m.replicates) > 1 for m in found)
    lower, upper = ([m.bits + sign * m.stderr_bits for m in found] if known else None for sign in (-1, 1))
    return Line(name, x, [m.bits for m in found], lower, upper)


def _sentence(one: Held) -> str:
    found = one.capacity()
    if (first := one.plateau) is not None:
        return f"{one.model} holds {found.with_error()} bits: more it does not learn from {one.tasks[first]} on."
    return f"{one.model} holds at least {found.with_error()} bits; no plateau is in sight."


def _name(task: Task, model: Model) -> str:
    """What tells a network from the others: the words that were given, or its factory with its options."""
    if model is None or isinstance(model, str):
        return model_name(task, model)
    factory = model.factory if isinstance(model, Learner) else model
    return text_of(factory, MODELS) if dataclasses.is_dataclass(factory) else model_name(task, model)


def capacity(*data: Any, context: RunContext = RunContext(), **options: Any) -> Record:
    """How many bits can a network hold, whatever it learns? `Capacity` asked at once; its table.

    >>> from infoscope.models import MLP
    >>> quick = {"coder": Replay(replays=1, start=8), "k": 20, "replicates": 1, "memorise": 5, "epochs": 3}
    >>> table = capacity("iris", models=[MLP((2,))], **quick)
    >>> [row.measurement.quantity for row in table][-5:]
    ['max L(M,D)', 'bias of the maximum', 'C(M)', 'parameters', 'memorised']
    """
    given = [task for one in data for task in tasks(one)]
    return ask(Capacity(given, **options), context).record()
