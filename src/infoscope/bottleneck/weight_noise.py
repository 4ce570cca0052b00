"""The look behind effective information: what layers of a network do to inputs, and what the weights' noise does."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from time import process_time
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from infoscope.bottleneck.activation_noise import WHOLE, activation_noise, one_hot, renamed, slopes
from infoscope.bottleneck.emergence import signal_to_noise
from infoscope.bottleneck.input_spread import MOST_EXAMPLES, Covariance, covariance_root
from infoscope.data.inputs import count, pieces, take, to
from infoscope.data.task import Task
from infoscope.ensembles.stacked_loss import StackedLoss
from infoscope.observation.estimators import Sketch
from infoscope.observation.layers import layer_names
from infoscope.observation.likelihoods import as_given, likelihood_of
from infoscope.observation.listening import Call
from infoscope.observation.rows import Differentiated
from infoscope.observation.survey import survey
from infoscope.observation.up_to import Places, UpTo
from infoscope.run.look import Look
from infoscope.run.tensor_paths import below, pack_paths, unpack_paths
from infoscope.training.forward import device_of, forward
from infoscope.training.isolation import isolated
from infoscope.training.learner import Learner, Weights
from infoscope.weight_information.averaged_fisher import AveragedFisher, Form
from infoscope.weight_information.gaussian import Posterior
from infoscope.weight_information.posterior import Fitted, Prior, Rounds, closed_form
from infoscope.weight_information.weights.look import estimator_for

Way = Literal["rounds", "closed"]
"""Curvature under the posterior's own noise, found in rounds, or at the weights as they are."""

MOST_UNITS = 2048
"""Activations of a layer, at most."""

DRAWS = 16
"""Weights that are drawn to compare the noise of activations with its linear form."""

BATCH = 256
"""Examples that go through the network at once."""

_ROOM = 1 << 24  # numbers of rows at once
_SOME, _MORE = 32, 128  # examples of a dry run's trials
_FEW, _SEVERAL = 2, 6  # inputs of these


@dataclass(frozen=True)
class Looking:
    """How a network is looked at: see `EffectiveInformation`. `scale` None has the prior's λ chosen at the first β."""

    layers: tuple[str, ...] | None
    betas: tuple[float, ...]
    scale: float | None
    way: Way
    form: Form
    rounds: int
    inputs: int
    covariance: Covariance
    spread: float
    places: Places
    seed: int


@dataclass(frozen=True, eq=False)
class Channels:
    """Of each layer, and each β, the eigenvalues ρ of the channel around each of n inputs.

    `drawn` is the mean square of the noise of activations as drawn over that of its linear form. `kl` is KL(q‖p) at
    each β, nats; `scale` the prior's λ. `trace` is tr F at the weights, `uncertainty` the mean trace of the Hessian of
    the loss in the outputs (Σ p(1 − p) for classes), and `loss` that of an example, nats.
    """

    ratios: dict[str, tuple[Float[Tensor, "n _k"], ...]]
    drawn: dict[str, tuple[float, ...]]
    kl: tuple[float, ...]
    scale: float
    trace: float
    uncertainty: float
    loss: float

    def to_bytes(self) -> bytes:
        """As one safetensors file."""
        tensors = {(layer, i): t for layer, held in self.ratios.items() for i, t in enumerate(held)}
        return pack_paths(
            tensors, layers=list(self.ratios), drawn=self.drawn, kl=self.kl, scale=self.scale, trace=self.trace,
            uncertainty=self.uncertainty, loss=self.loss,
        )  # fmt: skip

    @classmethod
    def from_bytes(cls, data: bytes) -> Channels:
        """The value that `to_bytes` wrote."""
        tensors, facts = unpack_paths(data)
        layers = facts.pop("layers")
        ratios = {layer: tuple(below(tensors, layer).values()) for layer in layers}
        drawn = {layer: tuple(facts["drawn"][layer]) for layer in layers}
        return cls(ratios, **facts | {"drawn": drawn, "kl": tuple(facts["kl"])})


