"""The questions that codelengths answer, one function each: a few lines that look, then estimate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

from infoscope.data.partition import MOST_CODED, Partition, partition
from infoscope.data.task import Task
from infoscope.ensembles.run_context import Running
from infoscope.measurement import Bound, Measurement, Receipt
from infoscope.model_information.information import Knowledge, measure_weights, train_and_measure
from infoscope.prequential import codelength as estimate
from infoscope.prequential.encode import Coder, curve_looks
from infoscope.prequential.kernel import Kernel
from infoscope.prequential.loss_curve import LossCurve
from infoscope.prequential.replay import Replay
from infoscope.record import Record
from infoscope.training.learner import Learner, Weights


@overload
def codelength(what: LossCurve | Sequence[LossCurve], *, strict: bool = True) -> Measurement: ...
@overload
def codelength(
    what: Task,
    coder: Coder = ...,
    *,
    learner: Learner | None = ...,
    orders: int = ...,
    seed: int = ...,
    examples: int | None = ...,
    running: Running | None = ...,
    strict: bool = True,
) -> Measurement: ...
def codelength(
    what: Task | LossCurve | Sequence[LossCurve], coder: Coder = Kernel(), *, strict: bool = True, **options: Any
) -> Measurement:
    """In how few bits can these labels be sent, given the inputs? L(y|x), nats, an upper bound.

    `what` is a task, whose labels are sent by `coder` in `orders` random orders (three unless said otherwise; the
    standard error is over them), or loss curves that are already there. `learner` gives the network to a coder that
    is a network's own; `examples` sends only the first so many in coding order.

    >>> import infoscope
    >>> print(infoscope.codelength(infoscope.LossCurve.from_probabilities([[0.5, 0.5]] * 4, [0, 1, 1, 0])))
    L(y|x) = 4.000 bit (upper bound)
    """
    curves = loss_curves(what, coder, **options) if isinstance(what, Task) else what
    return estimate.codelength(curves).checked(strict)


def loss_curves(
    task: Task,
    coder: Coder = Kernel(),
    *,
    learner: Learner | None = None,
    orders: int = 3,
    seed: int = 0,
    examples: int | None = None,
    keep_first: bool = False,
    running: Running | None = None,
) -> list[LossCurve]:
    """One loss curve for each coding order, drawn by the seeds `seed`, `seed` + 1 and so on.

    With `keep_first` the first of them holds every prediction, from which `write_labels` makes a file.
    """
    running = running or Running()
    seeds = range(seed, seed + orders)
    looks = curve_looks(
        task, coder, [learner] * orders, seeds=seeds, examples=examples, device=running.device, keep_first=keep_first
    )
    return running.look(looks)


@overload
def information(
    what: LossCurve | Sequence[LossCurve], by: LossCurve | Sequence[LossCurve], *, strict: bool = True
) -> Measurement: ...
@overload
def information(
    what: Task,
    by: Learner,
    coder: Coder = ...,
    *,
    weights: Weights | None = ...,
    trained_on: Task | None = ...,
    initial: Weights | None = ...,
    k: int | None = ...,
    train: int | None = ...,
    replicates: int = ...,
    seed: int = ...,
    running: Running | None = ...,
    strict: bool = True,
) -> Measurement: ...
def information(what: Any, by: Any, coder: Coder = Replay(), *, strict: bool = True, **options: Any) -> Measurement:
    """How much does a network know about a task? L(M, D), nats: eq. (2) of Zhang et al. (2020).

    Give a task and a learner: its network is trained on one part and sends the labels of another, from its initial
    and from its trained weights. Or give your own `weights`, and `trained_on` (the task they were trained on) so that
    the split can be checked; the whole of the task is then coded. Or give the two terms as loss curves, initial first.
    """
    if not isinstance(what, Task):
        return estimate.model_information(what, by).checked(strict)
    return knowledge(what, by, coder, **options).measurements()[0].checked(strict)


def knowledge(
    task: Task,
    learner: Learner,
    coder: Coder = Replay(),
    *,
    weights: Weights | None = None,
    trained_on: Task | None = None,
    initial: Weights | None = None,
    k: int | None = None,
    train: int | None = None,
    replicates: int = 3,
    seed: int = 0,
    running: Running | None = None,
) -> Knowledge:
    """The look behind `model_information`: both terms, accuracy and confidence."""
    if weights is None:
        parts = partition(task, k=k, train=train)
        return train_and_measure(parts, learner, coder, replicates=replicates, seed=seed, running=running)
    return measure_weights(
        task, learner, weights, coder,
        trained_on=trained_on, initial=initial, k=k, replicates=replicates, seed=seed, running=running,
    )  # fmt: skip


def difficulty(
    *tasks: Task,
    learner: Learner,
    coder: Coder = Replay(),
    data_coder: Coder = Kernel(),
    k: int | None = None,
    train: int | None = None,
    examples: int | None = None,
    orders: int = 3,
    seed: int = 0,
    running: Running | None = None,
    into: Record | None = None,
) -> Record:
    """How hard is a task, and how much of it does a network learn? A table, one row a task and quantity.

    Codelength of the labels against uniform and against H(Y), of at most 10,000 examples unless said otherwise; the
    information L(M_D, D) that the learner's network takes up (eq. 2); its accuracy and confidence (eq. 9-11). Tasks
    that are compared share the smallest k. "Model Information as an Analysis Tool in Deep Learning", §3.
    """
    record = Record() if into is None else into
    for task, parts in zip(tasks, comparable([partition(t, k=k, train=train) for t in tasks]), strict=True):
        found = describe(
            task, parts, learner, coder, data_coder, orders=orders, seed=seed, examples=examples, running=running
        )
        for row in found.measurements():
            record.append(row, task=task.name)
    return record


@dataclass(frozen=True)
class Description:
    """What `difficulty` looks at for one task: its labels' curves, and what the network knows."""

    task: Task
    curves: Sequence[LossCurve]
    known: Knowledge

    def measurements(self) -> list[Measurement]:
        """All quantities, the codelength first."""
        return [*about_labels(training_part(self.task), self.curves), *self.known.measurements()]


def describe(
    task: Task,
    parts: Partition,
    learner: Learner,
    coder: Coder,
    data_coder: Coder,
    *,
    orders: int,
    seed: int,
    examples: int | None,
    running: Running | None,
) -> Description:
    """The look behind `difficulty`, for one task."""
    whole = training_part(task)
    some = examples or min(MOST_CODED, len(whole))
    curves = loss_curves(whole, data_coder, learner=learner, orders=orders, seed=seed, examples=some, running=running)
    known = train_and_measure(parts, learner, coder, replicates=orders, seed=seed, running=running)
    return Description(task, curves, known)


def about_labels(task: Task, curves: Sequence[LossCurve]) -> list[Measurement]:
    """The codelength of a task's labels beside n log C and n H(Y), which tell what is much and what is little."""
    receipt = Receipt("empirical label frequencies", data=task.fingerprint[:16], n=len(curves[0]))
    entropy = len(curves[0]) * task.label_entropy
    return [
        estimate.codelength(curves),
        estimate.uniform_codelength(curves),
        Measurement("n H(Y)", entropy, 0.0, bound=Bound.EXACT, receipt=receipt),
    ]


def training_part(task: Task) -> Task:
    """The examples whose labels are sent: the `train` split where there is one, else all."""
    return task["train"] if "train" in task.splits else task


def comparable(parts: Sequence[Partition]) -> list[Partition]:
    """The partitions with the smallest k of all, so that their informations can be compared."""
    k = min(len(p.coded) for p in parts)
    return [p.coding(k) for p in parts]
