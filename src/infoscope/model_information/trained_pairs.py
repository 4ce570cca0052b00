"""Networks before and after training, one a seed, and the examples on which they are measured."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

from infoscope.data.named import training_part
from infoscope.data.partition import MOST_CODED, Partition, unseen
from infoscope.data.task import Task
from infoscope.ensembles.population import Member, Population
from infoscope.ensembles.train import Train
from infoscope.measurement import Status
from infoscope.run.question import Request
from infoscope.training.fit import overfit
from infoscope.training.learner import Learner, Weights, copy_weights

Pair = tuple[Learner, Learner]
"""A learner that starts where a training began, and one that starts where it ended."""


@dataclass(frozen=True, eq=False)
class TrainedPairs:
    """One pair a seed; `coded` was not trained on as far as `status` knows, and `notes` say how that was seen to."""

    coded: Task
    seeds: tuple[int, ...]
    pairs: tuple[Pair, ...]
    status: frozenset[Status] = frozenset()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class OwnWeights:
    """A caller's weights, the data that they were trained on, and where their training began: weights or a seed."""

    weights: Weights
    trained_on: Task | None = None
    initial: Weights | int | None = None


def trained_pairs(parts: Partition, learner: Learner, seeds: Sequence[int]) -> Generator[Request, Any, TrainedPairs]:
    """Train one network a seed; one whose training diverges is left out, and named in the notes."""
    if not len(parts.coded):
        notes = (*parts.notes, "nothing is coded, so nothing was trained")
        return TrainedPairs(parts.coded, tuple(seeds), ((learner, learner),) * len(seeds), notes=notes)
    population: Population = yield Train(tuple(Member(learner, parts.train, s, parts.validation) for s in seeds))
    trained = [population.trained(i) for i in range(len(population))]
    status = frozenset(
        {Status.NOT_CONVERGED for t in trained if not t.converged}
        | {Status.OVERFIT for t in trained if overfit(t, learner.recipe)}
    )
    pairs = tuple((learner.starting_from(t.initial), learner.starting_from(t.weights)) for t in trained)
    epochs = ", ".join(str(t.epochs) for t in trained)
    lost = [f"left out: {name}: {why}" for name, why in population.failed.items()]
    notes = (*parts.notes, f"epochs: {epochs}", f"trained by {', '.join(map(str, population.ways))}", *lost)
    return TrainedPairs(parts.coded, population.seeds, pairs, status, notes)


def own_pairs(task: Task, learner: Learner, own: OwnWeights, k: int | None, seeds: Sequence[int]) -> TrainedPairs:
    """The caller's weights, and where their training began, else each seed's own start; the task's test split is coded.

    Without `trained_on` nobody can check that the coded examples are new, and the status is UNVERIFIED_SPLIT.
    """
    coded = task["test"] if "test" in task.splits else task
    most = MOST_CODED if k is None else k
    coded, status, notes = _unseen(coded.shuffled(seeds[0]), own.trained_on, most)
    if k is not None and k > len(coded):
        raise ValueError(f"{coded.name!r} has {len(coded)} examples to code, and k = {k} were asked for")
    coded = coded[: min(most, len(coded))]
    initial = own.initial
    if isinstance(initial, int):
        initial = copy_weights(learner.network(coded.shape, coded.target.outputs, initial))
    start = learner if initial is None else learner.starting_from(initial)
    pairs = ((start, learner.starting_from(own.weights)),) * len(seeds)
    return TrainedPairs(coded, tuple(seeds), pairs, status, notes)


def _unseen(coded: Task, trained_on: Task | None, most: int) -> tuple[Task, frozenset[Status], tuple[str, ...]]:
    """What of the task was not trained on, as far as can be checked; of many examples twice what is coded."""
    doubt = frozenset({Status.UNVERIFIED_SPLIT})
    if trained_on is None:
        return coded, doubt, ("nothing was checked: the data that were trained on are not known",)
    found = unseen(coded[: 2 * most], training_part(trained_on))
    return found.task, frozenset() if found.verified else doubt, found.notes
