"""The question of pictures: where do many networks start and end?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated

import torch

from infoscope.data.named import Tasks, tasks
from infoscope.data.task import Task
from infoscope.ensembles.planning import EnsembleSpec
from infoscope.ensembles.population import Member, Population
from infoscope.ensembles.stacked_weights import StackedWeights, member
from infoscope.ensembles.train import Train
from infoscope.ensembles.ways import WayName, check_way
from infoscope.figure import Figure
from infoscope.models.default import Model, model_name
from infoscope.options import AtLeast, check_fields
from infoscope.record import Record
from infoscope.run.question import Stages
from infoscope.symmetry.alignment import align_all
from infoscope.symmetry.permutations import permutation_groups
from infoscope.training.recipe import Optimizer
from infoscope.weight_distance import figures, wording
from infoscope.weight_distance.landmarks import landmark_mds
from infoscope.weight_distance.mds import Picture
from infoscope.weight_distance.members import Training, example_of, members_of, trained_part


@dataclass(frozen=True)
class MDS:
    """Where do many networks start and end? Pictures of their weights by multidimensional scaling.

    "The distance between the weights of the neural network is meaningful" (Yang et al.), experiments 1 and 2.

    Attributes
    ----------
    data
        The data set; its train split where it has one.
    model
        Network: a name from `infoscope list models`, or module:factory. Default: mlp, or cnn from 16 pixels on.
    replicates
        Networks to train, one a seed.
    seed
        The first of their seeds.
    starts
        Share so many initial weights among the networks (2 in the paper's second experiment). Default: each its own.
    dimensions
        Of the picture; the first two are drawn.
    aligned
        Permute the hidden units of every network to lie near the first one's.
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
    replicates: Annotated[int, AtLeast(1)] = 100
    seed: Annotated[int, AtLeast(0)] = 0
    starts: Annotated[int | None, AtLeast(1)] = None
    dimensions: Annotated[int, AtLeast(1)] = 3
    aligned: bool = False
    way: WayName | None = None
    epochs: Annotated[int | None, AtLeast(1)] = None
    optimizer: Optimizer | None = None
    batch: Annotated[int | None, AtLeast(1)] = None
    examples: Annotated[int | None, AtLeast(1)] = None

    def __post_init__(self) -> None:
        check_fields(self)
        check_way(self.way)
        if self.replicates <= self.dimensions:
            raise ValueError(
                f"replicates is {self.replicates} and dimensions {self.dimensions}: a picture needs more networks"
            )

    def stages(self, device: str = "cpu") -> Stages[MDSAnswer]:
        """The networks, whose weights are kept."""
        first, *others = tasks(self.data)
        if others:
            raise ValueError("a picture shows one task; leave out the others")
        task = trained_part(first, self.examples, self.seed)
        learner = Training(self.epochs, self.optimizer, self.batch).learner(task, self.model)
        members = members_of(task, learner, self.replicates, self.seed)
        if self.aligned:
            example_of(task)
        if self.starts is not None:
            members = _sharing(members, self.starts, self.seed)
        population: Population = yield Train(members, EnsembleSpec(way=self.way))
        return MDSAnswer(self, task, members, population)


@dataclass(frozen=True, eq=False)
class MDSAnswer:
    """What `MDS` comes to: the networks, and pictures of them."""

    question: MDS
    task: Task
    members: tuple[Member, ...]
    population: Population

    @property
    def title(self) -> str:
        """Networks trained on this task."""
        return f"Networks trained on {self.task.name}, seen from afar"

    @cached_property
    def pictures(self) -> dict[str, Picture]:
        """By where the networks stand: start, end, or both in one picture where starts are shared."""
        first, population = self.members[0], self.population
        network = first.learner.network(self.task.shape, self.task.target.outputs, first.seed)
        shown: dict[str, tuple[StackedWeights, ...]] = {
            "start": (population.initial,), "end": (population.weights,),
        }  # fmt: skip
        if self.question.starts is not None:
            starts = _distinct(population, self.members, self.question.starts)
            shown = {"start and end": (starts, population.weights)}
        if self.question.aligned:
            groups, to = permutation_groups(network, example_of(self.task)), member(population.weights, 0)
            shown["end, aligned"] = (align_all(population.weights, groups, to, parameters=network),)
        dimensions = self.question.dimensions
        return {
            where: landmark_mds(*stacks, dimensions=dimensions, parameters=network) for where, stacks in shown.items()
        }

    def record(self) -> Record:
        """Radii and explained share of each picture (coordinate `networks`)."""
        record, path = Record(), wording.ways(self.population.ways)
        for where, picture in self.pictures.items():
            for one in (*picture.radii(), picture.share()):
                receipt = replace(one.receipt, path=path)
                record.append(replace(one, receipt=receipt), task=self.task.name, networks=where)
        return record

    def figures(self) -> list[Figure]:
        """The pictures; networks of one start in one colour."""
        own = None
        if self.question.starts is not None:
            place = {m.called: i % self.question.starts for i, m in enumerate(self.members)}
            own = torch.tensor([place[name] for name in self.population.names])
        return [figures.picture(where, picture, own) for where, picture in self.pictures.items()]

    def sentence(self) -> str:
        """Which networks these are, how they were trained, and who was left out."""
        name, ways = model_name(self.task, self.question.model), wording.ways(self.population.ways)
        trained = f"{len(self.population)} networks {name} trained on {self.task.name} ({ways})"
        return f"{trained}{wording.left_out(self.population.failed)}."

    def choices(self) -> Mapping[str, str]:
        """The network."""
        return {"Network": model_name(self.task, self.question.model)}

    def write(self, folder: Path) -> Mapping[str, str]:
        """No file but the report."""
        return {}


def _sharing(members: Sequence[Member], starts: int, seed: int) -> tuple[Member, ...]:
    """The same members, the i-th from the initial weights of seed + i mod `starts`."""
    first = members[0]
    weights = [
        first.learner.network(first.task.shape, first.task.target.outputs, seed + i).state_dict() for i in range(starts)
    ]
    return tuple(replace(m, learner=m.learner.starting_from(weights[i % starts])) for i, m in enumerate(members))


def _distinct(population: Population, members: Sequence[Member], starts: int) -> StackedWeights:
    """Each start once, also where the first network that had it diverged."""
    place = {m.called: i % starts for i, m in enumerate(members)}
    rows = {place[name]: row for row, name in reversed(list(enumerate(population.names)))}
    return {k: v[[rows[start] for start in sorted(rows)]] for k, v in population.initial.items()}
