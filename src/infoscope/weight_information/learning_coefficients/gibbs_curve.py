"""The curve over b of the Gibbs posterior p(w) e^(−bL(w))/Z: loss, information and learning coefficient, as sampled."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from infoscope.measurement import Measurement, Receipt, Status
from infoscope.run.look import pack, unpack
from infoscope.weight_information.convergence import drift, split_r_hat
from infoscope.weight_information.free_energy import bridged
from infoscope.weight_information.tempering import Tempered

R_HAT = 1.05
"""Above it chains have not come together (Gelman & Rubin's 1.1 is for halves of a chain that began far apart)."""

_FAR = 5.0  # standard errors that the mean may drift

_NOTHING = 1e-3  # of a coefficient

_APART = 0.05  # of λ, from which on a loss L_0 that is too high is an alarm


@dataclass(frozen=True, eq=False)
class GibbsCurve:
    """What chains found at inverse temperatures b (rungs,), of the loss summed over examples, nats.

    `means` and `variances` (rungs, chains) are each chain's mean loss and mean squared deviation from the mean of all;
    `free_energy` (rungs, chains) is F(b) = −log ∫ p e^(−bL), NaN where no ladder led to the prior. `start` is L_0, the
    loss of the weights that are asked about, `lowest` the least that any chain met.
    """

    b: Tensor
    means: Tensor
    variances: Tensor
    free_energy: Tensor
    r_hat: Tensor
    drift: Tensor
    acceptance: Tensor
    swaps: Tensor
    start: float
    lowest: float
    scans: int
    gradients: int
    receipt: Receipt

    @classmethod
    def of(cls, found: Tempered, start: float, receipt: Receipt) -> GibbsCurve:
        """Of chains whose path began at the prior, and whose work is the loss."""
        work, b = found.last.work, found.last.ladder.t
        mean = work.mean((0, 2))
        connected = float(b[0]) == 0
        return cls(
            b,
            work.mean(0),
            (work - mean[:, None]).square().mean(0),
            torch.stack([bridged(b, work[:, :, [c]]) if connected else b * math.nan for c in range(work.shape[2])], 1),
            split_r_hat(work),
            drift(work),
            found.last.acceptance,
            found.last.swaps,
            start,
            found.lowest,
            found.scans,
            found.gradients,
            receipt,
        )

    @property
    def connected(self) -> bool:
        """Whether a ladder led to the prior."""
        return float(self.b[0]) == 0

    def at(self, b: float) -> tuple[Measurement, ...]:
        """λ_E, λ_H, E_q L and, where a ladder led to the prior, KL(q‖p) and C* at one of the temperatures.

        λ_E = b (E_b L − L_0); λ_H = b² Var_b L; KL = F − b E_b L; C* = F/b. The standard error is over chains.
        """
        i = int((self.b - b).abs().argmin())
        by_mean, by_variance = b * (self.means[i] - self.start), b * b * self.variances[i]
        mixed = float(self.r_hat[i]) < R_HAT and abs(float(self.drift[i])) < _FAR
        status = frozenset() if mixed else frozenset({Status.NOT_MIXED})
        facts = {"status": status, "receipt": self._receipt(i)}
        alarm = {**facts, "status": status | {Status.NOT_AT_A_MINIMUM}} if self._lies_above(i, b) else facts
        rows = [
            Measurement.from_replicates("lambda_E", _chains(by_mean), unit="1", **alarm),
            Measurement.from_replicates("lambda_H", _chains(by_variance), unit="1", **facts),
            Measurement.from_replicates("E_q L", _chains(self.means[i]), **facts),
        ]
        if not self.connected:
            return tuple(rows)
        free = self.free_energy[i]
        kl = Measurement.from_replicates("KL(q|p)", _chains(free - b * self.means[i]), **facts)
        return (*rows, kl, Measurement.from_replicates("C*", _chains(free / b), **facts))

    def coefficients(self) -> tuple[Float[Tensor, " rungs"], Float[Tensor, " rungs"]]:
        """(λ_E, λ_H) at every b."""
        return self.b * (self.means.mean(1) - self.start), self.b.square() * self.variances.mean(1)

    def _lies_above(self, i: int, b: float) -> bool:
        """Whether L_0 is too high: chains met less, or λ_E falls with b, as it does not where λ_E ≥ λ_H."""
        mean, variance = (float(x[i]) for x in self.coefficients())
        error = float((b * self.means[i]).std()) / self.means.shape[1] ** 0.5
        apart = max(_APART * variance, _NOTHING)
        return b * (self.start - self.lowest) > apart or mean + max(3 * error, apart) < variance

    def _receipt(self, i: int) -> Receipt:
        """How the chains went, in words."""
        swaps = self.swaps[~self.swaps.isnan()]
        notes = (
            f"R̂ {float(self.r_hat[i]):.3f}, drift {float(self.drift[i]):.1f} standard errors",
            f"{float(self.acceptance[i]):.0%} of steps accepted",
            f"{len(self.b)} temperatures × {self.means.shape[1]} chains, {self.scans} steps",
            f"{self.gradients} gradients",
            f"exchanges accepted: {float(swaps.min()):.0%} or more" if len(swaps) else "no exchanges",
            f"L_0 = {self.start:.6g} nats, the least that was met {self.lowest:.6g}",
        )
        return dataclasses.replace(self.receipt, notes=(*self.receipt.notes, *notes))

    def to_bytes(self) -> bytes:
        """As one safetensors file."""
        tensors = {f.name: getattr(self, f.name).clone() for f in dataclasses.fields(self) if f.type == "Tensor"}
        facts = {name: getattr(self, name) for name in ("start", "lowest", "scans", "gradients")}
        return pack(tensors, **facts, receipt=dataclasses.asdict(self.receipt))

    @classmethod
    def from_bytes(cls, data: bytes) -> GibbsCurve:
        """The value that `to_bytes` wrote."""
        tensors, facts = unpack(data)
        receipt = facts.pop("receipt")
        receipt |= {"seeds": tuple(receipt["seeds"]), "notes": tuple(receipt["notes"])}
        return cls(**tensors, **facts, receipt=Receipt(**receipt))


def _chains(values: Tensor) -> dict[int, float]:
    return dict(enumerate(values.tolist()))