def channel_look(
    task: Task, learner: Learner, weights: Weights, looking: Looking, device: str, label: str
) -> Look[Channels]:
    """The channels of all layers of a network with these weights, as a look."""
    bare = Learner(learner.factory, learner.recipe)

    def stand_in() -> Channels:
        network = learner.network(task.shape, task.target.outputs, 0)
        layers = [call.layer for call in calls_of(network, task, looking.layers)]
        zero = torch.zeros(1, 1, dtype=torch.float64)
        n = len(looking.betas)
        return Channels(
            dict.fromkeys(layers, (zero,) * n), dict.fromkeys(layers, (1.0,) * n), (1.0,) * n, 1.0, 1.0, 1.0, 1.0
        )

    return Look(
        layer_channels, (task, bare, dict(weights), looking, device), Channels, 1, label, kind="channels",
        seconds=ChannelTime(task.fingerprint, bare, dataclasses.replace(looking, scale=None), device, task),
        stand_in=stand_in,
    )  # fmt: skip


@dataclass(frozen=True)
class ChannelTime:
    """How long the channels of a network take; equal for equal work."""

    fingerprint: str
    learner: Learner
    looking: Looking
    device: str
    task: Task = field(compare=False)

    def __call__(self) -> float:
        """Seconds, by untrained weights: from some examples and inputs, from more examples, and from more inputs."""
        n, inputs = len(self.task), min(self.looking.inputs, len(self.task))
        some, more, few, several = (min(n, _SOME), min(n, _MORE), min(inputs, _FEW), min(inputs, _SEVERAL))
        self._took(few, few)  # what only the first pays for
        first = self._took(some, few)
        an_example = max(self._took(more, few) - first, 0.0) / max(more - some, 1)
        an_input = max(self._took(some, several) - first, 0.0) / max(several - few, 1)
        return first + an_example * (n - some) + an_input * (inputs - few)

    def _took(self, n: int, inputs: int) -> float:
        part, how = self.task[:n], dataclasses.replace(self.looking, inputs=inputs)
        weights = self.learner.network(part.shape, part.target.outputs, how.seed).state_dict()
        begin = process_time()
        layer_channels(part, self.learner, weights, how, self.device)
        return process_time() - begin


def layer_channels(task: Task, learner: Learner, weights: Weights, looking: Looking, device: str) -> Channels:
    """The local Gaussian channels of the layers of a network with these weights."""
    with isolated(looking.seed):
        network = learner.starting_from(weights).network(task.shape, task.target.outputs, looking.seed).to(device)
        return _Channels(network, task, looking, device).found(weights)


def calls_of(network: nn.Module, task: Task, layers: Sequence[str] | None) -> list[Call]:
    """The layers, in the order in which they answer; a ValueError for one that is too wide or gives no row each."""
    found = survey(network, layer_names(network, layers), task.x, named=layers is not None)
    return [size.call for size in found.sizes]


