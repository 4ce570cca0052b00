"""The look behind the sweep over β on the weights: a layer's activations while each example meets weights of its own.

With w drawn from the posterior, z = f_w(x) is a noisy channel from the input: what that noise leaves of it is bounded.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from infoscope.data.inputs import take, to
from infoscope.data.task import Task
from infoscope.ensembles.stacked_loss import StackedLoss
from infoscope.observation.estimators import Sketch
from infoscope.observation.layers import layer_names
from infoscope.run.look import Look
from infoscope.run.tensor_paths import below, pack_paths, unpack_paths
from infoscope.training.forward import device_of, forward
from infoscope.training.isolation import isolated
from infoscope.training.learner import Learner, Weights
from infoscope.weight_information.averaged_fisher import AveragedFisher
from infoscope.weight_information.example_losses import example_losses
from infoscope.weight_information.gaussian import Posterior
from infoscope.weight_information.posterior import Fitted, Prior, Rounds, at_price, closed_form

_DRAWN = 64
"""Weights at once."""


@dataclass(frozen=True, eq=False)
class Sampled:
    """A posterior at one β: its mean, KL(q‖p) in nats, E_q of the mean training loss; and m held-out examples under it.

    `z` are a layer's activations and `nats` the losses, each example with a draw of the weights of its own. Of noise
    that is the same on all weights, around the weights as they were given, `beta` is NaN and `sd` its deviation.
    """

    beta: float
    sd: float
    kl: float
    loss: float
    z: Float[Tensor, "m d"]
    nats: Float[Tensor, " m"]
    weights: Weights = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class SampledLayer:
    """One network under posteriors at several β, with a prior of deviation λ = `scale`; then under plain noise."""

    scale: float
    points: tuple[Sampled, ...]
    plain: tuple[Sampled, ...]

    def to_bytes(self) -> bytes:
        """As one safetensors file."""
        tensors = {}
        both = (*self.points, *self.plain)
        for i, point in enumerate(both):
            tensors |= {(i, "z"): point.z, (i, "nats"): point.nats}
            tensors |= {(i, "weights", name): t for name, t in point.weights.items()}
        facts = [(point.beta, point.sd, point.kl, point.loss) for point in both]
        return pack_paths(tensors, scale=self.scale, facts=facts, count=len(self.points))

    @classmethod
    def from_bytes(cls, data: bytes) -> SampledLayer:
        """The value that `to_bytes` wrote."""
        tensors, facts = unpack_paths(data)
        points = tuple(
            Sampled(beta, sd, kl, loss, tensors[i, "z"], tensors[i, "nats"], below(tensors, i, "weights"))
            for i, (beta, sd, kl, loss) in enumerate(facts["facts"])
        )
        return cls(facts["scale"], points[: facts["count"]], points[facts["count"] :])


def sampled_layer_look(
    train: Task, held_out: Task, learner: Learner, weights: Weights, layer: str, betas: Sequence[float],
    plain: Sequence[float], seed: int, device: str, label: str,
) -> Look[SampledLayer]:  # fmt: skip
    """The same as a look."""
    network = learner.network(train.shape, train.target.outputs, seed)
    layer_names(network, [layer])

    def stand_in() -> SampledLayer:
        one, n = torch.randn(len(held_out), 2), len(held_out)
        points = tuple(Sampled(b, math.nan, 1.0, 1.0, one, torch.ones(n), weights) for b in betas)
        return SampledLayer(1.0, points, tuple(Sampled(math.nan, s, 1.0, 1.0, one, torch.ones(n)) for s in plain))

    bare = Learner(learner.factory, learner.recipe)
    args = (train, held_out, bare, dict(weights), layer, tuple(betas), tuple(plain), seed, device)
    return Look(sampled_layer, args, SampledLayer, 1, label, kind="posteriors", stand_in=stand_in)


def sampled_layer(
    train: Task, held_out: Task, learner: Learner, weights: Weights, layer: str, betas: Sequence[float],
    plain: Sequence[float], seed: int, device: str,
) -> SampledLayer:  # fmt: skip
    """Posteriors by rounds around these weights (the mean moves), from the first β to all others; then activations.

    The prior's scale is chosen at the first β. `plain` are deviations of noise that is the same on all weights, in
    units of their root mean square.
    """
    with isolated(seed, threads=1):
        network = learner.starting_from(weights).network(train.shape, train.target.outputs, seed).to(device).eval()
        loss = StackedLoss(network, train, device)
        w = loss.flat(weights).cpu()
        fits = _fits(network, train, loss, w, betas, seed)
        variance = fits[betas[0]].variance

        def sampled(beta: float, sd: float, q: Posterior, mean: Weights) -> Sampled:
            draws = torch.Generator().manual_seed(seed + 1)
            expected = float(loss(q.draw(_DRAWN, draws))[0].mean()) / len(train)
            z, nats = _activations(network, held_out, layer, loss, q, draws)
            kl = q.kl(torch.zeros_like(w), variance) if bool((q.variances > 0).all()) else math.inf
            return Sampled(beta, sd, kl, expected, z, nats, mean)

        points = [
            sampled(beta, math.nan, fits[beta].q, _single(loss.weights(fits[beta].q.mean), weights)) for beta in betas
        ]
        size = float(w.square().mean().sqrt())
        noisy = [sampled(math.nan, sd, Posterior(w, torch.full_like(w, (sd * size) ** 2)), {}) for sd in plain]
        return SampledLayer(variance**0.5, tuple(points), tuple(noisy))


def _fits(
    network: nn.Module, task: Task, loss: StackedLoss, w: Float[Tensor, " d"], betas: Sequence[float], seed: int
) -> dict[float, Fitted]:
    """The prior's scale is the best at the first β, and stays; each β starts from its neighbour's posterior."""
    sketched = AveragedFisher(network, task, "ekfac", Sketch())
    first = betas[0]
    draws = torch.Generator().manual_seed(seed)
    free = Prior(torch.zeros_like(w), None)
    known = [closed_form(w, sketched.at, free, first)]
    fits = {first: Rounds().fit(w, loss, sketched.at, free, first, draws, known)}
    prior = Prior(torch.zeros_like(w), fits[first].variance)
    for side in (sorted(b for b in betas if b > first), sorted((b for b in betas if b < first), reverse=True)):
        last = fits[first]
        for beta in side:
            last = fits[beta] = Rounds().fit(None, loss, sketched.at, prior, beta, draws, [at_price(last, beta)])
    return fits


@torch.no_grad()
def _activations(
    network: nn.Module, task: Task, layer: str, loss: StackedLoss, q: Posterior, draws: torch.Generator
) -> tuple[Tensor, Tensor]:
    """A layer's outputs and the loss of each example under a draw of its own."""
    heard: list[Tensor] = []
    handle = network.get_submodule(layer).register_forward_hook(lambda module, given, out: heard.append(out.detach()))
    dtype, device = next(network.parameters()).dtype, device_of(network)
    nats: list[Tensor] = []
    try:
        for start in range(0, len(task), _DRAWN):
            size = min(_DRAWN, len(task) - start)
            for i, row in enumerate(q.draw(size, draws), start):
                own = {name: t.to(device, dtype) for name, t in loss.weights(row).items() if t.is_floating_point()}
                one = to(take(task.x, slice(i, i + 1)), device)
                said = forward(_Called(network, own), one)
                nats.append(example_losses(said, task.target, task.y[i : i + 1]).cpu())
    finally:
        handle.remove()
    return torch.cat([z.flatten(1).float().cpu() for z in heard]), torch.cat(nats)


class _Called:
    """A network with these in place of its own weights."""

    def __init__(self, network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
        self._network, self._tensors = network, dict(tensors)

    def __call__(self, *args: Tensor, **words: Tensor) -> object:
        return functional_call(self._network, self._tensors, args, words)


def _single(mean: Mapping[str, Tensor], like: Weights) -> dict[str, Tensor]:
    """The mean as a state dict of the network's own types."""
    return {name: mean[name].to(t.dtype) if name in mean else t for name, t in like.items()}
