"""The looks behind I(w;D): a network at its minimum, under the noise that its loss tolerates, and how it follows D.

Data sets are drawn from a pool of n examples, n of them with replacement: D is how often each example was drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from infoscope.data.task import Task
from infoscope.ensembles.stacked_loss import StackedLoss
from infoscope.observation.blocks import Block
from infoscope.observation.estimators import Empirical
from infoscope.observation.fisher_diagonal import columns_of_batches
from infoscope.observation.forms import Forms
from infoscope.observation.likelihoods import as_given, likelihood_of
from infoscope.observation.rows import Differentiated
from infoscope.observation.whole_matrix import flat_rows
from infoscope.run.look import pack, unpack
from infoscope.training.isolation import isolated
from infoscope.training.learner import Learner, Weights, load_weights
from infoscope.weight_information.averaged_fisher import AveragedFisher, Form
from infoscope.weight_information.example_losses import losses
from infoscope.weight_information.gaussian import Axes, Curvature, Eigenvectors, Posterior
from infoscope.weight_information.minimum import Pull, hessian, settled
from infoscope.weight_information.weights.look import estimator_for, is_linear
from infoscope.weight_information.weights_and_data.closed_form import signal_to_noise

MOST_FULL = 700
"""Weights, up to which noise has its whole covariance; beyond, each weight has a noise of its own."""

MOST_FOLLOWED = 3000
"""Weights, up to which it is told how the minimum follows the data: that takes the whole Hessian."""

Source = Literal["examples", "labels", "prior"]
"""What is drawn anew for a data set: examples with replacement; labels; or weights of the prior, and labels by them."""

_AT_REST = 1e-3  # nats that a Newton step may still promise


@dataclass(frozen=True)
class Noise:
    """N(0, β (F + β/λ²)⁻¹) around the minimum of L + β|w|²/2λ²; `draws` weights are drawn from it."""

    beta: float
    scale: float
    draws: int
    seed: int

    @property
    def pull(self) -> float:
        """β/λ²."""
        return self.beta / self.scale**2


def form_for(weights: int) -> Form:
    """In which noise is kept."""
    return "full" if weights <= MOST_FULL else "diagonal"


@dataclass(frozen=True, eq=False)
class NoisyNetwork:
    """A posterior around a minimum, and what every example of the pool costs weights that are drawn from it, nats."""

    q: Posterior
    losses: Float[Tensor, "draws n"]

    def to_bytes(self) -> bytes:
        """As one safetensors file."""
        turned = {"vectors": self.q.basis.vectors} if isinstance(self.q.basis, Eigenvectors) else {}
        return pack({"mean": self.q.mean, "variances": self.q.variances, "losses": self.losses, **turned})

    @classmethod
    def from_bytes(cls, data: bytes) -> NoisyNetwork:
        """The value that `to_bytes` wrote."""
        held, _ = unpack(data)
        basis = Eigenvectors(held["vectors"]) if "vectors" in held else Axes()
        return cls(Posterior(held["mean"], held["variances"], basis), held["losses"])

    @classmethod
    def stand_in(cls, weights: int, examples: int, draws: int) -> NoisyNetwork:
        """One of this form, made at once."""
        one = torch.ones(weights, dtype=torch.float64)
        turned = Eigenvectors(torch.eye(weights, dtype=torch.float64)) if form_for(weights) == "full" else Axes()
        return cls(Posterior(one, one, turned), torch.ones(draws, examples, dtype=torch.float64))


def noisy_network(
    pool: Task, drawn: Task, learner: Learner, weights: Weights, noise: Noise, device: str
) -> NoisyNetwork:
    """From these weights to the minimum on the drawn examples, then the posterior there."""
    with isolated(noise.seed):
        at = Settled(drawn, learner, weights, noise, device)
        q = at.posterior()
        found = []
        for row in q.draw(noise.draws, torch.Generator().manual_seed(noise.seed)):
            load_weights(at.network, at.loss.weights(row))
            found.append(losses(at.network, pool))
        return NoisyNetwork(q, torch.stack(found))


@dataclass(frozen=True, eq=False)
class Following:
    """How the minimum follows the data: `signal` are the s_j of the Gaussian channel from D to noisy weights.

    `curvature` are the eigenvalues of F, summed over examples; `gain` is what a Newton step still promises, nats, and
    `risen` says that the loss with its prior is curved upwards in all directions (else F stands for the Hessian).
    """

    signal: Float[Tensor, " n"]
    curvature: Float[Tensor, " d"]
    gain: float
    risen: bool
    linear: bool

    @property
    def at_minimum(self) -> bool:
        """Whether implicit differentiation applies."""
        return self.risen and self.gain <= _AT_REST

    def to_bytes(self) -> bytes:
        """As one safetensors file."""
        facts = {"gain": self.gain, "risen": self.risen, "linear": self.linear}
        return pack({"signal": self.signal, "curvature": self.curvature}, **facts)

    @classmethod
    def from_bytes(cls, data: bytes) -> Following:
        """The value that `to_bytes` wrote."""
        tensors, facts = unpack(data)
        return cls(**tensors, **facts)

    @classmethod
    def stand_in(cls, weights: int, examples: int) -> Following:
        """One of this form, made at once."""
        return cls(torch.ones(examples).double(), torch.ones(weights).double(), 0.0, True, True)


def following(
    pool: Task, learner: Learner, weights: Weights, noise: Noise, device: str, source: Source = "examples"
) -> Following:
    """How the minimum on the whole pool moves with what is drawn, against the noise there.

    Of examples: ∂w*/∂c = −H⁻¹ g_i, c how often an example is drawn, Cov(c) = I − 11ᵀ/n. Of labels, whose scores have
    the covariance F: Cov(w*) = H⁻¹ F H⁻¹. With weights from the prior before them, F + λ² F² stands for F: exact
    where the network is linear and its labels are numbers, and at β = 1 then s_j = λ² h_j, Bayesian linear regression.
    """
    with isolated(noise.seed):
        at = Settled(pool, learner, weights, noise, device)
        q, n = at.posterior(), len(pool)
        whole = at.curvature("full")
        vectors = whole.basis.back(torch.eye(len(at.w), dtype=torch.float64))
        f, pulled = vectors.T @ (whole.h[:, None] * vectors), noise.pull * torch.eye(len(at.w), dtype=torch.float64)
        h = (f if at.linear else hessian(at.loss, at.w)) + pulled
        factor, failed = torch.linalg.cholesky_ex(h)
        if int(failed):
            factor = torch.linalg.cholesky(f + pulled)
        slope = at.loss(at.w[None])[1][0] + noise.pull * at.w
        gain = 0.5 * float(slope @ torch.cholesky_solve(slope[:, None], factor)[:, 0])
        if source == "examples":
            followed = -torch.cholesky_solve(_gradients(at.network, pool).T, factor)
            moved = torch.eye(n, dtype=torch.float64) - 1 / n
        else:
            followed, moved = torch.cholesky_inverse(factor), f if source == "labels" else f + noise.scale**2 * f @ f
        precision = (f + pulled) / noise.beta if isinstance(q.basis, Eigenvectors) else (1 / q.variances).diag()
        return Following(signal_to_noise(moved, followed, precision), whole.h, gain, not int(failed), at.linear)


class Settled:
    """A network that was brought to the minimum of its loss with the prior's term."""

    def __init__(self, task: Task, learner: Learner, weights: Weights, noise: Noise, device: str) -> None:
        self.task, self.noise = task, noise
        self.network: nn.Module = learner.starting_from(weights).network(task.shape, task.target.outputs, noise.seed)
        self.network = self.network.to(device)
        self.loss = StackedLoss(self.network, task, device)
        begin = self.loss.flat(weights)
        if not bool(self.loss(begin[None])[0].isfinite().all()):
            raise ValueError(f"the loss on {task.name!r} is not finite; give a recipe whose training does not diverge")
        self.w = settled(self.loss, begin, Pull(torch.zeros_like(begin), noise.pull), _AT_REST / 10)
        load_weights(self.network, self.loss.weights(self.w))
        probe = AveragedFisher(self.network, task, "diagonal", estimator_for(task))
        self.linear = is_linear(probe, self.w, noise.seed)

    def curvature(self, form: Form) -> Curvature:
        """F at the minimum, summed over examples."""
        return AveragedFisher(self.network, self.task, form, estimator_for(self.task)).at(self.w[None])

    def posterior(self) -> Posterior:
        """The noise that the loss tolerates there, its basis one matrix or the weights themselves."""
        found = self.curvature(form_for(len(self.w)))
        basis = Axes()
        if form_for(len(self.w)) == "full":
            basis = Eigenvectors(found.basis.back(torch.eye(len(self.w), dtype=torch.float64)).T)
        else:
            found = Curvature(found.basis.back(found.h))
        return Posterior.best(self.w, Curvature(found.h, basis), self.noise.beta, self.noise.scale**2)


def _gradients(network: nn.Module, task: Task) -> Float[Tensor, "n d"]:
    """Of every example's loss, in the order of rows of weights."""
    of = Differentiated(network, task.x)
    shapes = {name: tuple(p.shape) for name, p in of.parameters.items()}
    whole = (Block(tuple(shapes), tuple(shapes.values()), False, one_row=True),)
    rows: list[Tensor] = []

    def add(forms: Forms, first: bool) -> None:
        rows.append(flat_rows(whole, forms).double().cpu())

    y = as_given(task.target, task.y)
    for _ in columns_of_batches(of, task.x, y, likelihood_of(task.target), Empirical(), 0, None, add):
        pass
    return torch.cat(rows)
