"""The look at one checkpoint: the noise that its loss tolerates around its weights, and what it errs under it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

import torch
from jaxtyping import Int
from torch import Tensor, nn

from infoscope.data.inputs import take, to
from infoscope.data.targets import Classes
from infoscope.data.task import Task
from infoscope.ensembles.stacked_loss import StackedLoss
from infoscope.observation.estimators import Sketch
from infoscope.training.forward import forward
from infoscope.training.isolation import isolated
from infoscope.training.learner import Learner, Weights, load_weights
from infoscope.training.predict import evaluating
from infoscope.weight_information.averaged_fisher import AveragedFisher
from infoscope.weight_information.gaussian import Curvature, gaussian_learning_coefficients
from infoscope.weight_information.posterior import Fitted, Prior, Rounds, closed_form
from infoscope.weight_information.stationarity import FAR, constant_loss, gradient_ratio
from infoscope.weight_information.weights.look import estimator_for

_WORK = 1 << 15  # draws × examples whose errors are counted
_TOGETHER = 1 << 22  # numbers of weights that are drawn at once


@dataclass(frozen=True)
class AtCheckpoint:
    """How q is found with its mean at the weights: β, the prior (λ None to choose it, and pay), rounds of curvature.

    `b` and `width` are the inverse temperature and the prior's λ of the learning coefficient; with `errors` wrong
    classes are counted under q.
    """

    beta: float
    centre: Weights | None
    scale: float | None
    rounds: int
    draws: int
    b: float
    width: float
    errors: bool
    seed: int


@dataclass(frozen=True)
class CheckpointPosterior:
    """What is found at one checkpoint, nats; sums over the n examples.

    `losses` and `risks` are of weights drawn from q (risks on examples drawn anew for each, none where they were not
    asked for); `gain` is how much lower the loss would be at the minimum of its parabola, `excess` what the learning
    coefficient takes the noise to cost, `slope` the `gradient_ratio`, `constant` what the best constant answer costs.
    """

    n: int
    loss: float
    kl: float
    price: float
    scale: float
    losses: tuple[float, ...]
    by_mean: float
    by_variance: float
    gain: float
    excess: float
    slope: float
    constant: float
    risks: tuple[float, ...]

    @property
    def total(self) -> float:
        """KL(q‖p), nats, with the price of λ."""
        return self.kl + self.price

    @property
    def at_a_minimum(self) -> bool:
        """Whether nothing speaks against it.

        What is left to gain, by the curvature here, is no more than the excess of the loss that the coefficient speaks
        of; the gradient is what chance makes of examples' own (`FAR`); and the loss is below that of a constant answer.
        """
        return self.gain <= self.excess and self.slope <= FAR and self.loss < self.constant

    def to_bytes(self) -> bytes:
        """As JSON."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> CheckpointPosterior:
        """The value that `to_bytes` wrote."""
        held = json.loads(data)
        return cls(**held | {"losses": tuple(held["losses"]), "risks": tuple(held["risks"])})


def checkpoint_posterior(
    task: Task, learner: Learner, weights: Weights, how: AtCheckpoint, device: str
) -> CheckpointPosterior:
    """The Gaussian of least C around these weights: its covariance is the curvature averaged over its own draws."""
    with isolated(how.seed):
        network = learner.starting_from(weights).network(task.shape, task.target.outputs, how.seed).to(device)
        fisher = AveragedFisher(network, task, "ekfac", estimator_for(task))
        sketched = AveragedFisher(network, task, "ekfac", Sketch())
        loss = StackedLoss(network, task, device)
        w = loss.flat(weights)
        value, slope = (t[0] for t in loss(w[None]))
        if not bool(value.isfinite()):
            raise ValueError(f"the loss of these weights on {task.name!r} is {float(value)}; leave the checkpoint out")
        centre = torch.zeros_like(w) if how.centre is None else loss.flat(how.centre)
        prior = Prior(centre, None if how.scale is None else how.scale**2)
        closed = closed_form(w, fisher.at, prior, how.beta)
        drawing = torch.Generator().manual_seed(how.seed)
        found = Rounds(how.rounds, 0).fit(w, loss, sketched.at, prior, how.beta, drawing, [closed])
        gain, (by_mean, by_variance) = _coefficients(closed.curvature, slope, how)
        ratio = gradient_ratio(network, task, slope)
        losses, risks = _drawn(found, loss, network, task, how, device)
        return CheckpointPosterior(
            len(task), float(value), found.q.kl(prior.mean, found.variance), prior.price, found.variance**0.5, losses,
            by_mean, by_variance, gain, by_mean / how.b, ratio, constant_loss(task), risks,
        )  # fmt: skip


def _coefficients(curvature: Curvature, slope: Tensor, how: AtCheckpoint) -> tuple[float, tuple[float, float]]:
    """½ gᵀ(H + 1/bλ²)⁻¹ g, and (λ_E, λ_H)."""
    damped = curvature.h + 1 / (how.b * how.width**2)
    gain = float((curvature.basis.to(slope).square() / damped).sum()) / 2
    return gain, gaussian_learning_coefficients(curvature.h, how.b, how.width**2)


@torch.no_grad()
def _drawn(
    found: Fitted, loss: StackedLoss, network: nn.Module, task: Task, how: AtCheckpoint, device: str
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Losses of weights drawn from q on all examples, and errors on some, drawn anew for each."""
    drawing = torch.Generator().manual_seed(how.seed + 1)
    together, losses, risks = max(1, _TOGETHER // len(found.q.mean)), list[float](), list[float]()
    some = max(1, min(len(task), _WORK // how.draws))
    for start in range(0, how.draws, together):
        rows = found.q.draw(min(together, how.draws - start), drawing)
        with torch.enable_grad():
            losses += loss(rows)[0].tolist()
        for row in rows if how.errors else ():
            load_weights(network, {k: t.float() if t.is_floating_point() else t for k, t in loss.weights(row).items()})
            picked = torch.randperm(len(task), generator=drawing)[:some]
            risks.append(_wrong(network, task, picked, device))
    return tuple(losses), tuple(risks)


def _wrong(network: nn.Module, task: Task, rows: Int[Tensor, " n"], device: str) -> float:
    """The share of these examples whose most likely class is not their own."""
    with evaluating(network):
        outputs = forward(network, to(take(task.x, rows), device))
    return float((outputs.argmax(-1).cpu() != task.labels[rows]).double().mean())


def nothing(n: int, how: AtCheckpoint) -> CheckpointPosterior:
    """One of this form, made at once."""
    ones = (float(n),) * how.draws
    risks = (0.5,) * how.draws if how.errors else ()
    return CheckpointPosterior(n, float(n), 1.0, 0.0, 1.0, ones, 1.0, 1.0, 0.0, 1.0, 0.0, 2.0 * n, risks)


def counts_errors(task: Task) -> bool:
    """Whether there are classes to be wrong about."""
    return isinstance(task.target, Classes)
