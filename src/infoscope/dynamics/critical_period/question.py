"""The question of critical periods: what does a deficit early in training cost for good?"""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch

from infoscope.data.deficit import DEFICITS, Blur, Deficit
from infoscope.data.named import AnyTask, task_of
from infoscope.data.partition import Partition, partition, room
from infoscope.data.task import Task
from infoscope.dynamics.critical_period.answer import CriticalPeriodAnswer
from infoscope.dynamics.critical_period.cells import CONTROLS, Cell, Control, grid
from infoscope.dynamics.critical_period.networks import DeficitNetworks
from infoscope.dynamics.fisher_training.curve import Watching
from infoscope.dynamics.fisher_training.watched_trainings import WatchedTraining, WatchTrainings
from infoscope.method_text import text_of
from infoscope.model_information.codes import code_looks
from infoscope.model_information.information import check_own_code
from infoscope.model_information.task_information import prediction_look
from infoscope.models.default import Model, learner_for, model_name
from infoscope.options import AtLeast, check_fields
from infoscope.prequential.encode import Coder
from infoscope.prequential.loss_curve import LossCurve
from infoscope.prequential.replay import Replay
from infoscope.run.context import RunContext
from infoscope.run.look import Looks
from infoscope.run.question import Request, Rows, Stages, ask
from infoscope.training.learner import Learner
from infoscope.training.predict import Predictions
from infoscope.training.recipe import Constant, Cosine, Optimizer

Deficits = Sequence[Deficit]
"""Deficits that are compared."""

EPOCHS = 20
SHARES = (0.1, 0.2, 0.4, 0.6, 0.8)
"""Of the training that a deficit lasts."""

TRAINED, TESTED = 5000, 2000
"""Examples that are trained on and tested, at most, unless said otherwise."""

_DECAYS = {"cosine": Cosine(), "constant": Constant()}


