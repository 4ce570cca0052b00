"""The look behind the information in the weights: a posterior at every β, and the loss of weights drawn from it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from infoscope import __version__
from infoscope.data.targets import Classes, Labels, Real
from infoscope.data.task import Task
from infoscope.ensembles.stacked_loss import StackedLoss
from infoscope.measurement import Receipt
from infoscope.observation.estimators import Estimator, Exact, Sketch
from infoscope.observation.likelihoods import likelihood_of
from infoscope.training.isolation import isolated
from infoscope.training.learner import Learner, Weights
from infoscope.weight_information.averaged_fisher import AveragedFisher, Blockwise, Form
from infoscope.weight_information.gaussian import Curvature, Posterior, isotropic
from infoscope.weight_information.minimum import Pull, settled
from infoscope.weight_information.parts_of_data import LARGE, PartOfData, pass_operations
from infoscope.weight_information.posterior import (
    Fitted,
    Prior,
    Rounds,
    at_price,
    closed_form,
    refined,
    sampled_complexity,
)
from infoscope.weight_information.prior_scale import cheaper, rescaled
from infoscope.weight_information.tolerated_noise import Slowly
from infoscope.weight_information.weights.curve import Floor, Point, WeightCurve
from infoscope.weight_information.weights.floor import posterior_floor

Way = Literal["auto", "closed", "rounds", "noise"]

MOST_FULL = 1024
"""Weights, up to which a model that is linear in them has its whole matrix taken."""

MOST_EXACT = 16
"""Outputs, up to which curvatures are exact; beyond, they are sketched."""

_NUMBERS = 1 << 22  # of weights that are drawn at once
_AT_FIRST = 4  # parts of the examples that a basis is found on


@dataclass(frozen=True)
class Fitting:
    """How posteriors are found: their form, the way there, the prior's λ, rates β, draws of weights, and the floor.

    `scale` None has λ chosen and paid for. `refine` are steps of variational refinement behind the rounds; `floor` are
    steps of annealing towards the Gibbs posterior, 0 for none. `centre` is the prior's mean, zero where it is None.
    """

    betas: tuple[float, ...]
    way: Way
    form: Form | None
    scale: float | None
    centre: Weights | None
    rounds: Rounds
    refine: int
    draws: int
    floor: int
    seed: int


def weight_curve(task: Task, learner: Learner, weights: Weights, fitting: Fitting, device: str) -> WeightCurve:
    """The posteriors around these weights, from the first β on to all others, each from its neighbour's."""
    with isolated(fitting.seed):
        return FittedCurve(task, learner, weights, fitting, device).found()


