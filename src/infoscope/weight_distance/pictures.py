"""The question of pictures: where do many networks start and end?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated

import torch
from torch import Tensor, nn

from infoscope.data.named import Tasks, tasks
from infoscope.data.task import Task
from infoscope.ensembles.planning import EnsembleSpec
from infoscope.ensembles.population import Member, Population
from infoscope.ensembles.stacked_weights import StackedWeights, member, stack
from infoscope.ensembles.train import Train
from infoscope.ensembles.ways import WayName, check_way
from infoscope.figure import Figure
from infoscope.measurement import Measurement
from infoscope.models.default import Model, model_name
from infoscope.options import AtLeast, check_fields
from infoscope.record import Record
from infoscope.run.question import Stages
from infoscope.symmetry.joint_alignment import JointAlignment, align_jointly, mean_distance
from infoscope.symmetry.permutations import Groups, permutation_groups
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
        Of the picture; the first three are drawn, and turn.
    aligned
        Show them as well with their hidden units in one order; networks of one start change theirs in one way.
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
    def network(self) -> nn.Module:
        """A network of this kind: which of the weights are parameters, and how units hang together."""
        first = self.members[0]
        return first.learner.network(self.task.shape, self.task.target.outputs, first.seed)

    @cached_property
    def groups(self) -> Groups:
        """The units that may change places, and what was left where it is."""
        return permutation_groups(self.network, example_of(self.task))

    @cached_property
    def own_start(self) -> Tensor | None:
        """The start of each network, counted through, where starts are shared."""
        if self.question.starts is None:
            return None
        place = {m.called: i % self.question.starts for i, m in enumerate(self.members)}
        return torch.tensor([place[name] for name in self.population.names]).unique(return_inverse=True)[1]

    @cached_property
    def alignment(self) -> JointAlignment | None:
        """The final networks in one order of units, if that was asked for."""
        if not self.question.aligned:
            return None
        bundles = None if self.own_start is None else self.own_start.tolist()
        return align_jointly(self.population.weights, self.groups, bundles=bundles, parameters=self.network)

    @cached_property
    def ends(self) -> dict[str, StackedWeights]:
        """The final weights by picture."""
        where = "end" if self.own_start is None else "start and end"
        plain = {where: self.population.weights}
        return plain if self.alignment is None else plain | {f"{where}, aligned": self.alignment.weights}

    @cached_property
    def pictures(self) -> dict[str, Picture]:
        """By where the networks stand: start, end, or both in one picture where starts are shared."""
        shown: dict[str, tuple[StackedWeights, ...]] = {}
        if self.own_start is None:
            shown["start"] = (self.population.initial,)
        for where, weights in self.ends.items():
            shown[where] = (*self._starts(where), weights)
        dimensions = self.question.dimensions
        return {
            where: landmark_mds(*stacks, dimensions=dimensions, parameters=self.network)
            for where, stacks in shown.items()
        }

    def _starts(self, where: str) -> tuple[StackedWeights, ...]:
        """The starts that stand in a picture of ends, in the order of units that their networks have in it."""
        if self.own_start is None:
            return ()
        starts = _distinct(self.population.initial, self.own_start)
        if self.alignment is None or self.ends[where] is self.population.weights:
            return (starts,)
        turns = self.alignment.permutations
        return (stack([self.groups.permuted(member(starts, i), turn) for i, turn in enumerate(turns)]),)

    def record(self) -> Record:
        """Radii and explained share of each picture (coordinate `networks`), and how far its ends are from each other.

        Behind the numbers of an aligned picture stands what alignment could not follow.
        """
        record, path = Record(), wording.ways(self.population.ways)
        for where, picture in self.pictures.items():
            aligned = self.alignment is not None and self.ends.get(where) is self.alignment.weights
            receipt = replace(picture.receipt, path=path)
            if aligned:
                receipt = replace(receipt, notes=(*receipt.notes, *self.groups.fixed))
            rows = [replace(one, receipt=receipt) for one in (*picture.radii(), picture.share())]
            if where in self.ends:
                apart = mean_distance(self.ends[where], self.network)
                of_ends = replace(receipt, method="Euclidean", n=len(self.population))
                rows.append(Measurement("d(w_i,w_j)", apart, unit="1", receipt=of_ends))
            for one in rows:
                record.append(one, task=self.task.name, networks=where)
        return record

    def figures(self) -> list[Figure]:
        """The pictures; networks of one start in one colour."""
        return [figures.picture(where, picture, self.own_start) for where, picture in self.pictures.items()]

    def sentence(self) -> str:
        """Which networks these are, how they were trained, and who was left out."""
        name, ways = model_name(self.task, self.question.model), wording.ways(self.population.ways)
        trained = f"{len(self.population)} networks {name} trained on {self.task.name} ({ways})"
        return f"{trained}{wording.left_out(self.population.failed)}."

    def choices(self) -> Mapping[str, str]:
        """The network, what alignment left in its place, and where training went another way than was planned."""
        found = {"Network": model_name(self.task, self.question.model)}
        if self.question.aligned:
            found["Alignment"] = "; ".join(self.groups.fixed) or "every hidden unit is followed"
        if self.population.remarks:
            found["Training"] = "; ".join(self.population.remarks)
        return found

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


def _distinct(initial: StackedWeights, start: Tensor) -> StackedWeights:
    """Each start once, also where the first network that had it diverged."""
    rows = [int((start == i).nonzero()[0]) for i in range(int(start.max()) + 1)]
    return {k: v[rows] for k, v in initial.items()}
