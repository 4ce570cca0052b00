"""The question of a data set's codelength: in how few bits can its labels be sent?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, overload

from infoscope.data.corruption import MissingObjects, MissingPixels
from infoscope.data.named import Tasks, tasks, training_part
from infoscope.data.targets import Classes
from infoscope.data.task import Task
from infoscope.figure import Figure
from infoscope.measurement import Bound, Measurement, Receipt
from infoscope.method_text import text_of
from infoscope.model_information import figures, wording
from infoscope.model_information.codes import code_looks
from infoscope.model_information.files import check_writable, save_per_example
from infoscope.models.default import Model, learner_for, model_name
from infoscope.options import AtLeast, check_fields
from infoscope.prequential import codelength as estimate
from infoscope.prequential.coders import CODERS
from infoscope.prequential.encode import Coder, features_of
from infoscope.prequential.frozen import AnyFeatures, check_features, frozen, told_of, with_features
from infoscope.prequential.label_file import Written, write_labels
from infoscope.prequential.loss_curve import LossCurve, is_curves
from infoscope.prequential.mixed import Mixed
from infoscope.record import Record, Row
from infoscope.run.context import RunContext
from infoscope.run.look import Looks
from infoscope.run.question import Rows, Stages
from infoscope.training.learner import Learner


@dataclass(frozen=True)
class Codelength:
    """In how few bits can the labels be sent to somebody who has the inputs?

    The prequential codelength L(y|x) beside n log C and n H(Y), which tell what is much and what is little.

    Attributes
    ----------
    data
        The data sets; their train splits where they have them.
    coder
        mixed or kernel (model-free), or a network's own: replay, entk, blocks, blocks-warm.
    features
        Frozen features that sender and receiver both own, beside the inputs, for mixed and kernel: NAME=FILE, a model's
        name and its weights, hf:NAME, or a file .npy with a row an example. What they know themselves is not counted.
    model
        The network of such a coder, from its initial weights.
    replicates
        Coding orders. The standard error is over them; one gives none.
    seed
        The first of their seeds.
    examples
        Send only the first so many labels in coding order, to one who has these inputs and no others.
    write
        Write the labels of the first order to this file, from which `infoscope decode` gives them back.
    per_example
        Write every example's code length, in coding order, to this .npz.
    """

    data: Tasks
    coder: Coder = Mixed()
    model: Model = None
    replicates: Annotated[int, AtLeast(1)] = 3
    seed: Annotated[int, AtLeast(0)] = 0
    examples: Annotated[int | None, AtLeast(1)] = None
    write: Path | None = None
    per_example: Path | None = None
    features: AnyFeatures = None

    def __post_init__(self) -> None:
        check_fields(self)
        object.__setattr__(self, "features", frozen(self.features))
        with_features(self.coder, self.features)

    def stages(self, device: str = "cpu") -> Stages[CodelengthAnswer]:
        """The curves of one task after another."""
        wholes = [training_part(task) for task in tasks(self.data)]
        self._check(wholes)
        found: list[LabelCode] = []
        for task in wholes:
            learner = learner_for(task, self.model) if self.coder.needs_network else None
            looks = label_looks(
                task, self.sender, learner, self.replicates, self.seed, self.examples, device, self.write is not None
            )
            found.append(LabelCode(task, (yield looks)))
            yield Rows(found[-1].rows())
        return CodelengthAnswer(self, tuple(found))

    @property
    def sender(self) -> Coder:
        """The coder with the features that it predicts from."""
        return with_features(self.coder, self.features)

    def _check(self, given: Sequence[Task]) -> None:
        check_writable(self.write, self.per_example)
        for task in given:
            check_features(features_of(self.sender), len(task), task.target)
        if self.model is not None and not self.coder.needs_network:
            raise ValueError("a model-free coder uses no model; give the coder replay or entk as well")
        if (self.write or self.per_example) and len(given) > 1:
            raise ValueError("write and per_example take one task; leave out the others")
        if self.write and _is_hidden(given[0]):
            raise ValueError(
                "write: a decoder has the true inputs, not those with missing parts; code the task as it is"
            )


@dataclass(frozen=True)
class LabelCode:
    """A task and the loss curves of its labels."""

    task: Task
    curves: Sequence[LossCurve]

    def rows(self) -> tuple[Row, ...]:
        """The codelength beside n log C and n H(Y), at the task's name."""
        return tuple(Row({"task": self.task.name}, m) for m in about_labels(self.task, self.curves))