class FittedCurve:
    """The posteriors of a network under a `Fitting`, and what they are made with."""

    def __init__(self, task: Task, learner: Learner, weights: Weights, fitting: Fitting, device: str) -> None:
        self.task, self.fitting = task, fitting
        likelihood_of(task.target)
        network = learner.starting_from(weights).network(task.shape, task.target.outputs, fitting.seed)
        network = network.to(device)
        count = sum(p.numel() for p in network.parameters() if p.requires_grad)
        probe = AveragedFisher(network, task, "diagonal", estimator_for(task))
        self.loss = StackedLoss(network, task, device)
        self.w = self.loss.flat(weights).cpu()
        self.linear = is_linear(probe, self.w, fitting.seed)
        large = fitting.way == "auto" and not self.linear and pass_operations(network, task) > LARGE
        self.part = PartOfData(network, task) if large or fitting.way == "noise" else None
        draws = torch.Generator().manual_seed(fitting.seed)
        first = self.loss(self.w[None])[0] if self.part is None else self.part.loss(self.w[None], draws)
        if self.part is not None and (fitting.refine or fitting.floor):
            raise ValueError(
                f"{len(task)} examples are too many for {'refine' if fitting.refine else 'floor'} with this network, "
                "as its steps take all of them; leave it out, or take fewer examples or posterior rounds"
            )
        if not bool(first.isfinite().all()):
            raise ValueError(
                f"the loss of these weights on {task.name!r} is {float(first[0])}; give weights that did not diverge"
            )
        self.form: Form = fitting.form or ("full" if self.linear and count <= MOST_FULL else "ekfac")
        self.fisher = (
            probe if self.form == "diagonal" else AveragedFisher(network, task, self.form, estimator_for(task))
        )
        # Averaged over many draws of the weights anyhow.
        self.sketched = probe if self.linear else AveragedFisher(network, task, self.form, Sketch())
        centre = torch.zeros_like(self.w) if fitting.centre is None else self.loss.flat(fitting.centre).cpu()
        self.prior = Prior(centre, None if fitting.scale is None else fitting.scale**2)
        self.names = self.fisher.names
        self.device = device
        self._closed: dict[float, Fitted] = {}
        # The noise of a step is far above what single precision rounds.
        own = next(iter(self.fisher.parameters.values())).dtype
        self.steps = self.loss.in_precision(own) if self.loss.way == "grouped" else self.loss

    def found(self) -> WeightCurve:
        """Every β under every way."""
        points = [p for one in self.ways() for p in self._points(one)]
        f = self.fitting
        if self.part is not None:
            how = f"{f.rounds.rounds} rounds, {self.part.size} examples at a time; the mean stays"
        elif self.linear:
            how = "linear in its weights"
        else:
            how = f"{f.rounds.rounds} rounds of {f.rounds.steps} steps, {f.refine} of refinement"
        notes = (f"form of Σ: {self.form}", f"loss: {self.loss.way}", how)
        receipt = Receipt(
            "Gaussian posterior", self.task.fingerprint[:16], n=len(self.task), seeds=(f.seed,), over="draws of q",
            notes=notes, version=__version__, device=self.device,
        )  # fmt: skip
        return WeightCurve(tuple(points), receipt)

    def ways(self) -> tuple[str, ...]:
        """How posteriors are found, one after the other."""
        if self.part is not None:
            return ("noise",)
        if self.fitting.way != "auto":
            return (self.fitting.way,)
        return ("closed",) if self.linear else ("closed", "rounds")

    def _points(self, way: str) -> list[Point]:
        betas = self.fitting.betas
        if way == "noise":
            return [self._point(way, beta, self._tolerated(beta)) for beta in betas]
        main = betas[0]
        fits = {main: self._fit(way, main, None)}
        for side in (sorted(b for b in betas if b > main), sorted((b for b in betas if b < main), reverse=True)):
            last = fits[main]
            for beta in side:
                last = fits[beta] = self._fit(way, beta, last)
        if way == "rounds":
            self._walk_back(way, fits)
        return [self._point(way, beta, fits[beta]) for beta in betas]

    def _walk_back(self, way: str, fits: dict[float, Fitted]) -> None:
        """From either end over all β: between two kinds of posterior a walk is caught in its own.

        Where weights cost least, what was trained may be kept: there it is begun anew.
        """
        draws = torch.Generator().manual_seed(self.fitting.seed)
        least = min(fits)
        if least != self.fitting.betas[0]:
            anew = self._fit(way, least, None)
            prices = [sampled_complexity(one, self.steps, self.prior, least) for one in (fits[least], anew)]
            fits[least] = anew if prices[1] < prices[0] else fits[least]
        for walk in (sorted(fits), sorted(fits, reverse=True)):
            for last, beta in pairwise(walk):
                neighbour = at_price(fits[last], beta)
                fits[beta] = cheaper(
                    self.fitting.rounds, fits[beta], neighbour, self.steps, self.sketched.at, self.prior, beta, draws
                )

    def _tolerated(self, beta: float) -> Fitted:
        part, draws = self.part, torch.Generator().manual_seed(self.fitting.seed)
        assert part is not None

        def curvature(weights: Tensor, seed: int, basis: Blockwise | None) -> Curvature:
            return self.sketched.on(part.drawn(draws, 1 if basis else _AT_FIRST)).at(weights, seed, basis)

        slowly = Slowly(self.fitting.rounds.rounds)
        return slowly.fit(self.w, part.loss, curvature, self.prior, beta, draws)

    def _fit(self, way: str, beta: float, neighbour: Fitted | None) -> Fitted:
        settle = (
            (lambda w, variance: settled(self.loss, w, Pull(self.prior.mean, beta / variance))) if self.linear else None
        )
        if beta not in self._closed:
            self._closed[beta] = closed_form(self.w, self.fisher.at, self.prior, beta, settle)
        closed = self._closed[beta]
        if way == "closed":
            return closed
        f = self.fitting
        draws = torch.Generator().manual_seed(f.seed)
        known = [closed] if neighbour is None else [closed, at_price(neighbour, beta)]
        start = self.w if neighbour is None else None
        scale = self.prior.begin(self.w) if neighbour is None else neighbour.variance
        kept = self.prior if self.prior.variance is not None else replace(self.prior, variance=scale)
        found = f.rounds.fit(start, self.steps, self.sketched.at, kept, beta, draws, known)
        if self.prior.variance is None:
            found = rescaled(f.rounds, found, start, self.steps, self.sketched.at, self.prior, beta, draws)
        return refined(found, self.steps, self.prior, beta, f.refine, draws) if f.refine else found

    def _point(self, way: str, beta: float, found: Fitted) -> Point:
        q, variance, f = found.q, found.variance, self.fitting
        offset = (q.mean - self.prior.mean).square() / (2 * variance)
        ratio = q.variances / variance
        spread = (ratio - 1 - ratio.log()) / 2
        basis = q.basis
        spread = basis.by_weight(spread) if isinstance(basis, Blockwise) else spread
        draws = torch.Generator().manual_seed(f.seed + 1)
        size = max(1, _NUMBERS // len(self.w))
        losses = [self._value(q.draw(min(size, f.draws - i), draws), draws) for i in range(0, f.draws, size)]
        local = float(self._value(q.mean[None], draws, _AT_FIRST)[0])
        local += float((found.curvature.h * q.variances).sum()) / 2
        return Point(
            way, beta, variance**0.5, self.prior.price, tuple(torch.cat(losses).tolist()), local,
            self._summed(offset), self._summed(spread), self._floor(q, variance, beta),
        )  # fmt: skip

    def _value(self, rows: Tensor, draws: torch.Generator, times: int = 1) -> Tensor:
        return self.loss.values(rows) if self.part is None else self.part.loss(rows, draws, times)

    def _summed(self, values: Tensor) -> dict[str, float]:
        parts = values.split([p.numel() for p in self.fisher.parameters.values()])
        return {name: float(part.sum()) for name, part in zip(self.names, parts, strict=True)}

    def _floor(self, q: Posterior, variance: float, beta: float) -> Floor | None:
        if not self.fitting.floor or beta != self.fitting.betas[0]:
            return None
        prior = isotropic(self.prior.mean, variance)
        _, upper, lower = posterior_floor(q, prior, self.loss, beta, seed=self.fitting.seed, scans=self.fitting.floor)
        mixed = not lower.status
        return Floor(upper.value, upper.stderr, lower.value, lower.stderr, mixed, upper.receipt.notes)


def estimator_for(task: Task) -> Estimator:
    """Exact where outputs are few, a sketch where they are many or come in sequences."""
    few = isinstance(task.target, Classes | Labels | Real) and task.target.outputs <= MOST_EXACT
    return Exact() if few else Sketch()


def is_linear(fisher: AveragedFisher, w: Float[Tensor, " d"], seed: int) -> bool:
    """Whether what the network gives is affine in its weights: f(w + δ) + f(w − δ) = 2 f(w), for a few examples."""
    draws = torch.Generator().manual_seed(seed)
    size = float(w.square().mean().sqrt()) or 1.0
    away = size * torch.randn(w.shape, generator=draws, dtype=w.dtype)
    up, down, here = (fisher.outputs(row).double() for row in (w + away, w - away, w))
    return bool((up + down - 2 * here).abs().amax() <= 1e-4 * (up - down).abs().amax())
