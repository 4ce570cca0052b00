"""The question of model information: how much does a network know about a task?"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, overload

from infoscope.data.named import Tasks, tasks
from infoscope.data.partition import Partition, partition
from infoscope.data.task import Task
from infoscope.figure import Figure
from infoscope.measurement import Measurement
from infoscope.model_information import figures, wording
from infoscope.model_information.files import check_writable, save_per_example
from infoscope.model_information.task_information import TaskInformation, both_codes
from infoscope.model_information.trained_pairs import OwnWeights, TrainedPairs, own_pairs, trained_pairs
from infoscope.models.default import Model, learner_for, model_name
from infoscope.options import AtLeast, check_fields, weights_or_epochs
from infoscope.prequential import codelength as estimate
from infoscope.prequential.encode import Coder
from infoscope.prequential.loss_curve import LossCurve, is_curves
from infoscope.prequential.replay import Replay
from infoscope.record import Record
from infoscope.run.context import RunContext
from infoscope.run.question import Request, Rows, Stages, ask
from infoscope.training.learner import Learner, Weights


@dataclass(frozen=True)
class Information:
    """How much does a network know about the data? Trains one and codes what it was not trained on, or takes yours.

    L(M, D), eq. (2) of Zhang et al. (2020): the labels of k examples are sent from the initial and from the trained
    weights; what the second saves is what the network knows.

    Attributes
    ----------
    data
        The data sets. With weights, what is coded: the test split where there is one, else all.
    model
        Network: a name from `infoscope list models`, or module:factory. Default: mlp, or cnn from 16 pixels on.
    coder
        The network's own code: replay, entk or blocks. Numbers of different coders are not compared.
    k
        Examples to code, which are not trained on. Default: the test split or a third, at most 10,000.
    train
        Examples to train on. Default: what is left.
    weights
        Your network's weights (.safetensors, or .pt with tensors only); nothing is trained.
    trained_on
        The data that they were trained on, as DATA[:SPLIT], so that the split can be checked.
    initial
        The weights that their training started from: a file, or the seed that drew them.
    replicates
        Networks, each with a coding order of its own. The standard error is over them; one gives none.
    seed
        The first of their seeds.
    epochs
        Most epochs of a training, which ends earlier when it has settled. Default: the recipe's, 1000.
    per_example
        Write every example's code length under both terms to this .npz.
    """

    data: Tasks
    model: Model = None
    coder: Coder = Replay()
    k: Annotated[int | None, AtLeast(0)] = None
    train: Annotated[int | None, AtLeast(1)] = None
    weights: Weights | None = None
    trained_on: Task | None = None
    initial: Weights | int | None = None
    replicates: Annotated[int, AtLeast(1)] = 3
    seed: Annotated[int, AtLeast(0)] = 0
    per_example: Path | None = None
    epochs: Annotated[int | None, AtLeast(1)] = None

    def __post_init__(self) -> None:
        check_fields(self)
        check_own_code(self.coder)
        if self.weights is None and (self.trained_on is not None or self.initial is not None):
            raise ValueError("trained_on and initial describe your own network; give its weights too")
        weights_or_epochs(self)

    def stages(self, device: str = "cpu") -> Stages[InformationAnswer]:
        """Networks, then both terms of eq. (2), one task after another."""
        given = tasks(self.data)
        check_writable(self.per_example)
        if self.per_example is not None and len(given) > 1:
            raise ValueError("per_example takes one task; leave out the others")
        found: list[TaskInformation] = []
        for task in given:
            found.append((yield from self._stages_of(task, learner_for(task, self.model, self.epochs), device)))
            yield Rows(found[-1].rows(task.name))
        return InformationAnswer(self, tuple(task.name for task in given), tuple(found))

    def _stages_of(self, task: Task, learner: Learner, device: str) -> Generator[Request, Any, TaskInformation]:
        seeds = range(self.seed, self.seed + self.replicates)
        if self.weights is None:
            parts = partition(task, k=self.k, train=self.train)
            return (yield from train_then_code(parts, learner, self.coder, seeds, device))
        own = OwnWeights(self.weights, self.trained_on, self.initial)
        return (yield from information_of(own_pairs(task, learner, own, self.k, seeds), self.coder, device))


@dataclass(frozen=True)
class InformationAnswer:
    """What `Information` comes to."""

    question: Information
    names: tuple[str, ...]
    found: tuple[TaskInformation, ...]

    @property
    def title(self) -> str:
        """Information of the network about these tasks."""
        return f"Information of {', '.join(self._models())} about {', '.join(self.names)}"

    def record(self) -> Record:
        """L(M, D), its terms, accuracy and confidence, for every task."""
        return Record.of(row for name, one in zip(self.names, self.found, strict=True) for row in one.rows(name))

    def figures(self) -> list[Figure]:
        """What training saves as labels are sent, and the cost of a label under both terms."""
        saved = [
            figures.saving(name, one.initial, one.trained) for name, one in zip(self.names, self.found, strict=True)
        ]
        terms = [
            figures.NamedCurves(f"{name}, {when}", curves)
            for name, one in zip(self.names, self.found, strict=True)
            for when, curves in (("untrained", one.initial), ("trained", one.trained))
        ]
        return [*saved, figures.costs(terms)]

    def sentence(self) -> str:
        """How many bits training put into the network."""
        return wording.sentences(self.record())

    def choices(self) -> Mapping[str, str]:
        """The network, and how each task was parted."""
        told = {"Network": ", ".join(self._models())}
        for name, one in zip(self.names, self.found, strict=True):
            told[name] = "; ".join(one.notes) or f"{len(one.coded)} examples coded"
        return told

    def write(self, folder: Path) -> Mapping[str, str]:
        """The lengths of every example under both terms, if they were asked for."""
        path = self.question.per_example
        if path is None:
            return {}
        save_per_example(path, {"initial_": self.found[0].initial, "trained_": self.found[0].trained})
        return {"Every example": str(path)}

    def _models(self) -> list[str]:
        return list(dict.fromkeys(model_name(one.coded, self.question.model) for one in self.found))


def train_then_code(
    parts: Partition, learner: Learner, coder: Coder, seeds: Sequence[int], device: str
) -> Generator[Request, Any, TaskInformation]:
    """Train one network a seed, then send the coded labels from its initial and from its final weights.

    A seed whose training diverges is left out, and named in the notes.
    """
    check_own_code(coder)
    return (yield from information_of((yield from trained_pairs(parts, learner, seeds)), coder, device))


def information_of(known: TrainedPairs, coder: Coder, device: str) -> Generator[Request, Any, TaskInformation]:
    """Both terms of eq. (2) of networks that are there."""
    return (yield from both_codes(known.coded, known.pairs, coder, known.seeds, device, known.status, known.notes))


def check_own_code(coder: Coder) -> None:
    """ValueError unless the coder is a network's own."""
    if not coder.needs_network:
        raise ValueError(
            f"eq. (2) measures a network with its own code; "
            f"{type(coder).__name__} knows no network: take replay or entk"
        )