@dataclass(frozen=True)
class CodelengthAnswer:
    """What `Codelength` comes to."""

    question: Codelength
    codes: tuple[LabelCode, ...]

    @property
    def title(self) -> str:
        """Codelength of these tasks."""
        return f"Codelength of {', '.join(code.task.name for code in self.codes)}"

    def record(self) -> Record:
        """Three rows a task."""
        return Record.of(row for code in self.codes for row in code.rows())

    def figures(self) -> list[Figure]:
        """Bits sent against labels sent, and the cost of a label against the number known."""
        return figures.codes([figures.NamedCurves(code.task.name, code.curves) for code in self.codes])

    def sentence(self) -> str:
        """How many bits instead of how many."""
        return wording.sentences(self.record())

    def choices(self) -> Mapping[str, str]:
        """The coder, and its network if it has one."""
        features, coder = features_of(self.question.sender), _name_of(self.question.coder)
        if self.question.coder.needs_network:
            names = dict.fromkeys(model_name(code.task, self.question.model) for code in self.codes)
            coder = f"{coder} of {', '.join(names)}"
        told = {"Coder": coder} | told_of(features)
        return told | {code.task.name: "; ".join(code.task.notes) for code in self.codes if code.task.notes}

    def write(self, folder: Path) -> Mapping[str, str]:
        """The label file and the lengths of every example, where they were asked for."""
        asked, (code, *_) = self.question, self.codes
        told = {}
        if asked.write is not None:
            model = model_name(code.task, asked.model) if asked.coder.needs_network else ""
            told["Label file"] = _told(
                write_labels(
                    asked.write,
                    code.task,
                    code.curves[0],
                    coder=_name_of(asked.coder),
                    model=model,
                    features=features_of(asked.sender),
                )
            )
        if asked.per_example is not None:
            save_per_example(asked.per_example, {"": code.curves})
            told["Every example"] = str(asked.per_example)
        return told


@overload
def codelength(what: LossCurve | Sequence[LossCurve], *, strict: bool = True) -> Measurement: ...
@overload
def codelength(
    what: Any,
    coder: Coder = ...,
    *,
    model: Model = ...,
    replicates: int = ...,
    seed: int = ...,
    examples: int | None = ...,
    context: RunContext = ...,
    strict: bool = True,
) -> Measurement: ...
def codelength(what: Any, coder: Coder = Mixed(), *, strict: bool = True, **options: Any) -> Measurement:
    """In how few bits can these labels be sent, given the inputs? L(y|x), nats, an upper bound.

    `what` is a task, or what `Task.of` makes one of (a name, a frame, a pair of arrays); its labels are sent by `coder`
    in `replicates` random orders (three unless said otherwise; the standard error is over them). Or it is loss curves
    that are already there. `model` gives the network to a coder that is a network's own; `examples` sends only the
    first so many in coding order. Frozen features stand in the coder, as in `Mixed(features=array)`.

    >>> import infoscope
    >>> print(infoscope.codelength(infoscope.LossCurve.from_probabilities([[0.5, 0.5]] * 4, [0, 1, 1, 0])))
    L(y|x) = 4 bit (upper bound)
    """
    curves = loss_curves(what, coder, **options) if not is_curves(what) else what
    return estimate.codelength(curves).checked(strict)


def loss_curves(
    what: Any,
    coder: Coder = Mixed(),
    *,
    model: Model = None,
    replicates: int = 3,
    seed: int = 0,
    examples: int | None = None,
    keep_first: bool = False,
    context: RunContext = RunContext(),
) -> list[LossCurve]:
    """One loss curve for each coding order, drawn by the seeds `seed`, `seed` + 1 and so on.

    With `keep_first` the first of them holds what `write_labels` makes a file from.
    """
    (task,) = tasks(what)
    learner = learner_for(task, model) if coder.needs_network else None
    looks = label_looks(task, coder, learner, replicates, seed, examples, context.device, keep_first)
    return looks.take(context)


def label_looks(
    task: Task,
    coder: Coder,
    learner: Learner | None,
    replicates: int,
    seed: int,
    examples: int | None,
    device: str,
    keep_first: bool = False,
) -> Looks[LossCurve]:
    """A task's labels in as many orders."""
    seeds, learners = range(seed, seed + replicates), [learner] * replicates
    return Looks(
        code_looks(task, coder, learners, seeds=seeds, examples=examples, device=device, keep_first=keep_first)
    )


def about_labels(task: Task, curves: Sequence[LossCurve]) -> list[Measurement]:
    """The codelength of a task's labels beside n log C and n H(Y), which tell what is much and what is little.

    n H(Y) is of one class an example; other targets have no frequencies that would say it.
    """
    lengths = [estimate.codelength(curves), estimate.uniform_codelength(curves)]
    if not isinstance(task.target, Classes):
        return lengths
    receipt = Receipt("empirical label frequencies", data=task.fingerprint[:16], n=len(curves[0]))
    entropy = len(curves[0]) * task.label_entropy
    return [*lengths, Measurement("n H(Y)", entropy, 0.0, bound=Bound.EXACT, receipt=receipt)]


def _name_of(coder: Coder) -> str:
    """The coder as text, without features, which no text holds."""
    plain: Any = coder if features_of(coder) is None else replace(coder, features=None)  # pyright: ignore
    return text_of(plain, CODERS)


def _is_hidden(task: Task) -> bool:
    """Whether parts of the inputs were taken away."""
    origins = [task.origin]
    for origin in origins:
        origins += origin.parents
    return any(isinstance(origin.step, MissingPixels | MissingObjects) for origin in origins)


def _told(written: Written) -> str:
    h = written.header
    return (
        f"{written.path}: order {h.order}, header {written.header_bits} bits, payload {written.payload_bits} bits "
        f"for a codelength of {h.codelength_bits:.1f} bits"
    )