class _Channels:
    def __init__(self, network: nn.Module, task: Task, looking: Looking, device: str) -> None:
        self.network, self.task, self.looking = network, task, looking
        self.loss = StackedLoss(network, task, device)
        self.fisher = AveragedFisher(network, task, looking.form, estimator_for(task))
        mixed = torch.randperm(len(task), generator=torch.Generator().manual_seed(looking.seed))
        self.x = take(task.x, mixed[: looking.inputs])
        several = take(task.x, mixed[:MOST_EXAMPLES])
        assert isinstance(several, Tensor)  # checked by the question
        self.root = looking.spread * covariance_root(several.flatten(1), looking.covariance)

    def found(self, weights: Weights) -> Channels:
        w = self.loss.flat(weights).cpu()
        fits = list(self._fits(w))
        posteriors = [one.q for one in fits]
        seen = [
            (call.layer, *self._layer(call, posteriors))
            for call in calls_of(self.network, self.task, self.looking.layers)
        ]
        centre = torch.zeros_like(w)
        return Channels(
            {layer: ratios for layer, ratios, _ in seen},
            {layer: drawn for layer, _, drawn in seen},
            tuple(one.q.kl(centre, one.variance) for one in fits),
            fits[0].variance ** 0.5,
            self._trace(w),
            self._uncertainty(),
            float(self.loss(w[None])[0][0]) / len(self.task),
        )

    def _fits(self, w: Float[Tensor, " d"]) -> Iterator[Fitted]:
        """The posterior around these weights at each β, all under one prior."""
        scale = self.looking.scale
        sketched = AveragedFisher(self.network, self.task, self.looking.form, Sketch())
        for beta in self.looking.betas:
            prior = Prior(torch.zeros_like(w), None if scale is None else scale**2)
            if self.looking.way == "closed":
                fitted = closed_form(w, self.fisher.at, prior, beta)
            else:
                draws = torch.Generator().manual_seed(self.looking.seed)
                # Without steps: the mean stays where the network is, the curvature is averaged over the noise.
                fitted = Rounds(self.looking.rounds, steps=0).fit(w, self.loss, sketched.at, prior, beta, draws)
            scale = fitted.variance**0.5
            yield fitted

    def _trace(self, w: Float[Tensor, " d"]) -> float:
        """Of the Fisher information at the weights, nats an example."""
        plain = AveragedFisher(self.network, self.task, "diagonal", estimator_for(self.task))
        return float(plain.at(w[None]).h.sum()) / len(self.task)

    @torch.no_grad()
    def _uncertainty(self) -> float:
        """The mean trace of the loss's Hessian in the outputs."""
        network, y = self.network.eval(), as_given(self.task.target, self.task.y)
        likelihood, total, start = likelihood_of(self.task.target), 0.0, 0
        for part in pieces(self.task.x, BATCH):
            z, given = forward(network, to(part, device_of(network))), y[start : start + count(part)]
            total += sum(float(column.double().square().sum()) for column in likelihood.columns(z, given))
            start += count(part)
        return total / len(self.task)

    def _layer(self, call: Call, posteriors: Sequence[Posterior]) -> tuple[tuple[Tensor, ...], tuple[float, ...]]:
        """The eigenvalues at each β, and the noise as drawn over its linear form."""
        of = Differentiated(UpTo(self.network, call, self.looking.places), self.x, dtype=torch.float64)
        width = of.at(take(self.x, slice(0, 1))).outputs.shape[1]
        if width > MOST_UNITS:
            raise ValueError(
                f"layer {call.layer!r} has {width} activations, and its noise is taken of {MOST_UNITS} at most; take "
                "the mean over places, or name other layers"
            )
        ratios: list[list[Tensor]] = [[] for _ in posteriors]
        linear = [0.0] * len(posteriors)
        for part in pieces(self.x, self._together(of, width)):
            passed = of.at(part)
            forms = renamed(passed.rows(one_hot(passed.outputs)))
            signal = slopes(of, part) @ self.root
            for i, q in enumerate(posteriors):
                noise = activation_noise(forms, self.fisher.blocks, q)
                linear[i] += float(noise.diagonal(dim1=1, dim2=2).sum())
                ratios[i].append(signal_to_noise(noise, signal).cpu())
        drawn = tuple(self._drawn(of, q) / total if total else 1.0 for q, total in zip(posteriors, linear, strict=True))
        return tuple(torch.cat(parts) for parts in ratios), drawn

    def _together(self, of: Differentiated, width: int) -> int:
        """Inputs whose rows fit into the room."""
        uses = of.at(take(self.x, slice(0, 1))).uses
        places = sum(max(1, torch.Size(use.left).numel()) for use in uses)
        return max(1, _ROOM // max(1, width * max(places, width, len(self.root))))

    @torch.no_grad()
    def _drawn(self, of: Differentiated, q: Posterior) -> float:
        """The squares by which activations move under weights that are drawn from q, their mean over draws."""
        shapes = [(f"{WHOLE}{name}", p.shape) for name, p in self.fisher.parameters.items()]
        x, total = of.cast(self.x), 0.0
        here = of.network(x)
        for row in q.draw(DRAWS, torch.Generator().manual_seed(self.looking.seed + 1)):
            parts = row.split([shape.numel() for _, shape in shapes])
            values = {name: part.view(shape).to(here) for part, (name, shape) in zip(parts, shapes, strict=True)}
            total += float((functional_call(of.network, values, (x,)) - here).square().sum())
        return total / DRAWS
