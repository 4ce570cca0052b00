"""The question of transfer: how much of what a task asks for do pretrained weights know already?"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from infoscope.data.named import AnyTask, task_of, tasks, training_part
from infoscope.data.partition import unseen
from infoscope.data.targets import Tokens
from infoscope.data.task import Task
from infoscope.ensembles.population import Member, Population
from infoscope.ensembles.train import Train
from infoscope.figure import Figure
from infoscope.measurement import Status
from infoscope.model_information import figures
from infoscope.model_information.codes import code_looks
from infoscope.model_information.heads import Head, check_head
from infoscope.model_information.information import check_own_code
from infoscope.model_information.starts import Candidate, Starts, candidates
from infoscope.model_information.transfer.pretrained import Pretrained, encoded
from infoscope.model_information.transfer.transferred import Transferred
from infoscope.models.default import Model, learner_for, model_name
from infoscope.options import AtLeast, check_fields
from infoscope.prequential.encode import Coder
from infoscope.prequential.loss_curve import LossCurve
from infoscope.prequential.replay import Replay
from infoscope.record import Record
from infoscope.run.context import RunContext
from infoscope.run.look import Looks
from infoscope.run.question import Request, Rows, Stages, ask
from infoscope.training.fit import overfit
from infoscope.training.learner import copy_weights

CODED = 1000
"""Examples that are coded, at most, unless said otherwise."""


@dataclass(frozen=True)
class Transfer:
    """How much of what a task asks for is known to pretrained weights already? L_IT of a representation, in bits.

    The task's labels are sent from the weights and from a newly drawn network of the same architecture; what the first
    saves is transferred. "Measuring Information Transfer in Neural Networks" (Zhang et al. 2020).

    Attributes
    ----------
    data
        The task: its test split where there is one, else all.
    networks
        Pretrained networks: NAME=FILE (a name from `infoscope list models` and its weights; BASE+ADAPTER merges a LoRA
        adapter), or hf:NAME, an encoder of texts. What is done to images first stands behind the name:
        resnet20[mean=(.485, .456, .406)].
    source
        Train the network here on this data set first.
    model
        The network that is trained on the source. Default: mlp, or cnn from 16 pixels on.
    trained_on
        The data that pretrained weights were trained on, as DATA[:SPLIT], to check what is new to them.
    head
        What becomes of the head: newly drawn (new), solved for on the body's features (closed-form), kept where it
        fits. Several are told side by side. Default: new and closed-form; of text kept.
    coder
        The networks' own code: replay, entk or blocks.
    k
        Examples to code. Default: all there are, at most 1,000.
    train
        Examples of the source to train on. Default: all.
    replicates
        Coding orders, each with newly drawn weights of its own. The standard error is over them; one gives none.
    seed
        The first of their seeds.
    epochs
        Most epochs of the training on the source. Default: the recipe's, 1000.
    """

    data: AnyTask
    networks: Starts = ()
    source: AnyTask | None = None
    model: Model = None
    trained_on: Task | None = None
    head: tuple[Head, ...] = ()
    coder: Coder = Replay()
    k: Annotated[int | None, AtLeast(1)] = None
    train: Annotated[int | None, AtLeast(1)] = None
    replicates: Annotated[int, AtLeast(1)] = 3
    seed: Annotated[int, AtLeast(0)] = 0
    epochs: Annotated[int | None, AtLeast(1)] = None

    def __post_init__(self) -> None:
        check_fields(self)
        check_own_code(self.coder)
        for head in self.head:
            check_head(head, self.coder)

    def stages(self, device: str = "cpu") -> Stages[TransferAnswer]:
        """The training on the source, if there is one, then the codes from each network and each head."""
        source = None if self.source is None else task_of(self.source)
        coded, notes, doubts = self._coded(source)
        usual: tuple[Head, ...] = ("kept",) if isinstance(coded.target, Tokens) else ("new", "closed-form")
        heads = self.head or usual
        given = candidates(self.networks, coded, heads[0], self.seed, frozen=True, least=0) if self.networks else []
        for one in given:
            if one.weights is None and one.encoder is None:
                raise ValueError(f"{one.name}: has no weights to transfer; write NAME=FILE, or train on a source")
        networks = [self._pretrained(one, doubts) for one in given]
        for one in networks:
            for head in heads:
                one.check(coded, head, self.seed)
        if source is not None:
            networks.append((yield from self._trained(source, coded, heads)))
        if not networks:
            raise ValueError("nothing is transferred; name pretrained networks (NAME=FILE) or a source")
        found: list[Transferred] = []
        for network in networks:
            for head in heads:
                if network.takes(head):
                    both = yield from self._codes(coded, network, head, device)
                    found.append(
                        Transferred(coded.name, network.name, head, *both, network.status, network.notes + notes)
                    )
                    yield Rows(found[-1].rows())
        return TransferAnswer(self, coded, tuple(found))

    @property
    def seeds(self) -> range:
        """Of the orders and of the newly drawn weights."""
        return range(self.seed, self.seed + self.replicates)

    def _coded(self, source: Task | None) -> tuple[Task, tuple[str, ...], frozenset[Status]]:
        """What is coded, and what is known of whether pretrained weights have seen it."""
        whole = task_of(self.data)
        coded, notes, verified = (whole["test"] if "test" in whole.splits else whole).shuffled(0), (), False
        if self.trained_on is not None:
            found = unseen(coded, training_part(self.trained_on))
            coded, notes, verified = found.task, found.notes, found.verified
        if source is not None:
            found = unseen(coded, training_part(source))
            coded, notes = found.task, (*notes, *found.notes)
        if self.k is not None and self.k > len(coded):
            raise ValueError(f"{coded.name!r} has {len(coded)} examples to code, and k = {self.k} were asked for")
        doubts = frozenset() if verified else frozenset({Status.UNVERIFIED_SPLIT})
        return coded[: min(self.k or CODED, len(coded))], tuple(notes), doubts

    def _pretrained(self, one: Candidate, doubts: frozenset[Status]) -> Pretrained:
        weights = dict.fromkeys(self.seeds, one.weights) if one.weights is not None else {}
        return Pretrained(one.name, one.learner, weights, {}, one.encoder, tuple(self.seeds), doubts)

    def _trained(self, source: Task, coded: Task, heads: Sequence[Head]) -> Generator[Request, Any, Pretrained]:
        """The networks that are trained here, one a seed."""
        pool = training_part(source).shuffled(0)
        aside = max(1, len(pool) // 10)
        most = len(pool) - aside
        if not 1 <= (self.train or most) <= most:
            raise ValueError(f"{pool.name!r} has {most} examples to train on; {self.train} were asked for")
        train, validation = pool[aside : aside + (self.train or most)], pool[:aside]
        learner = learner_for(train, self.model, self.epochs)
        name = f"{model_name(train, self.model)} trained on {source.name}"
        starts = {s: copy_weights(learner.network(train.shape, train.target.outputs, s)) for s in self.seeds}
        for head in heads:
            Pretrained(name, learner, starts, starts, None, tuple(self.seeds)).check(coded, head, self.seed)
        members = tuple(Member(learner, train, seed, validation) for seed in self.seeds)
        population: Population = yield Train(members)
        trained = {seed: population.trained(i) for i, seed in enumerate(population.seeds)}
        status = frozenset(
            {Status.NOT_CONVERGED for one in trained.values() if not one.converged}
            | {Status.OVERFIT for one in trained.values() if overfit(one, learner.recipe)}
        )
        lost = tuple(f"left out: {name}: {why}" for name, why in population.failed.items())
        return Pretrained(
            name,
            learner,
            {seed: one.weights for seed, one in trained.items()},
            {seed: one.initial for seed, one in trained.items()},
            None,
            tuple(trained),
            status,
            (f"trained on {len(train)} of {source.name}", *lost),
        )

    def _codes(
        self, coded: Task, network: Pretrained, head: Head, device: str
    ) -> Generator[Request, Any, tuple[list[LossCurve], list[LossCurve]]]:
        """From newly drawn weights, and from those that were given."""
        label = f"{network.name}, head {head}"
        if network.encoder is not None:
            return (yield from encoded(coded, network.encoder, network.seeds, device, label))
        fresh, tuned = zip(*(network.pair(coded, head, seed) for seed in network.seeds), strict=True)
        looks = [
            look
            for learners, when in ((fresh, "drawn anew"), (tuned, "pretrained"))
            for look in code_looks(
                coded, self.coder, learners, seeds=network.seeds, device=device, label=f"{label}, {when}: code"
            )
        ]
        curves: list[LossCurve] = yield Looks(tuple(looks))
        return curves[: len(network.seeds)], curves[len(network.seeds) :]


@dataclass(frozen=True)
class TransferAnswer:
    """What `Transfer` comes to."""

    question: Transfer
    coded: Task
    found: tuple[Transferred, ...]

    @property
    def title(self) -> str:
        """What is transferred to a task."""
        return f"Information transferred to {self.coded.name}"

    def record(self) -> Record:
        """L_IT and its terms for every network and head."""
        return Record.of(row for one in self.found for row in one.rows())

    def figures(self) -> list[Figure]:
        """What a label costs from each network, and what pretraining saves."""
        named = [
            figures.NamedCurves(f"{one.network}, head {one.head}, {when}", curves)
            for one in self.found
            for when, curves in (("drawn anew", one.fresh), ("pretrained", one.tuned))
        ]
        saved = [figures.saving(f"{one.network}, head {one.head}", one.fresh, one.tuned) for one in self.found]
        return [figures.costs(named), *saved]

    def sentence(self) -> str:
        """How many bits each network brings along."""
        parts = [one.words() for one in self.found]
        return f"About {self.coded.name}, {len(self.coded):,} examples: {'; '.join(parts)}."

    def choices(self) -> Mapping[str, str]:
        """How many examples were coded, and what is known of the weights."""
        notes = dict.fromkeys(note for one in self.found for note in one.notes)
        return {
            "Coded": f"{len(self.coded)} examples of {self.coded.name}",
            **({"Notes": "; ".join(notes)} if notes else {}),
        }

    def write(self, folder: Path) -> Mapping[str, str]:
        """No file but the report."""
        return {}


def transfer(data: Any, *networks: Any, context: RunContext = RunContext(), **options: Any) -> Record:
    """How much of what a task asks for do pretrained weights know already? `Transfer` asked at once; its table.

    >>> from infoscope.models import MLP
    >>> table = transfer("iris:rows=100..", source="iris:rows=0..100", model=MLP((4,)), epochs=2, replicates=1,
    ...                  head=("kept",), coder=Replay(replays=1, start=8))
    >>> [row.measurement.quantity for row in table]
    ['L_IT', 'L_init(y|x)', 'L_trained(y|x)']
    """
    given = {name: tasks(options.pop(name))[0] for name in ("source", "trained_on") if options.get(name) is not None}
    return ask(Transfer(data, networks, **given, **options), context).record()
