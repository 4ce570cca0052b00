"""Networks of several tasks that begin with one body, and what codes from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

from infoscope.data.partition import Partition
from infoscope.ensembles.population import Population
from infoscope.measurement import Status
from infoscope.model_information.heads import Head, with_head
from infoscope.training.fit import overfit
from infoscope.training.learner import Learner, Weights, copy_weights


@dataclass(frozen=True)
class CommonStart:
    """Where trainings begin: one body a seed for all tasks, or the given weights; and learners that code from there."""

    parts: Mapping[str, Partition]
    learners: Mapping[str, Learner]
    head: Head
    given: Weights | None = None

    def weights(self, name: str, seed: int) -> Weights:
        """The weights that a task's training begins with; where the common head does not fit, a drawn one."""
        own = self._drawn(name, seed)
        body = self._drawn(next(iter(self.parts)), seed) if self.given is None else self.given
        if all(own[key].shape == t.shape for key, t in body.items() if key in own):
            return body
        started = with_head(self.learners[name], body, self.parts[name].train, seed, "start", own).weights
        assert started is not None
        return started

    def start(self, name: str, seed: int) -> Learner:
        """The learner that is trained."""
        return self.learners[name].starting_from(self.weights(name, seed))

    def coding(self, source: str, weights: Weights, target: str, seed: int) -> Learner:
        """The learner that codes a target from a source's weights."""
        begun = self.weights(source, seed)
        return with_head(self.learners[source], weights, self.parts[target].coded, seed, self.head, begun)

    def check(self, seed: int) -> None:
        """ValueError before any training where a head or a body does not fit a task."""
        for source, target in product(self.parts, self.parts):
            self.coding(source, self.weights(source, seed), target, seed)

    def _drawn(self, name: str, seed: int) -> Weights:
        task, learner = self.parts[name].train, self.learners[name]
        return copy_weights(Learner(learner.factory).network(task.shape, task.target.outputs, seed))


@dataclass(frozen=True)
class TrainedOn:
    """The networks of one task by their seeds, what may be wrong with them, and how they came about."""

    weights: Mapping[int, Weights]
    status: frozenset[Status]
    notes: tuple[str, ...]

    @classmethod
    def of(cls, population: Population, part: Partition, learner: Learner) -> TrainedOn:
        """What the measurements need of a population."""
        trained = [population.trained(i) for i in range(len(population))]
        status = frozenset(
            {Status.NOT_CONVERGED for t in trained if not t.converged}
            | {Status.OVERFIT for t in trained if overfit(t, learner.recipe)}
        )
        lost = [f"left out: {name}: {why}" for name, why in population.failed.items()]
        epochs = ", ".join(str(t.epochs) for t in trained)
        weights = {seed: t.weights for seed, t in zip(population.seeds, trained, strict=True)}
        return cls(weights, status, (*part.notes, f"epochs: {epochs}", *lost))
