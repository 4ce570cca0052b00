"""PAC-Bayes with backprop as its paper describes it, restated: mean-field, bounded cross-entropy, three objectives.

Pérez-Ortiz, Rivasplata, Shawe-Taylor & Szepesvári 2021, §5-6: q = N(μ, σ²) a weight, σ = log(1 + e^ρ), p = N(w0, σ0²)
around the random start; one draw of the weights a batch; the cross-entropy with probabilities from p_min = 1e-5 on,
divided by log 1/p_min; SGD with momentum 0.95, batches of 250.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from time import process_time
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from infoscope.data.task import Task
from infoscope.run.look import pack, unpack
from infoscope.training.isolation import isolated
from infoscope.weight_information.certificate.certificate import BOUND, DRAWS, Certificate, certify
from infoscope.weight_information.certificate.ledger import Ledger

Objective = Literal["quadratic", "classic", "lambda"]
OBJECTIVES: tuple[Objective, ...] = ("quadratic", "classic", "lambda")
"""f_quad of the paper's eq. (15), f_classic (13), f_λ (16)."""

DELTA, DELTA_DRAWS, P_MIN = 0.025, 0.01, 1e-5
_WORK = 1 << 21  # examples × draws that risks are sampled from, at most


@dataclass(frozen=True)
class Backprop:
    """How the paper trains: its objective, σ0, and SGD's numbers."""

    objective: Objective
    scale: float = 0.03
    rate: float = 0.01
    momentum: float = 0.95
    batch: int = 250
    epochs: int = 100
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Trained:
    """What came of it: risks of draws of q, and the objective at the prior and at the end."""

    risks: Tensor
    kl: float
    first: float
    last: float
    n: int
    seconds: float

    def certificate(self) -> Certificate:
        """The kl bound, at the paper's δ; a choice of σ0 by these data is not paid for."""
        return certify(
            self.risks,
            self.kl,
            self.n,
            Ledger(DELTA + DELTA_DRAWS).spend(BOUND, DELTA).spend(DRAWS, DELTA_DRAWS),
        )

    def to_bytes(self) -> bytes:
        """As one safetensors file."""
        facts = {name: getattr(self, name) for name in ("kl", "first", "last", "n", "seconds")}
        return pack({"risks": self.risks}, **facts)

    @classmethod
    def from_bytes(cls, data: bytes) -> Trained:
        """The value that `to_bytes` wrote."""
        tensors, facts = unpack(data)
        return cls(risks=tensors["risks"], **facts)


def train(task: Task, widths: Sequence[int], asked: Backprop, draws: int) -> Trained:
    """Bring the objective down on the task's examples, for a ReLU network of these hidden layers."""
    with isolated(asked.seed):
        x, y = task.array.flatten(1).float(), task.labels
        q = _MeanField((x.shape[1], *widths, task.target.outputs), asked.scale)
        lam = torch.tensor(0.5, requires_grad=True)
        optimizers = [torch.optim.SGD(p, asked.rate, momentum=asked.momentum) for p in (q.parameters, [lam])]

        def objective(rows: Tensor) -> Tensor:
            c = (q.kl() + math.log(2 * math.sqrt(len(y)) / DELTA)) / len(y)
            return bound(asked.objective, _bounded(q.outputs(x[rows], q.draw()), y[rows]), c, lam)

        begin = process_time()
        first = float(objective(torch.arange(len(y))).detach())
        for _ in range(asked.epochs):
            for rows in torch.randperm(len(y)).split(asked.batch):
                for one in optimizers:
                    one.zero_grad()
                objective(rows).backward()
                for one in optimizers:
                    one.step()
                lam.data.clamp_(0.05, 1.95)
        seconds = process_time() - begin
        with torch.no_grad():
            last = float(objective(torch.arange(len(y))))
            some = min(len(y), max(1, _WORK // draws))
            rows = (torch.randperm(len(y))[:some] for _ in range(draws))
            risks = [(q.outputs(x[r], q.draw()).argmax(1) != y[r]).double().mean() for r in rows]
            return Trained(torch.stack(risks), float(q.kl()), first, last, len(y), seconds)


def bound(objective: Objective, loss: Tensor, c: Tensor, lam: Tensor) -> Tensor:
    """f_quad, f_classic or f_λ of a loss in [0, 1] and c = (KL + log(2√n/δ))/n."""
    if objective == "quadratic":
        return ((loss + c / 2).sqrt() + (c / 2).sqrt()) ** 2
    if objective == "classic":
        return loss + (c / 2).sqrt()
    return loss / (1 - lam / 2) + c / (lam * (1 - lam / 2))


class _MeanField:
    def __init__(self, sizes: Sequence[int], scale: float) -> None:
        self._start: list[Tensor] = []
        for a, b in pairwise(sizes):
            deviation = 1 / math.sqrt(a)
            weight = torch.nn.init.trunc_normal_(torch.empty(b, a), 0, deviation, -2 * deviation, 2 * deviation)
            self._start += [weight, torch.zeros(b)]
        self._scale = scale
        self.means = [t.clone().requires_grad_() for t in self._start]
        self.rhos = [torch.full_like(t, math.log(math.expm1(scale))).requires_grad_() for t in self._start]
        self.parameters = [*self.means, *self.rhos]

    def draw(self) -> list[Tensor]:
        return [m + F.softplus(r) * torch.randn_like(m) for m, r in zip(self.means, self.rhos, strict=True)]

    def outputs(self, x: Tensor, w: Sequence[Tensor]) -> Tensor:
        for i in range(0, len(w) - 2, 2):
            x = torch.relu(F.linear(x, w[i], w[i + 1]))
        return F.linear(x, w[-2], w[-1])

    def kl(self) -> Tensor:
        total = torch.zeros(())
        for m, r, at in zip(self.means, self.rhos, self._start, strict=True):
            v = F.softplus(r).square() / self._scale**2
            total = total + 0.5 * ((m - at).square() / self._scale**2 + v - 1 - v.log()).sum()
        return total


def _bounded(z: Tensor, y: Tensor) -> Tensor:
    """The cross-entropy in [0, 1]."""
    return F.nll_loss(F.log_softmax(z, 1).clamp(min=math.log(P_MIN)), y) / math.log(1 / P_MIN)


def nothing(draws: int) -> Trained:
    """A value of the form of a look's, made at once."""
    return Trained(torch.full((draws,), 0.5, dtype=torch.float64), 1.0, 0.5, 0.5, 1000, 0.0)
