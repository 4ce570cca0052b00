"""The question of similarity: how much of what there is to know about one task is known from another?"""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Annotated, Any

import numpy as np
import torch

from infoscope import __version__
from infoscope.data.named import Tasks, tasks
from infoscope.data.partition import Partition, partition, room
from infoscope.data.task import Task
from infoscope.ensembles.population import Member
from infoscope.ensembles.train import Train
from infoscope.measurement import Measurement, Receipt
from infoscope.model_information.budget import Work, affordable, duration
from infoscope.model_information.codes import code_looks
from infoscope.model_information.equal_partitions import equal_partitions
from infoscope.model_information.heads import HEADS, Head, check_head
from infoscope.model_information.information import check_own_code
from infoscope.model_information.similarity.answer import SimilarityAnswer
from infoscope.model_information.similarity.common_start import CommonStart, TrainedOn
from infoscope.model_information.similarity.network_features import (
    FeatureTable,
    frozen_feature_look,
    network_feature_look,
)
from infoscope.model_information.similarity.pairs import Pair, SeenBy, feature_rows, similarities
from infoscope.models.default import Model, learner_for, model_name
from infoscope.options import AtLeast, check_fields
from infoscope.prequential.codelength import model_information
from infoscope.prequential.encode import Coder
from infoscope.prequential.frozen import AnyFeatures, Given, frozen
from infoscope.prequential.loss_curve import LossCurve
from infoscope.prequential.replay import Replay
from infoscope.record import Record
from infoscope.run.context import RunContext
from infoscope.run.look import Looks
from infoscope.run.question import Request, Rows, Stages, ask
from infoscope.training.learner import Weights


