"""One report of a risk certificate: what was sampled, what was spent, the bound, and the floor beneath it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from infoscope import __version__
from infoscope.measurement import Bound, Measurement, Receipt, Status
from infoscope.weight_information.certificate.confidence import mean_upper
from infoscope.weight_information.certificate.ledger import Ledger
from infoscope.weight_information.certificate.pac_bayes import PARAMETER_FREE, kl_bound

BOUND = "PAC-Bayes bound"
DRAWS = "draws of the weights"
"""The two entries that every certificate pays for."""

_GRID = 1000  # values of the risk


@dataclass(frozen=True)
class Certificate:
    """A bound on the risk E_q R(w) of new examples that fails with probability `ledger.delta` at most.

    `risk` is the mean over the draws of their risk on the n examples, `risk_bound` its bound for all draws of q;
    `bounds` are all bounds that need no choice, of which the kl bound is reported.
    """

    risk: float
    risk_bound: float
    draws: int
    kl: float
    n: int
    ledger: Ledger
    bounds: Mapping[str, float]

    @property
    def value(self) -> float:
        """The kl bound."""
        return self.bounds["kl"]

    def measurement(self, data: str = "", model: str = "", chance: float = 1.0) -> Measurement:
        """As a measurement without a standard error: what is uncertain is in δ. `chance` is the risk of guessing."""
        notes = (f"KL {self.kl:.6g} nats", f"sampled risk {self.risk:.6g}, at most {self.risk_bound:.6g}")
        receipt = Receipt(
            "PAC-Bayes kl bound", data, model, n=self.n, notes=(*notes, *self.ledger.told()), version=__version__
        )
        status = frozenset({Status.VACUOUS}) if self.value >= chance else frozenset()
        return Measurement("certificate", self.value, unit="1", bound=Bound.UPPER, status=status, receipt=receipt)


def certify(risks: Float[Tensor, " m"], kl: float, n: int, ledger: Ledger) -> Certificate:
    """The certificate of a posterior from the risks on n examples of m independent draws of its weights.

    The ledger has an entry for the bound and one for the draws (`BOUND`, `DRAWS`): an average over q is sampled, and is
    bounded by betting (`mean_upper`) before it goes into the bound. `kl` is KL(q‖p) in nats, of a prior that has not
    seen the n examples (`unseen_by_prior`).

    >>> spent = Ledger(0.035).spend(BOUND, 0.025).spend(DRAWS, 0.01)
    >>> found = certify(torch.full((1000,), 0.02), 3000.0, 30000, spent)
    >>> round(found.risk_bound, 4), round(found.value, 4)
    (0.0251, 0.1615)
    """
    risk_bound = mean_upper(risks, ledger.each(DRAWS))
    delta = ledger.each(BOUND)
    bounds = {name: bound(risk_bound, kl, n, delta) for name, bound in PARAMETER_FREE.items()}
    return Certificate(float(risks.double().mean()), risk_bound, len(risks), kl, n, ledger, bounds)


def certificate_floor(b: Float[Tensor, " k"], free_energy: Float[Tensor, " k"], n: int, delta: float) -> float:
    """The least kl bound that any posterior can have with this prior, from the distribution of the prior's risk.

    F(b) = −log E_p exp(−b n r(w)) is what the prior's risk distribution sets: KL(q‖p) ≥ F(b) − b n E_q r for every q
    and b, so that a posterior of risk r pays max_b F(b) − b n r at least. Errs downwards by the grid of a thousand
    risks alone; where F is itself a lower bound, so is the floor.
    """
    grid = torch.linspace(0, 1, _GRID + 1, dtype=torch.float64)
    least = (free_energy.double() - b.double() * n * grid[:, None]).amax(1).clamp(min=0)
    # Between two values the risk is at least the lower one, and the price at least that of the upper one.
    return min(kl_bound(float(r), float(kl), n, delta) for r, kl in zip(grid[:-1], least[1:], strict=True))
