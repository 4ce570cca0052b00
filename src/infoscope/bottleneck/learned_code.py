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

from infoscope.bottleneck.mixture_marginal import Mixture, drawn
from infoscope.bottleneck.noisy_code import NoisyCode, Rate, WithCode
from infoscope.bottleneck.rates import draw, kl_to_normal
from infoscope.data.inputs import pieces, to
from infoscope.data.task import Task
from infoscope.run.look import pack, unpack
from infoscope.training.fit import Diverged, fit, overfit
from infoscope.training.isolation import isolated
from infoscope.training.learner import Learner, Weights
from infoscope.training.recipe import Constant, Cosine, Recipe

DRAWS = 8
"""Codes of an example over which its loss is averaged."""

ON = 0.25
"""Of a training, for which it goes on to see whether it has converged."""

_BATCH = 256
_SEEN = 4096  # examples of those trained on that are encoded
_NOTHING = 0.01  # nats an example
_SHARE = 0.05
_TRIAL = 20
"""Steps of the trial that a dry run makes."""


@dataclass(frozen=True, eq=False)
class LearnedCode:
    """The codes of n held-out examples: m and s of each unit, and over draws of Z the loss and the share that is right.

    `nuisance` is the value that was planted in each example, empty without one; `mixture` was learned from codes of
    examples that were trained on. `converged` says that training on hardly lowers the objective (see `settled`).
    """

    mean: Float[Tensor, "n d"]
    sd: Float[Tensor, "n d"]
    nats: Float[Tensor, " n"]
    right: Float[Tensor, " n"]
    y: Int[Tensor, " n"]
    nuisance: Int[Tensor, " m"]
    mixture: Mixture
    converged: bool
    overfit: bool

    def to_bytes(self) -> bytes:
        """As one safetensors file."""
        tensors = {name: getattr(self, name) for name in _TENSORS}
        tensors |= {f"mixture/{one.name}": getattr(self.mixture, one.name) for one in dataclasses.fields(Mixture)}
        return pack(tensors, converged=self.converged, overfit=self.overfit)

    @classmethod
    def from_bytes(cls, data: bytes) -> LearnedCode:
        """The value that `to_bytes` wrote."""
        tensors, facts = unpack(data)
        mixture = Mixture(*(tensors.pop(f"mixture/{one.name}") for one in dataclasses.fields(Mixture)))
        return cls(**tensors, mixture=mixture, **facts)

    @classmethod
    def stand_in(cls, n: int, width: int, planted: bool) -> LearnedCode:
        """One of this form, made at once."""
        one, n = torch.ones, max(2, n)
        y = torch.arange(n) % 2
        mean = torch.randn(n, width, generator=torch.Generator().manual_seed(0))
        return cls(mean, one(n, width), one(n), one(n), y, y if planted else y[:0], Mixture.normal(width), True, False)


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
        network = _network(learner, trained.weights, train, seed, device)
        mean, sd, nats, right = _encoded(network, coded, device)
        seen, other = (_encoded(network, part[:_SEEN], device)[:2] for part in (train, stopping))
        mixture = Mixture.fitted(
            drawn(*seen, seed, 0), drawn(*other, seed, 1), seed
        )  # noise that the coded ones don't have
        converged = _converged(learner, train, trained.weights, seed, device)
    over = overfit(trained, learner.recipe)
    return LearnedCode(mean, sd, nats, right, coded.labels.clone(), nuisance, mixture, converged, over)


def settled(before: Float[Tensor, " n"], after: Float[Tensor, " n"], entropy: float) -> bool:
    """Whether training on has hardly lowered the objective H(Y|Z) + β E KL(q(z|x) ‖ N(0, 1)), nats an example.

    It has where it gains more than 0.01 nat, two standard errors over the examples, and a twentieth of what is left or
    of what a code gains over one that tells nothing, whose objective is H(Y), whichever is less.

    >>> settled(torch.full((9,), 0.5), torch.full((9,), 0.4), 2.3), settled(torch.full((9,), 0.5), torch.ones(9), 2.3)
    (False, True)
    """
    gain, left = before - after, float(before.mean())
    error = float(gain.std()) / math.sqrt(len(gain)) if len(gain) > 1 else 0.0
    return float(gain.mean()) <= max(_NOTHING, 2 * error, _SHARE * min(left, entropy - left))


def _converged(learner: Learner, train: Task, weights: Weights, seed: int, device: str) -> bool:
    """Train on, at the full rate and down again: while the rate goes down to nothing the loss alone tells nothing."""
    seen = train[:_SEEN]
    more = dataclasses.replace(learner.recipe, epochs=math.ceil(learner.recipe.epochs * ON))
    try:
        trained = fit(Learner(learner.factory, more, weights), train, seed=seed + 1, device=device)
    except Diverged:
        return False
    before, after = (
        _objective(_network(learner, one, train, seed, device), seen, learner.recipe, device)
        for one in (weights, trained.weights)
    )
    share = train.labels.bincount().double() / len(train)
    return settled(before, after, float(torch.special.entr(share).sum()))


def _objective(network: NoisyCode, task: Task, recipe: Recipe, device: str) -> Float[Tensor, " n"]:
    assert isinstance(recipe.penalty, Rate)
    mean, sd, nats, _ = _encoded(network, task, device)
    return nats + recipe.penalty.beta * kl_to_normal(mean, sd).sum(1)


def _network(learner: Learner, weights: Weights, task: Task, seed: int, device: str) -> NoisyCode:
    network = learner.starting_from(weights).network(task.shape, task.target.outputs, seed).to(device).eval()
    assert isinstance(network, NoisyCode)
    return network


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
    """About how long a training and going on take, from the first steps; what only the very first costs is left out."""
    recipe = learner.recipe
    few = train[: recipe.batch * _TRIAL]
    steps = math.ceil(len(few) / recipe.batch)
    epochs = math.ceil(_TRIAL / steps)

    def took(epochs: int, task: Task) -> float:
        begin = process_time()
        fit(dataclasses.replace(learner, recipe=dataclasses.replace(recipe, epochs=epochs)), task, device=device)
        return process_time() - begin

    took(1, few[: recipe.batch])
    wanted = recipe.epochs + math.ceil(recipe.epochs * ON)
    return took(epochs, few) * wanted * math.ceil(len(train) / recipe.batch) / (epochs * steps)