@dataclass(frozen=True)
class CriticalPeriod:
    """Is there a time in training in which a deficit does harm for good? Final accuracy over onset and length of one.

    Networks learn from blurred, flipped, renamed or blank images for some epochs, and from the clean ones in all
    others. Beside accuracy on clean examples stand what a network knows of the task in bits, L(M, D), and the Fisher
    information while it trains, on the same clean examples. Achille, Rovere & Soatto (2019). Two control runs tell a
    critical period from what training gives by itself: as many clean steps as without the deficit, and a learning rate
    that begins anew when the deficit ends (Pawlak 2025).

    Attributes
    ----------
    data
        Images of one class each.
    model
        Network: a name from `infoscope list models`, or module:factory. Default: mlp, or cnn from 16 pixels on.
    deficit
        blur, flip, permute, noise or shuffled-labels, with options as in "blur(factor=2)". Repeat it to compare; those
        that are drawn are drawn by the seed.
    onset
        Epochs after which it begins.
    length
        Epochs that it lasts; 0 is no deficit. Default: a tenth, two, four, six and eight tenths of the epochs. What
        leaves no clean epoch after it is left out.
    control
        What follows. none: what is left of the epochs. steps: as many clean epochs as without the deficit. rate: what
        is left, the learning rate's decay begun anew. both: both. Default: all.
    epochs
        Of a training without deficit. Default: 20, or those of your recipe.
    optimizer
        adam, sgd, or with options, sgd(lr=0.05). Default: the recipe's, adam.
    decay
        Of the learning rate: cosine, or constant, which can't begin anew. Default: cosine, or that of your recipe.
    train
        Examples to train on. Default: what there is, at most 5,000.
    k
        Examples to test on, which are not trained on. Default: the test split or a third, at most 2,000.
    coded
        Of these, examples whose labels are sent for L(M, D); 0 leaves it out.
    coder
        The network's own code: replay, entk or blocks.
    examples
        Examples on which the Fisher information is measured after every epoch.
    draws
        Random signs that each of them is sketched with.
    replicates
        Networks of every cell, paired by their seeds. The standard error is over them; one gives none.
    seed
        The first of their seeds.
    """

    data: AnyTask
    model: Model = None
    deficit: Deficits = (Blur(),)
    onset: tuple[int, ...] = (0,)
    length: tuple[int, ...] | None = None
    control: tuple[Control, ...] = CONTROLS
    epochs: Annotated[int | None, AtLeast(1)] = None
    optimizer: Optimizer | None = None
    decay: Literal["cosine", "constant"] | None = None
    train: Annotated[int | None, AtLeast(2)] = None
    k: Annotated[int | None, AtLeast(1)] = None
    coded: Annotated[int, AtLeast(0)] = 200
    coder: Coder = Replay()
    examples: Annotated[int, AtLeast(2)] = 32
    draws: Annotated[int, AtLeast(1)] = 1
    replicates: Annotated[int, AtLeast(1)] = 3
    seed: Annotated[int, AtLeast(0)] = 0

    def __post_init__(self) -> None:
        check_fields(self)
        check_own_code(self.coder)
        for name in ("deficit", "onset", "control", "length"):
            if getattr(self, name) == ():
                raise ValueError(f"no {name} was given; give one or more")
        if odd := [one for one in self.control if one not in CONTROLS]:
            raise ValueError(f"no control {odd[0]!r}; there are {', '.join(CONTROLS)}")
        for name in ("onset", "length"):
            if low := [one for one in getattr(self, name) or () if one < 0]:
                raise ValueError(f"{name} is {low[0]}; it counts epochs, 0 or more")

    def stages(self, device: str = "cpu") -> Stages[CriticalPeriodAnswer]:
        """All trainings, each watched; then what the networks predict, and their codes."""
        parts, learner = self._given()
        others = self._under_deficits(parts.train)
        cells = self._cells(list(others), learner)
        keys = [(cell, seed) for cell in cells for seed in self.seeds]
        members = [c.member(learner, parts.train, others.get(c.deficit, parts.train), s) for c, s in keys]
        watching = Watching(_steps(parts.train, learner), min(self.examples, len(parts.train)), self.draws)
        # Networks of one seed stand together, as they are one row until their trainings part.
        order = sorted(range(len(keys)), key=lambda i: (keys[i][1], keys[i][0].deficit, keys[i][0].onset, i))
        came: list[WatchedTraining] = yield WatchTrainings(tuple(members[i] for i in order), watching)
        found = {keys[i]: one for i, one in zip(order, came, strict=True)}
        found = {key: found[key] for key in keys}
        lost = {f"{cell.name}, seed {seed}": one.stopped for (cell, seed), one in found.items() if one.stopped}
        trained = {key: one for key, one in found.items() if not one.stopped}
        if not any(not cell.length for cell, _ in trained):
            raise ValueError(f"no training without a deficit went to its end: {next(iter(lost.values()))}")
        finals = {key: learner.starting_from(one.weights) for key, one in trained.items()}
        tested: list[Predictions] = yield Looks(
            tuple(prediction_look(parts.coded, final, seed, device) for (_, seed), final in finals.items())
        )
        curves = {key: one.curve for key, one in trained.items()}
        networks = DeficitNetworks(parts.coded, curves, dict(zip(finals, tested, strict=True)))
        yield Rows(networks.rows_of_accuracy())
        if self.coded:
            coded = parts.coded[: min(self.coded, len(parts.coded))]
            initial, codes = yield from self._codes(coded, learner, finals, device)
            networks = dataclasses.replace(networks, initial=initial, codes=codes)
        name = model_name(parts.train, self.model)
        return CriticalPeriodAnswer(name, parts, learner.recipe.epochs, networks, lost, self._notes(learner))

    @property
    def seeds(self) -> range:
        """Of the networks."""
        return range(self.seed, self.seed + self.replicates)

    def _codes(
        self, coded: Task, learner: Learner, finals: Mapping[tuple[Cell, int], Learner], device: str
    ) -> Generator[Request, Any, tuple[dict[int, LossCurve], dict[tuple[Cell, int], LossCurve]]]:
        """The untrained networks' codes by seed, and the trained ones'."""
        seeds = list(dict.fromkeys(seed for _, seed in finals))
        first = code_looks(coded, self.coder, [learner] * len(seeds), seeds=seeds, device=device, label="initial code")
        second = code_looks(
            coded, self.coder, list(finals.values()), seeds=[seed for _, seed in finals], device=device,
            label="trained code",
        )  # fmt: skip
        curves: list[LossCurve] = yield Looks(first + second)
        n = len(seeds)
        return dict(zip(seeds, curves[:n], strict=True)), dict(zip(finals, curves[n:], strict=True))

    def _given(self) -> tuple[Partition, Learner]:
        task = task_of(self.data)
        if len(task.labels) and len(torch.unique(task.labels)) < 2:
            raise ValueError(f"{task.name!r} has examples of one class only, and nothing to learn; take two or more")
        for one in self.deficit:
            task[:2].corrupted(one, self.seed)  # what a deficit can't be made of is said before anything is read
        most = min(TRAINED, room(task, self.k)[1])
        parts = partition(task, k=self.k or min(TESTED, room(task)[0]), train=self.train or most)
        learner = learner_for(parts.train, self.model)
        recipe, own = learner.recipe, isinstance(self.model, Learner)
        decay = _DECAYS[self.decay] if self.decay else recipe.decay if own else Cosine()
        recipe = dataclasses.replace(
            recipe, epochs=self.epochs or (recipe.epochs if own else EPOCHS), patience=None, decay=decay,
            optimizer=self.optimizer or recipe.optimizer,
        )  # fmt: skip
        if len(parts.train) > 1 and len(parts.train) % recipe.batch == 1:  # so that all epochs have as many steps
            parts = dataclasses.replace(parts, train=parts.train[:-1])
        return parts, dataclasses.replace(learner, recipe=recipe)

    def _under_deficits(self, task: Task) -> dict[str, Task]:
        return {text_of(one, DEFICITS): task.corrupted(one, self.seed) for one in dict.fromkeys(self.deficit)}

    def _cells(self, deficits: Sequence[str], learner: Learner) -> tuple[Cell, ...]:
        """All that fit; an onset or a length that never fits is refused."""
        epochs = learner.recipe.epochs
        controls: list[Control] = list(dict.fromkeys(self.control))
        if isinstance(learner.recipe.decay, Constant):  # a constant rate is as it was when it begins anew
            same: dict[Control, Control] = {"rate": "none", "both": "steps"}
            controls = list(dict.fromkeys(same.get(one, one) for one in controls))
        if late := [onset for onset in self.onset if onset >= epochs]:
            raise ValueError(
                f"the onset {late[0]} is beyond the training, which has {epochs} epochs; take a smaller onset, or more "
                "epochs"
            )
        lengths = self._lengths(epochs)
        for length in lengths:
            if not grid(["any"], self.onset, [length], controls, epochs)[1:] and length:
                raise ValueError(
                    f"a deficit of {length} epochs leaves no clean one of {epochs}; take a shorter one, more "
                    "epochs, or control steps"
                )
        return grid(deficits, sorted(set(self.onset)), lengths, controls, epochs)

    def _lengths(self, epochs: int) -> list[int]:
        if self.length is not None:
            return sorted(set(self.length))
        return sorted({max(1, round(share * epochs)) for share in SHARES})

    def _notes(self, learner: Learner) -> dict[str, str]:
        """What was chosen for the caller."""
        epochs, told = learner.recipe.epochs, {}
        wanted = [Cell("", o, n, c) for o in set(self.onset) for n in self._lengths(epochs) for c in self.control if n]
        if left := {(cell.onset, cell.end) for cell in wanted if not cell.fits(epochs)}:
            spans = ", ".join(f"{onset} to {end}" for onset, end in sorted(left))
            told["Left out"] = f"epochs {spans}, after which none is left, but with control steps or both"
        if isinstance(learner.recipe.decay, Constant) and {"rate", "both"} & set(self.control):
            told["Control"] = "the learning rate is constant, so that rate is none, and both is steps"
        return told


def critical_period(
    data: Any, model: Model = None, *, context: RunContext = RunContext(), **options: Any
) -> CriticalPeriodAnswer:
    """What does a deficit early in training cost for good? `CriticalPeriod` asked at once.

    >>> from infoscope import VerticalFlip
    >>> from infoscope.models import MLP
    >>> digits = Task.from_dataset("digits")[:90]
    >>> how = {"deficit": (VerticalFlip(),), "length": (2,), "control": ("none",), "epochs": 4, "coded": 0}
    >>> found = critical_period(digits, MLP((4,)), replicates=2, **how)
    >>> [cell.name for cell in found.cells]
    ['no deficit', 'flip in epochs 0 to 2, control none']
    """
    return ask(CriticalPeriod(data, model, **options), context)


def _steps(task: Task, learner: Learner) -> int:
    """Of an epoch; a last batch of one example there is not."""
    return -(-len(task) // learner.recipe.batch)
