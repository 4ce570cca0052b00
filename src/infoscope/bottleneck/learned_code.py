"""The look behind the bottleneck: a network with a noisy code is trained at a price, and examples are encoded."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from time import process_time

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from infoscope.bottleneck.noisy_code import NoisyCode, Rate, WithCode
from infoscope.bottleneck.rates import draw
from infoscope.data.inputs import pieces, to
from infoscope.data.task import Task
from infoscope.run.look import pack, unpack
from infoscope.training.fit import fit, overfit
from infoscope.training.isolation import isolated
from infoscope.training.learner import Learner
from infoscope.training.recipe import Constant, Cosine

DRAWS = 8
"""Codes of an example over which its loss is averaged."""

_BATCH = 256
_TRIAL = 20
"""Steps of the trial that a dry run makes."""


@dataclass(frozen=True, eq=False)
class LearnedCode:
    """The codes of n held-out examples: m and s of each unit, and over draws of Z the loss and the share that is right.

    `nuisance` is the value that was planted in each example, empty without one.
    """

    mean: Float[Tensor, "n d"]
    sd: Float[Tensor, "n d"]
    nats: Float[Tensor, " n"]
    right: Float[Tensor, " n"]
    y: Int[Tensor, " n"]
    nuisance: Int[Tensor, " m"]
    converged: bool
    overfit: bool

    def to_bytes(self) -> bytes:
        """As one safetensors file."""
        tensors = {name: getattr(self, name) for name in _TENSORS}
        return pack(tensors, converged=self.converged, overfit=self.overfit)

    @classmethod
    def from_bytes(cls, data: bytes) -> LearnedCode:
        """The value that `to_bytes` wrote."""
        tensors, facts = unpack(data)
        return cls(**tensors, **facts)

    @classmethod
    def stand_in(cls, n: int, width: int, planted: bool) -> LearnedCode:
        """One of this form, made at once."""
        one, n = torch.ones, max(2, n)
        y = torch.arange(n) % 2
        mean = torch.randn(n, width, generator=torch.Generator().manual_seed(0))
        return cls(mean, one(n, width), one(n), one(n), y, y if planted else y[:0], True, False)


_TENSORS = ("mean", "sd", "nats", "right", "y", "nuisance")


def learner_of_code(learner: Learner, code: WithCode, beta: float, epochs: int) -> Learner:
    """The learner whose network has a noisy code, charged β a nat.

    It trains all epochs, as a held-out loss does not say when the code has settled; its rate goes down to nothing by
    half a cosine, unless the recipe says otherwise.
    """
    given = learner.recipe
    decay = Cosine() if given.decay == Constant() else given.decay
    recipe = dataclasses.replace(given, patience=None, epochs=epochs, penalty=Rate(beta), decay=decay)
    return Learner(code, recipe)


def learn_code(
    train: Task, stopping: Task, coded: Task, nuisance: Int[Tensor, " m"], learner: Learner, seed: int, device: str
) -> LearnedCode:
    """Train on one part, with an eye on another, and encode a third."""
    with isolated(seed, threads=1):
        trained = fit(learner, train, stopping, seed=seed, device=device)
        network = learner.starting_from(trained.weights).network(train.shape, train.target.outputs, seed).to(device)
        assert isinstance(network, NoisyCode)
        mean, sd, nats, right = _encoded(network.eval(), coded, device)
    over = overfit(trained, learner.recipe)
    return LearnedCode(mean, sd, nats, right, coded.labels.clone(), nuisance, trained.converged, over)


@torch.no_grad()
def _encoded(network: NoisyCode, task: Task, device: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    parts = [network.encoded(to(x, torch.device(device))) for x in pieces(task.x, _BATCH)]
    mean, sd = (torch.cat(each).double().cpu() for each in zip(*parts, strict=True))
    nats, right = torch.zeros(len(mean), dtype=torch.float64), torch.zeros(len(mean), dtype=torch.float64)
    for seed in range(DRAWS):
        said = network.decoded(draw(mean, sd, seed).float().to(device)).double().cpu()
        nats += F.cross_entropy(said, task.labels.long(), reduction="none") / DRAWS
        right += _right(said, task.labels) / DRAWS
    return mean, sd, nats, right


def _right(logits: Float[Tensor, "n c"], y: Int[Tensor, " n"]) -> Bool[Tensor, " n"]:
    return logits.argmax(1) == y


def seconds_to_learn(train: Task, learner: Learner, device: str) -> float:
    """About how long a training takes, from its first steps; what only the very first costs is left out."""
    recipe = learner.recipe
    few = train[: recipe.batch * _TRIAL]
    steps = math.ceil(len(few) / recipe.batch)
    epochs = math.ceil(_TRIAL / steps)

    def took(epochs: int, task: Task) -> float:
        begin = process_time()
        fit(dataclasses.replace(learner, recipe=dataclasses.replace(recipe, epochs=epochs)), task, device=device)
        return process_time() - begin

    took(1, few[: recipe.batch])
    return took(epochs, few) * recipe.epochs * math.ceil(len(train) / recipe.batch) / (epochs * steps)
