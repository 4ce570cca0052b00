"""The question of weight distance: how far does training carry a network?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from infoscope.data.named import Tasks, tasks
from infoscope.data.task import Task
from infoscope.ensembles.planning import EnsembleSpec
from infoscope.ensembles.population import Member
from infoscope.ensembles.train import TrainAndMeasure
from infoscope.ensembles.ways import WayName, check_way
from infoscope.figure import Figure
from infoscope.measurement import NATS_PER_BIT
from infoscope.models.default import Model, model_name
from infoscope.options import AtLeast, check_fields
from infoscope.record import Record, Row
from infoscope.run.context import RunContext
from infoscope.run.question import Rows, Stages, ask
from infoscope.training.recipe import Optimizer
from infoscope.weight_distance import figures, wording
from infoscope.weight_distance.distance_look import VERSION, DistanceLook
from infoscope.weight_distance.member_distances import MemberDistances, joined, stand_in
from infoscope.weight_distance.members import Training, example_of, members_of, trained_part
from infoscope.weight_distance.result import DistanceResult, common_loss, distance_result, knowing_nothing

_STOPS = 12  # epochs of the curve


@dataclass(frozen=True)
class WeightDistance:
    """How far does training carry a network's weights? Mean, deviation and c_v over networks, by layer too.

    At equal steps, and at a matched training loss; whether every end is nearest to its own start; how far predictions
    moved. Several data sets, or one under several corruptions, are compared. "The distance between the weights of the
    neural network is meaningful" (Yang et al.), experiments 3 and 4 and Table 2.

    Attributes
    ----------
    data
        One or more data sets; their train splits where they have them.
    model
        Network: a name from `infoscope list models`, or module:factory. Default: mlp, or cnn from 16 pixels on.
    replicates
        Networks to train, one a seed.
    seed
        The first of their seeds.
    matched_loss
        Training loss in bits at which distances are compared too. Default: the lowest that all networks came down to.
    aligned
        Measure as well after permuting the hidden units of each end to lie near its start.
    balanced
        Measure as well with the scales made canonical that ReLU and batch normalisation leave free.
    way
        How networks train together: loop, vmap, compiled or grouped. Default: the fastest in a short trial.
    epochs
        How long to train, without early stopping. Default: 20.
    optimizer
        Such as "sgd(lr=0.01, momentum=0)" or "adam(lr=0.001)". Default: adam.
    batch
        Examples in a batch. Default: 64.
    examples
        Train on only so many examples, drawn by the seed.
    """

    data: Tasks
    model: Model = None
    replicates: Annotated[int, AtLeast(1)] = 10
    seed: Annotated[int, AtLeast(0)] = 0
    matched_loss: float | None = None
    aligned: bool = False
    balanced: bool = False
    way: WayName | None = None
    epochs: Annotated[int | None, AtLeast(1)] = None
    optimizer: Optimizer | None = None
    batch: Annotated[int | None, AtLeast(1)] = None
    examples: Annotated[int | None, AtLeast(1)] = None

    def __post_init__(self) -> None:
        check_fields(self)
        check_way(self.way)

    def stages(self, device: str = "cpu") -> Stages[WeightDistanceAnswer]:
        """The networks of one task after another; only distances are kept of them."""
        given = [trained_part(task, self.examples, self.seed) for task in tasks(self.data)]
        if self.aligned or self.balanced:
            for task in given:
                example_of(task)
        found: list[tuple[MemberDistances, tuple[Member, ...]]] = []
        for task in given:
            learner = Training(self.epochs, self.optimizer, self.batch).learner(task, self.model)
            members = members_of(task, learner, self.replicates, self.seed)
            spec = EnsembleSpec(_stops(learner.recipe.epochs), way=self.way)
            parts: Sequence[MemberDistances] = yield distances_request(members, spec, self.aligned, self.balanced)
            found.append((joined(parts), members))
            yield Rows(self._of(task, *found[-1], None).rows())
        level = self._level(found)
        return WeightDistanceAnswer(
            self, tuple(self._of(task, *one, level) for task, one in zip(given, found, strict=True))
        )

    def _of(self, task: Task, found: MemberDistances, members: tuple[Member, ...], level: float | None) -> TaskDistance:
        return TaskDistance(task.name, model_name(task, self.model), distance_result(found, members, level))

    def _level(self, found: Sequence[tuple[MemberDistances, tuple[Member, ...]]]) -> float | None:
        """The training loss to compare at, nats: the one asked for, or the lowest that all came down to.

        Without being asked for it is one of classes' likelihoods only: other losses have no common zero.
        """
        if self.matched_loss is not None:
            return self.matched_loss * NATS_PER_BIT
        nothing = [knowing_nothing(members[0]) for _, members in found]
        if math.inf in nothing:
            return None
        return common_loss([(one, limit) for (one, _), limit in zip(found, nothing, strict=True)])


@dataclass(frozen=True)
class TaskDistance:
    """What is found for one task, by networks of this name."""

    name: str
    model: str
    result: DistanceResult

    @property
    def level(self) -> float | None:
        """The training loss in bits that was to be matched."""
        return None if self.result.level is None else self.result.level / NATS_PER_BIT

    def rows(self) -> tuple[Row, ...]:
        """All quantities, at the task's name."""
        return tuple(Row({"task": self.name, **row.coordinates}, row.measurement) for row in self.result.record())


