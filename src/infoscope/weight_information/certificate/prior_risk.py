"""How low could any certificate be with this prior? From the risk of its weights, by chains from the prior on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from time import process_time

import torch
from jaxtyping import Float
from torch import Tensor

from infoscope import __version__
from infoscope.data.task import Task
from infoscope.ensembles.stacked_loss import StackedLoss
from infoscope.measurement import Bound, Measurement, Receipt, Status
from infoscope.run.look import pack, unpack
from infoscope.training.isolation import isolated
from infoscope.training.learner import Learner
from infoscope.weight_information.certificate.certificate import certificate_floor
from infoscope.weight_information.certificate.noisy_weights import Layer
from infoscope.weight_information.chains import Path
from infoscope.weight_information.convergence import split_r_hat
from infoscope.weight_information.free_energy import bridged
from infoscope.weight_information.gaussian import Posterior
from infoscope.weight_information.learning_coefficients.gibbs_curve import R_HAT
from infoscope.weight_information.tempering import MOST_RUNGS, Round, climb, temper

CHAINS, SCANS = 4, 384
"""Ladders side by side, and steps of each: a lower bound needs no precision, but chains that have come together."""

_SHARES = (1 / 64, 1 / 8, 1)  # of the temperature that is wanted: ladders, as long as chains come together

_SLOPE = 0.5  # sharpness of the smooth risk whose gradient leads the chains


@dataclass(frozen=True, eq=False)
class PriorRisk:
    """F(t) = −log E_p e^(−t·errors), nats, at t (rungs,) of each chain (rungs, chains), and R̂ (rungs,).

    `asked` is the highest t that was wanted; a ladder that would be too long ends below it.
    """

    t: Float[Tensor, " rungs"]
    free_energy: Float[Tensor, "rungs chains"]
    r_hat: Float[Tensor, " rungs"]
    asked: float

    def to_bytes(self) -> bytes:
        """As one safetensors file."""
        return pack({"t": self.t, "free_energy": self.free_energy, "r_hat": self.r_hat}, asked=self.asked)

    @classmethod
    def from_bytes(cls, data: bytes) -> PriorRisk:
        """The value that `to_bytes` wrote."""
        tensors, facts = unpack(data)
        return cls(**tensors, **facts)

    def floor(self, n: int, delta: float) -> Measurement:
        """The least certificate on n examples of any q with this prior, at this δ; the standard error is over chains.

        Rungs count up to where chains have come together: every F(t) gives a floor by itself, and more of them a
        higher one. NOT_MIXED where none has.
        """
        used = 1 + _together(self.r_hat)
        values = {
            i: certificate_floor(self.t[:used] / n, chain[:used], n, delta)
            for i, chain in enumerate(self.free_energy.T)
        }
        notes = (
            f"F up to {float(self.t[used - 1]):.4g} of {self.asked:.4g} nats an error",
            f"{float(self.free_energy[used - 1].mean()):.4g} nats there",
        )
        receipt = Receipt(
            "Metropolis-adjusted chains from the prior", n=n, over="chains", notes=notes, version=__version__
        )
        status = frozenset({Status.NOT_MIXED}) if used == 1 else frozenset()
        return Measurement.from_replicates(
            "certificate floor", values, unit="1", bound=Bound.LOWER, status=status, receipt=receipt
        )


def steepest(risk: float, bound: float) -> float:
    """Nats that one error more is worth along a kl bound: ∂kl(r‖p)/∂r with its sign turned, log(p(1−r)/(r(1−p))).

    >>> round(steepest(0.05, 0.25), 2)
    1.85
    """
    r = max(risk, 1e-3)
    return math.log(bound * (1 - r) / (r * (1 - bound)))


def sample_prior_risk(
    learner: Learner, task: Task, layers: tuple[Layer, ...], scales: Mapping[str, float], centred: bool, top: float,
    seed: int, device: str,
) -> PriorRisk:  # fmt: skip
    """Chains on a ladder from the prior N(M0, λ²) to `top` nats an error, or as near as a ladder reaches.

    Proposals follow the gradient of a smooth risk; errors alone decide what is accepted, so that F is of errors.
    """
    network = learner.network(task.shape, task.target.outputs, seed)
    with isolated(seed):
        errors = StackedLoss(network, task, device, loss=_errors_led_by_smooth_risk)
        own = {name: p.detach() for name, p in network.named_parameters()}
        spread = {name: torch.full_like(own[name], scales[one.name]) for one in layers for name in one.parameters}
        mean = errors.flat(own)
        path = Path(Posterior(torch.zeros_like(mean) if centred else mean, errors.flat(spread).square()), errors)
        draws = torch.Generator().manual_seed(seed)
        found = _longest(path, top, draws)
    if found is None:
        return PriorRisk(torch.zeros(1), torch.zeros(1, CHAINS), torch.ones(1), top)
    free_energy = [bridged(found.ladder.t, found.work[:, :, [c]]) for c in range(CHAINS)]
    return PriorRisk(found.ladder.t, torch.stack(free_energy, 1), split_r_hat(found.work), top)


def _longest(path: Path, top: float, draws: torch.Generator) -> Round | None:
    """Of ladders that are longer and longer, up to one whose chains stay apart, the one that reaches furthest."""
    rounds: list[Round] = []
    for share in _SHARES:
        start = climb(path, [top * share], draws, CHAINS)
        if start is None:
            break
        rounds.append(temper(path, *start, [top * share], draws, SCANS).last)
        if float(split_r_hat(rounds[-1].work)[-1]) >= R_HAT:
            break
    return max(rounds, key=lambda one: float(one.ladder.t[_together(split_r_hat(one.work))]), default=None)


def _together(r_hat: Tensor) -> int:
    """The last rung of those from the prior on at which chains have come together; 0 is the prior itself."""
    apart = (r_hat[1:] >= R_HAT).nonzero()
    return int(apart[0]) if len(apart) else len(r_hat) - 1


def prior_risk_of_nothing(top: float) -> PriorRisk:
    """A value of the form of a look's, made at once."""
    return PriorRisk(torch.tensor([0.0, top]), torch.zeros(2, CHAINS), torch.ones(2), top)


def prior_risk_seconds(learner: Learner, task: Task, seed: int, device: str) -> float:
    """How long a ladder of half the most rungs takes, from one step of one rung."""
    loss = StackedLoss(learner.network(task.shape, task.target.outputs, seed), task, device)
    rows = torch.zeros(CHAINS, loss.dimension, dtype=torch.float64)
    begin = process_time()
    loss(rows)
    return (process_time() - begin) * SCANS * MOST_RUNGS / 2


def _errors_led_by_smooth_risk(outputs: Tensor, y: Tensor) -> Tensor:
    """The share of errors, with the gradient of E (1 − softmax(γz)_y)."""
    smooth = (1 - torch.softmax(_SLOPE * outputs, -1).gather(-1, y[..., None])).mean()
    wrong = 1 - ((outputs.argmax(-1) == y) & outputs.isfinite().all(-1)).to(outputs.dtype)
    return wrong.mean() + smooth - smooth.detach()
