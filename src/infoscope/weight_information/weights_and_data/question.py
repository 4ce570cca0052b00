"""The question of Shannon's information: how much do the weights tell about which examples they were trained on?"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, get_args

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from infoscope.data.named import Tasks, sample, tasks, training_part
from infoscope.data.targets import Real
from infoscope.data.task import Task
from infoscope.ensembles.population import Member, Population
from infoscope.ensembles.train import Train
from infoscope.measurement import Measurement
from infoscope.models.default import Model, learner_for, model_name
from infoscope.options import AtLeast, check_fields, positive
from infoscope.run.context import RunContext
from infoscope.run.look import Look, Looks
from infoscope.run.question import Rows, Stages, ask
from infoscope.training.learner import Learner, Weights
from infoscope.weight_information.checkpoint import parameters_of
from infoscope.weight_information.example_losses import PerExample, check_likelihood, check_own_loss, losses_look
from infoscope.weight_information.weights_and_data.answer import AtPrice, ShannonAnswer, TaskShannon
from infoscope.weight_information.weights_and_data.drawn_labels import (
    SHARES,
    DrawnLabels,
    check_drawable,
    drawn_labels,
    relabelled_network,
)
from infoscope.weight_information.weights_and_data.noisy_network import (
    MOST_FOLLOWED,
    Following,
    Noise,
    NoisyNetwork,
    Source,
    following,
    noisy_network,
)
from infoscope.weight_information.weights_and_data.trial import following_seconds, noisy_seconds

MOST = 200
"""Examples, unless more are asked for."""


@dataclass(frozen=True, eq=False)
class DataSets:
    """What is drawn: data sets; how often each example stands in them, or labels and the network of the whole pool."""

    drawn: tuple[Task, ...]
    counts: Int[Tensor, "sets n"] | None = None
    whole: Weights | None = None
    labels: DrawnLabels | None = None


@dataclass(frozen=True)
class ShannonInformation:
    """How much do the weights tell about which examples they were trained on? Shannon's I(w;D), between two bounds.

    Networks are trained on data sets that are drawn anew from one pool of examples, each with a seed of its own, so
    that the seed is averaged out. Of the weights as training left them, and of weights with the noise that the loss
    tolerates, a decoder bounds I(w;D) from below and a prior from above, whatever the network; between them stand the
    Gaussian channel by implicit differentiation, ½ log det(I + Cov(D) Jᵀ Σ⁻¹ J), and the same counted on the ensemble.

    Attributes
    ----------
    data
        One or more data sets; their train splits where they have them.
    model
        Network: a name from `infoscope list models`, or module:factory. Default: mlp, or cnn from 16 pixels on.
    beta
        Price of a nat in the weights, in nats of loss: the noise is N(0, β (F + β/λ²)⁻¹), around the minimum of
        L + β|w|²/2λ² that lies below the trained weights.
    curve
        More prices.
    scale
        Standard deviation λ of the prior.
    replicates
        Data sets that are drawn. The standard error is over them.
    seeds
        Networks for each data set, each with a seed of its own, over which is averaged. 0 for one each, all of one
        seed: that is I(w;D) for who knows the seed, which is never less.
    draws
        Of the noise, for each network.
    seed
        Of the pool, of the data sets and of the first network.
    epochs
        Most epochs of a training. Default: the recipe's, 1000.
    examples
        In the pool, drawn by the seed, and in each data set. Default: at most 200.
    source
        What is drawn anew for each data set: examples, with replacement; labels, by what a network of the whole pool
        says of each input; or prior, labels by a network of its own, whose weights are drawn from the prior N(0, λ²).
    """

    data: Tasks
    model: Model = None
    beta: float = 1.0
    curve: tuple[float, ...] = ()
    scale: float = 1.0
    replicates: Annotated[int, AtLeast(4)] = 16
    seeds: Annotated[int, AtLeast(0)] = 2
    draws: Annotated[int, AtLeast(1)] = 8
    seed: Annotated[int, AtLeast(0)] = 0
    epochs: Annotated[int | None, AtLeast(1)] = None
    examples: Annotated[int | None, AtLeast(2)] = None
    source: Source = "examples"

    def __post_init__(self) -> None:
        check_fields(self)
        positive(self, "beta", "curve")
        if not 0 < self.scale < math.inf:
            raise ValueError(f"the prior's scale is {self.scale}; give a standard deviation above 0")
        if self.source not in get_args(Source):
            raise ValueError(f"source is {self.source!r}; take {', '.join(get_args(Source))}")

    @property
    def betas(self) -> tuple[float, ...]:
        """All prices, the one that was asked about first."""
        return tuple(dict.fromkeys((self.beta, *self.curve)))

    def stages(self, device: str = "cpu") -> Stages[ShannonAnswer]:
        """For one task after another an ensemble, the same with noise, and the channel at the pool's own network."""
        given = [self._part(task) for task in tasks(self.data)]
        for task in given:
            check_likelihood(task)
            check_own_loss(learner_for(task, self.model, self.epochs))
            if self.source != "examples":
                check_drawable(task)
        found: list[TaskShannon] = []
        for task in given:
            one = yield from self._of(task, device)
            found.append(one)
            yield Rows(one.rows())
        return ShannonAnswer(self.beta, tuple(found))

    def _of(self, pool: Task, device: str) -> Stages[TaskShannon]:
        learner, n = learner_for(pool, self.model, self.epochs), len(pool)
        sets = yield from self._data_sets(pool, learner, device)
        own, members = Member(learner, pool, self.seed), self._members(learner, sets.drawn)
        trained: Population = yield Train(members if sets.whole is not None else (own, *members))
        every = [_trained(trained).member(i) for i in range(len(trained.seeds))]
        whole, others = (every[0], every[1:]) if sets.whole is None else (sets.whole, every)
        as_trained: list[PerExample] = []
        if sets.labels is None:
            as_trained = yield Looks((losses_look(pool, learner, others, device, "losses"),))
        priced = yield from self._priced(pool, sets, whole, list(zip(members, others, strict=True)), device)
        return TaskShannon(
            pool.name, pool.fingerprint[:16], model_name(pool, self.model), self.seeds, n, len(sets.drawn), sets.counts,
            as_trained[0].values.reshape(len(sets.drawn), -1, n) if as_trained else None, priced,
            all(trained.converged), self.source, None if sets.labels is None else sets.labels.entropy,
        )  # fmt: skip

    def _data_sets(self, pool: Task, learner: Learner, device: str) -> Stages[DataSets]:
        """What networks are trained on; of labels, by a network of the whole pool, which comes first."""
        n = len(pool)
        if self.source == "examples":
            rows = [np.random.default_rng([self.seed, j]).integers(0, n, n) for j in range(self.replicates)]
            counts = torch.from_numpy(np.stack([np.bincount(one, minlength=n) for one in rows]))
            drawn = [dataclasses.replace(pool[one], name=f"{pool.name}, draw {j}") for j, one in enumerate(rows)]
            return DataSets(tuple(drawn), counts)
        first: Population = yield Train((Member(learner, pool, self.seed),))
        whole = _trained(first).member(0)
        come: list[DrawnLabels] = yield Looks((self._labels(pool, learner, whole, device),))
        drawn = [dataclasses.replace(pool, name=f"{pool.name}, labels {j}", y=y) for j, y in enumerate(come[0].y)]
        return DataSets(tuple(drawn), whole=whole, labels=come[0])

    def _priced(
        self, pool: Task, sets: DataSets, whole: Weights, networks: Sequence[tuple[Member, Weights]], device: str
    ) -> Stages[tuple[AtPrice, ...]]:
        """The same networks with noise at every β, and the channel at the pool's own."""
        learner = dataclasses.replace(networks[0][0].learner, weights=None)
        count = sum(whole[name].numel() for name in parameters_of(learner, pool))
        first, priced = Noise(self.beta, self.scale, self.draws, self.seed), list[AtPrice]()
        times = [partial(one, pool, learner, first, device) for one in (noisy_seconds, following_seconds)]
        followed = count <= MOST_FOLLOWED and (self.source != "prior" or isinstance(pool.target, Real))
        for beta in self.betas:
            noise = dataclasses.replace(first, beta=beta)
            noisy: list[NoisyNetwork] = yield Looks(
                tuple(
                    self._noisy(pool, member.task, learner, weights, noise, count, device, times[0], sets.labels)
                    for member, weights in networks
                )
            )
            channel: list[Following] = []
            if followed:
                channel = yield Looks((self._following(pool, learner, whole, noise, count, device, times[1]),))
            known = channel and (self.source != "prior" or channel[0].linear)  # else no Gaussian is behind it
            priced.append(AtPrice(noise, _in_rows(noisy, len(sets.drawn)), channel[0] if known else None))
        return tuple(priced)

    def _members(self, learner: Learner, drawn: Sequence[Task]) -> tuple[Member, ...]:
        """The networks of each data set, one after another."""
        return tuple(
            Member(learner, one, self.seed + 1 + j * self.seeds + r, name=f"{one.name}, seed {r}")
            for j, one in enumerate(drawn)
            for r in range(max(1, self.seeds))
        )

    def _labels(self, pool: Task, learner: Learner, whole: Weights, device: str) -> Look[DrawnLabels]:
        weights, bare = dict(whole) if self.source == "labels" else None, dataclasses.replace(learner, weights=None)
        return Look(
            drawn_labels,
            (pool, bare, weights, self.scale, self.replicates, self.seed, device),
            DrawnLabels,
            1,
            f"labels of {pool.name}",
            kind="passes",
            stand_in=partial(DrawnLabels.stand_in, pool, self.replicates),
        )

    def _part(self, task: Task) -> Task:
        part = training_part(task)
        if len(part) < 2:
            raise ValueError(f"{part.name!r} has {len(part)} examples; a data set is drawn from 2 or more")
        return sample(part, MOST if self.examples is None else self.examples, self.seed)

    def _noisy(
        self, pool: Task, drawn: Task, learner: Learner, weights: Any, noise: Noise, count: int, device: str,
        seconds: Callable[[], float], labels: DrawnLabels | None,
    ) -> Look[NoisyNetwork]:  # fmt: skip
        step, args = noisy_network, (pool, drawn, learner, dict(weights), noise, device)
        stand_in = partial(NoisyNetwork.stand_in, count, len(pool), noise.draws)
        if labels is not None:
            step, args = relabelled_network, (drawn, learner, dict(weights), noise, labels.said, device)
            stand_in = partial(NoisyNetwork.stand_in, count, len(SHARES), noise.draws)
        return Look(
            step,
            args,
            NoisyNetwork,
            1,
            f"noise on {drawn.name}",
            kind="posteriors",
            seconds=seconds,
            stand_in=stand_in,
        )

    def _following(
        self, pool: Task, learner: Learner, weights: Any, noise: Noise, count: int, device: str,
        seconds: Callable[[], float],
    ) -> Look[Following]:  # fmt: skip
        return Look(
            following,
            (pool, learner, dict(weights), noise, device, *(() if self.source == "examples" else (self.source,))),
            Following,
            1,
            f"how the minimum follows {pool.name}",
            kind="derivatives",
            seconds=seconds,
            stand_in=partial(Following.stand_in, count, len(pool)),
        )


def _trained(found: Population) -> Population:
    """The same; a ValueError if some of it diverged."""
    if found.failed:
        name, why = next(iter(found.failed.items()))
        raise ValueError(
            f"{len(found.failed)} of {len(found.seeds)} networks failed, {name}: {why}; take a smaller learning rate"
        )
    return found


def _in_rows(noisy: Sequence[NoisyNetwork], rows: int) -> tuple[tuple[NoisyNetwork, ...], ...]:
    """A row for each data set."""
    width = len(noisy) // rows
    return tuple(tuple(noisy[i : i + width]) for i in range(0, len(noisy), width))


def shannon(
    data: Any, model: Model = None, *, context: RunContext = RunContext(), strict: bool = True, **options: Any
) -> Measurement:
    """The lower bound of I(w;D) of weights with noise, `ShannonInformation` asked at once; nats.

    >>> from infoscope.models import MLP
    >>> found = shannon("iris", MLP(()), replicates=4, examples=30, epochs=20)
    >>> found.quantity, found.bound.name
    ('I(w;D)', 'LOWER')
    """
    (one,) = ask(ShannonInformation(data, model, **options), context).found
    return one.lowest(one.priced[0]).checked(strict)