@dataclass(frozen=True)
class WeightDistanceAnswer:
    """What `WeightDistance` comes to: a result for each task."""

    question: WeightDistance
    found: tuple[TaskDistance, ...]

    @property
    def title(self) -> str:
        """Weight distance on these tasks."""
        return f"Weight distance on {', '.join(one.name for one in self.found)}"

    def record(self) -> Record:
        """One row a task, layer and quantity; layer None for whole networks."""
        return Record.of(row for one in self.found for row in one.rows())

    def figures(self) -> list[Figure]:
        """Distance against loss, all distances, the way to the final weights, and the distance of each layer."""
        results = {one.name: one.result for one in self.found}
        by_loss = [figures.by_loss(results)] if any(one.moved.numel() for one in results.values()) else []
        return [*by_loss, figures.histogram(results), figures.curve(results), figures.layers(results)]

    def sentence(self) -> str:
        """How far the weights went: at one training loss where they are compared at one, and in the end."""
        return wording.sentence({one.name: one.result for one in self.found}, self.question.matched_loss is None)

    def choices(self) -> Mapping[str, str]:
        """How each task's networks were trained, who reached the matched loss, and who was left out."""
        return {one.name: wording.choices(one.result, one.model) for one in self.found}

    def write(self, folder: Path) -> Mapping[str, str]:
        """No file but the report."""
        return {}


def distance(*data: Task | str, context: RunContext = RunContext(), **options: Any) -> WeightDistanceAnswer:
    """How far does training carry a network's weights? `WeightDistance` asked at once.

    >>> from infoscope.models import MLP
    >>> digits = Task.from_dataset("digits")[:200]
    >>> answer = distance(digits, model=MLP((8,)), epochs=2, replicates=3)
    >>> len(answer.found[0].result.whole.names), answer.found[0].result.other_start_nearer
    (3, {})
    """
    return ask(WeightDistance(data, **options), context)


def measure_distances(
    members: Sequence[Member],
    spec: EnsembleSpec = EnsembleSpec(),
    *,
    aligned: bool = False,
    balanced: bool = False,
    context: RunContext = RunContext(),
) -> DistanceResult:
    """The same for members of your own, of one architecture: shared starts, other labels, other recipes.

    `spec.snapshots` are the epochs of the curve d(w_t, w_final), `spec.until` a training loss in nats to compare at.
    """
    parts = distances_request(tuple(members), spec, aligned, balanced).take(context)
    return distance_result(joined(parts), members, spec.until)


def distances_request(
    members: tuple[Member, ...], spec: EnsembleSpec, aligned: bool = False, balanced: bool = False
) -> TrainAndMeasure[MemberDistances]:
    """What a stage needs: these networks' distances, from the start on; no weights are kept."""
    # The distance after every epoch is kept, and with it that at any loss.
    spec = replace(spec, snapshots=(0, *spec.snapshots), until=None)
    look = DistanceLook(members, aligned, balanced)
    return TrainAndMeasure(members, look, MemberDistances, stand_in, spec, VERSION)


def _stops(epochs: int) -> tuple[int, ...]:
    """About a dozen epochs, close together at first."""
    return tuple(sorted({round(epochs ** (k / _STOPS)) for k in range(_STOPS + 1)} | {epochs}))