@overload
def information(
    what: LossCurve | Sequence[LossCurve], model: LossCurve | Sequence[LossCurve], *, strict: bool = True
) -> Measurement: ...
@overload
def information(
    what: Any,
    model: Model = ...,
    coder: Coder = ...,
    *,
    weights: Weights | None = ...,
    trained_on: Task | None = ...,
    initial: Weights | int | None = ...,
    k: int | None = ...,
    train: int | None = ...,
    replicates: int = ...,
    seed: int = ...,
    epochs: int | None = ...,
    context: RunContext = ...,
    strict: bool = True,
) -> Measurement: ...
def information(
    what: Any,
    model: Any = None,
    coder: Coder = Replay(),
    *,
    strict: bool = True,
    context: RunContext = RunContext(),
    **options: Any,
) -> Measurement:
    """How much does a network know about a task? L(M, D), nats: eq. (2) of Zhang et al. (2020).

    Give a task and a model: its network is trained on one part and sends the labels of another, from its initial and
    from its trained weights. Or give your own `weights`, and `trained_on` (the task they were trained on) so that the
    split can be checked; the whole of the task is then coded. Or give the two terms as loss curves, initial first.
    """
    if is_curves(what):
        return estimate.model_information(what, model).checked(strict)
    (found,) = ask(Information(what, model, coder, **options), context).found
    return found.measurements()[0].checked(strict)