@dataclass(frozen=True)
class Similarity:
    """How alike are two tasks or domains? How much of what there is to know about each is known from the others?

    A network is trained on each task, from initial weights that all share, and codes examples of every other one:
    S, eq. (4), and S_uni, eq. (5) of "Model Information as an Analysis Tool in Deep Learning", for every ordered pair,
    beside distances of features. Training sizes are equal, and what is coded for any task is trained on for none.

    Attributes
    ----------
    data
        Two or more data sets.
    model
        Network: a name from `infoscope list models`, or module:factory. Default: mlp, or cnn from 16 pixels on.
    head
        What becomes of a network's last layer on another task: kept, newly drawn (new), set back to its own start
        (start), or solved for on the body's features (closed-form). Tasks with different numbers of classes take new
        or closed-form.
    initial
        Pretrained weights that all trainings start from (.safetensors, or .pt with tensors only), whose own
        information is then excluded, as in eq. (12).
    features
        Frozen features that both sides own, in place of the inputs: NAME=FILE, a model's name and its weights, or a
        name on the Hub. Their own information is excluded too.
    coder
        The network's own code: replay, entk or blocks, with options as in "replay(replays=16)".
    k
        Examples of each task to code. Default: the smallest of their test splits or thirds, as the budget reaches.
    train
        Examples of each task to train on. Default: as many as the smallest has, as the budget reaches.
    replicates
        Networks a task, each with a coding order of its own. Errors and intervals are over them.
    seed
        The first of their seeds.
    epochs
        Most epochs of a training, which ends earlier when it has settled. Default: the recipe's, 1000.
    budget
        About how long it may take on two cores of a common machine: 90s, 5m, 2h; k and train follow from it where
        they are left open.
    """

    data: Tasks
    model: Model = None
    head: Head = "kept"
    initial: Weights | None = None
    features: AnyFeatures = None
    coder: Coder = Replay()
    k: Annotated[int | None, AtLeast(2)] = None
    train: Annotated[int | None, AtLeast(1)] = None
    replicates: Annotated[int, AtLeast(1)] = 3
    seed: Annotated[int, AtLeast(0)] = 0
    epochs: Annotated[int | None, AtLeast(1)] = None
    budget: str = "5m"

    def __post_init__(self) -> None:
        check_fields(self)
        check_own_code(self.coder)
        check_head(self.head)
        duration(self.budget)
        object.__setattr__(self, "features", frozen(self.features))
        if isinstance(self.features, Given):
            raise ValueError("features as an array belong to one task; give a network, or tasks of features")

    def stages(self, device: str = "cpu") -> Stages[SimilarityAnswer]:
        """Features where they are frozen, networks, the codes of every pair, and what the networks see."""
        given = tasks(self.data)
        self._check(given)
        parts = self._parts(given)
        if self.features is not None:
            parts = yield from self._on_features(parts)
        learners = {name: learner_for(part.train, self.model, self.epochs) for name, part in parts.items()}
        starts = CommonStart(parts, learners, self.head, self.initial)
        seeds = range(self.seed, self.seed + self.replicates)
        starts.check(seeds[0])
        trained = {}
        for name in parts:
            members = tuple(Member(starts.start(name, s), parts[name].train, s, parts[name].validation) for s in seeds)
            trained[name] = TrainedOn.of((yield Train(members)), parts[name], learners[name])
        common = [s for s in seeds if all(s in one.weights for one in trained.values())]
        known = yield from self._known(parts, starts, trained, common, device)
        found = similarities(known)
        yield Rows(found.rows())
        seen = yield from self._seen(parts, starts, trained, common, device)
        beside = feature_rows(seen, list(parts), self._receipt(parts, common))
        names = dict.fromkeys(model_name(part.train, self.model) for part in parts.values())
        return SimilarityAnswer(parts, found, beside, ", ".join(names), HEADS[self.head])

    def _check(self, given: Sequence[Task]) -> None:
        if len(given) < 2:
            raise ValueError(
                "similarity is of two data sets or more; name another, or the same under another corruption"
            )
        check_head(self.head, self.coder, *given)
        if self.features is None and len({str(task.shape) for task in given}) > 1:
            told = ", ".join(f"{task.name} {task.shape}" for task in given)
            images = all(isinstance(task.shape, tuple) and len(task.shape) == 3 for task in given)
            remedy = "scale them alike, by --size, or give features" if images else "give tasks of the same columns"
            raise ValueError(f"the inputs differ in their shapes ({told}); {remedy}")

    def _parts(self, given: Sequence[Task]) -> dict[str, Partition]:
        """Partitions of equal sizes, in which nothing that is coded for one task is trained on for another."""
        train, k = self._sizes(given)
        cut = [partition(task, k=self.k if k is None else min(k, room(task, self.k)[0])) for task in given]
        return {task.name: part for task, part in zip(given, equal_partitions(cut, train), strict=True)}

    def _sizes(self, given: Sequence[Task]) -> tuple[int | None, int | None]:
        """Examples to train on, and to code; None where all that there are can be afforded."""
        if self.train is not None and self.k is not None:
            return self.train, self.k
        works = [
            Work(task, learner_for(task, self.model, self.epochs), *room(task, self.k), labels=0) for task in given
        ]
        seconds = duration(self.budget)
        once = affordable(works, self.coder, self.replicates, seconds)
        pairs = affordable(works, self.coder, self.replicates * (len(given) + 1), 2 * seconds)
        fewest = min(room(task, self.k)[1] for task in given)
        affordable_train = None if once.train is None else min(once.train, fewest)
        return self.train or affordable_train, self.k or pairs.k

    def _on_features(self, parts: Mapping[str, Partition]) -> Generator[Request, Any, dict[str, Partition]]:
        """The same partitions with frozen features in place of inputs."""
        places = [(name, part) for name in parts for part in ("train", "validation", "coded")]
        assert self.features is not None
        tables: list[FeatureTable] = yield Looks(
            tuple(frozen_feature_look(getattr(parts[name], part), self.features) for name, part in places)
        )
        made = {
            place: _of_features(getattr(parts[place[0]], place[1]), table)
            for place, table in zip(places, tables, strict=True)
        }
        return {
            name: Partition(made[name, "train"], made[name, "validation"], made[name, "coded"], part.notes)
            for name, part in parts.items()
        }

    def _known(
        self,
        parts: Mapping[str, Partition],
        starts: CommonStart,
        trained: Mapping[str, TrainedOn],
        seeds: Sequence[int],
        device: str,
    ) -> Generator[Request, Any, dict[Pair, Measurement]]:
        """L(M_source, target) of every pair: the initial term once a target, the trained one once a pair."""
        initial: dict[str, list[LossCurve]] = {}
        known: dict[Pair, Measurement] = {}
        for target, part in parts.items():
            first = [starts.coding(target, starts.weights(target, s), target, s) for s in seeds]
            looks = code_looks(part.coded, self.coder, first, seeds=seeds, device=device, label="initial code")
            initial[target] = yield Looks(looks)
        for source, target in product(parts, parts):
            coded = parts[target].coded
            last = [starts.coding(source, trained[source].weights[s], target, s) for s in seeds]
            label = f"code by {source}'s network"
            curves = yield Looks(code_looks(coded, self.coder, last, seeds=seeds, device=device, label=label))
            known[source, target] = self._told(
                model_information(initial[target], curves), trained[source], parts[source], parts[target]
            )
        return known

    def _told(self, length: Measurement, of: TrainedOn, source: Partition, target: Partition) -> Measurement:
        """With its policy, and what came of the training and the partition."""
        excluded = ["the initial weights were given: what they know is excluded"] * (self.initial is not None)
        excluded += [f"frozen features, whose own information is excluded: {self.features!r}"] * bool(self.features)
        notes = (HEADS[self.head], *excluded, *_names_differ(source, target), *of.notes)
        return dataclasses.replace(
            length,
            status=length.status | of.status,
            receipt=dataclasses.replace(length.receipt, notes=(*length.receipt.notes, *notes)),
        )

    def _seen(
        self,
        parts: Mapping[str, Partition],
        starts: CommonStart,
        trained: Mapping[str, TrainedOn],
        seeds: Sequence[int],
        device: str,
    ) -> Generator[Request, Any, dict[int, SeenBy]]:
        """Features of all coded examples by the network all began with, and by every trained one."""
        seen = {}
        for s in seeds:
            looks = {}
            for target, part in parts.items():
                if self.features is None:
                    begun = starts.coding(target, starts.weights(target, s), target, s)
                    looks[None, target] = network_feature_look(part.coded, begun, s, device)
                for source in parts:
                    own = starts.coding(source, trained[source].weights[s], target, s)
                    looks[source, target] = network_feature_look(part.coded, own, s, device)
            tables: list[FeatureTable] = yield Looks(tuple(looks.values()))
            values = {place: np.asarray(t.values, dtype=np.float64) for place, t in zip(looks, tables, strict=True)}
            one = {
                name: values[None, name] if self.features is None else part.coded.array.double().numpy()
                for name, part in parts.items()
            }
            seen[s] = SeenBy(one, {place: v for place, v in values.items() if place[0] is not None})
        return seen

    def _receipt(self, parts: Mapping[str, Partition], seeds: Sequence[int]) -> Receipt:
        whose = "frozen features" if self.features else "given weights" if self.initial is not None else "untrained"
        k = min(len(part.coded) for part in parts.values())
        notes = (f"the one network of d1, d2 and MMD²: {whose}",)
        return Receipt(
            "features", n=k, seeds=tuple(seeds), over="networks", notes=notes, version=__version__, threads=1
        )


def _names_differ(source: Partition, target: Partition) -> list[str]:
    """A note where classes are numbered alike and called otherwise."""
    a, b = source.coded.target, target.coded.target
    if a == b or getattr(a, "alphabet", None) is None or a.outputs != b.outputs:
        return []
    return ["the classes of source and target have other names: they are taken by their numbers"]


def _of_features(task: Task, table: FeatureTable) -> Task:
    values = torch.from_numpy(np.ascontiguousarray(table.values, dtype=np.float32))
    return Task.from_arrays(values, task.y, target=task.target, name=task.name, as_is=True)


def similarity(*data: Any, context: RunContext = RunContext(), **options: Any) -> Record:
    """How alike are two tasks or domains? `Similarity` asked at once; its table.

    >>> from infoscope.models import MLP
    >>> table = similarity("iris", "iris", model=MLP((4,)), coder=Replay(replays=1, start=8), k=20, replicates=1)
    >>> next(row.measurement.value for row in table if row.measurement.quantity == "S")
    1.0
    """
    return ask(Similarity([task for one in data for task in tasks(one)], **options), context).record()
