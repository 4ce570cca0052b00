"""The question of Shannon's information: how much do the weights tell about which examples they were trained on?"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import numpy as np
import torch

from infoscope.data.named import Tasks, sample, tasks, training_part
from infoscope.data.task import Task
from infoscope.ensembles.population import Member, Population
from infoscope.ensembles.train import Train
from infoscope.measurement import Measurement
from infoscope.models.default import Model, learner_for, model_name
from infoscope.options import AtLeast, check_fields, positive
from infoscope.run.context import RunContext
from infoscope.run.look import Look, Looks
from infoscope.run.question import Rows, Stages, ask
from infoscope.training.learner import Learner
from infoscope.weight_information.checkpoint import parameters_of
from infoscope.weight_information.example_losses import PerExample, check_likelihood, check_own_loss, losses_look
from infoscope.weight_information.weights_and_data.answer import AtPrice, ShannonAnswer, TaskShannon
from infoscope.weight_information.weights_and_data.noisy_network import (
    MOST_FOLLOWED,
    Following,
    Noise,
    NoisyNetwork,
    following,
    noisy_network,
)
from infoscope.weight_information.weights_and_data.trial import following_seconds, noisy_seconds

MOST = 200
"""Examples, unless more are asked for."""


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

    def __post_init__(self) -> None:
        check_fields(self)
        positive(self, "beta", "curve")
        if not 0 < self.scale < math.inf:
            raise ValueError(f"the prior's scale is {self.scale}; give a standard deviation above 0")

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
        found: list[TaskShannon] = []
        for task in given:
            one = yield from self._of(task, device)
            found.append(one)
            yield Rows(one.rows())
        return ShannonAnswer(self.beta, tuple(found))

    def _of(self, pool: Task, device: str) -> Stages[TaskShannon]:
        learner, n = learner_for(pool, self.model, self.epochs), len(pool)
        rows = [np.random.default_rng([self.seed, j]).integers(0, n, n) for j in range(self.replicates)]
        drawn = [dataclasses.replace(pool[one], name=f"{pool.name}, draw {j}") for j, one in enumerate(rows)]
        members = [Member(learner, pool, self.seed)]
        for j, one in enumerate(drawn):
            first = self.seed + 1 + j * self.seeds
            members += [
                Member(learner, one, first + r, name=f"{one.name}, seed {r}") for r in range(max(1, self.seeds))
            ]
        trained: Population = yield Train(tuple(members))
        if trained.failed:
            name, why = next(iter(trained.failed.items()))
            raise ValueError(
                f"{len(trained.failed)} of {len(members)} networks failed, {name}: {why}; take a smaller learning rate"
            )
        whole, *others = (trained.member(i) for i in range(len(members)))
        as_trained: list[PerExample] = yield Looks((losses_look(pool, learner, others, device, "losses"),))
        count = sum(whole[name].numel() for name in parameters_of(learner, pool))
        priced: list[AtPrice] = []
        bare, first = dataclasses.replace(learner, weights=None), Noise(self.beta, self.scale, self.draws, self.seed)
        times = [partial(one, pool, bare, first, device) for one in (noisy_seconds, following_seconds)]
        for beta in self.betas:
            noise = dataclasses.replace(first, beta=beta)
            pairs = [(members[i + 1].task, weights) for i, weights in enumerate(others)]
            noisy: list[NoisyNetwork] = yield Looks(
                tuple(self._noisy(pool, one, bare, weights, noise, count, device, times[0]) for one, weights in pairs)
            )
            channel: list[Following] = []
            if count <= MOST_FOLLOWED:
                channel = yield Looks((self._following(pool, bare, whole, noise, count, device, times[1]),))
            priced.append(AtPrice(noise, _in_rows(noisy, len(rows)), channel[0] if channel else None))
        counts = torch.from_numpy(np.stack([np.bincount(one, minlength=n) for one in rows]))
        return TaskShannon(
            pool.name, pool.fingerprint[:16], model_name(pool, self.model), self.seeds, counts,
            as_trained[0].values.reshape(len(rows), -1, n), tuple(priced), all(trained.converged),
        )  # fmt: skip

    def _part(self, task: Task) -> Task:
        part = training_part(task)
        if len(part) < 2:
            raise ValueError(f"{part.name!r} has {len(part)} examples; a data set is drawn from 2 or more")
        return sample(part, MOST if self.examples is None else self.examples, self.seed)

    def _noisy(
        self, pool: Task, drawn: Task, learner: Learner, weights: Any, noise: Noise, count: int, device: str,
        seconds: Callable[[], float],
    ) -> Look[NoisyNetwork]:  # fmt: skip
        return Look(
            noisy_network,
            (pool, drawn, learner, dict(weights), noise, device),
            NoisyNetwork,
            1,
            f"noise on {drawn.name}",
            kind="posteriors",
            seconds=seconds,
            stand_in=partial(NoisyNetwork.stand_in, count, len(pool), noise.draws),
        )

    def _following(
        self, pool: Task, learner: Learner, weights: Any, noise: Noise, count: int, device: str,
        seconds: Callable[[], float],
    ) -> Look[Following]:  # fmt: skip
        return Look(
            following,
            (pool, learner, dict(weights), noise, device),
            Following,
            1,
            f"how the minimum follows {pool.name}",
            kind="derivatives",
            seconds=seconds,
            stand_in=partial(Following.stand_in, count, len(pool)),
        )


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
    return one.decoded(one.priced[0]).checked(strict)
