"""How good is a posterior? C(q) against C*, which nothing can undercut, by annealing q into the Gibbs posterior."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from infoscope import __version__
from infoscope.measurement import Bound, Measurement, Receipt, Status
from infoscope.weight_information.chains import Energy, Path, Rows, langevin_step
from infoscope.weight_information.convergence import split_r_hat
from infoscope.weight_information.gaussian import Basis, Posterior
from infoscope.weight_information.learning_coefficients.gibbs_curve import R_HAT
from infoscope.weight_information.tempering import CHAINS, MOST_RUNGS, Ladder, along, climb, temper

_FINER = 32  # steps of annealing between two rungs


@dataclass(frozen=True, eq=False)
class Annealed:
    """Work done on each chain on its way up from the base and down from the target (chains,), nats.

    F = −log E_base e^(−tW) at the top lies between: E `up` ≥ F ≥ E `down`, the more closely the slower one goes.
    """

    up: Tensor
    down: Tensor

    @property
    def upper(self) -> float:
        """−log mean e^−work: above F in expectation, as that mean estimates e^−F without bias (Neal 2001)."""
        return -_log_mean(-self.up)

    @property
    def lower(self) -> float:
        """Log mean e^work of the way down: below F in expectation, if the chains at the top are draws of the target."""
        return _log_mean(self.down)

    def leave_one_out(self) -> tuple[Tensor, Tensor]:
        """Both bounds without each chain in turn, for their errors."""
        kept = [torch.arange(len(self.up)) != i for i in range(len(self.up))]
        upper = torch.tensor([-_log_mean(-self.up[k]) for k in kept])
        return upper, torch.tensor([_log_mean(self.down[k]) for k in kept])


def anneal(path: Path, ladder: Ladder, top: Rows, draws: torch.Generator) -> Annealed:
    """Annealed importance sampling along a ladder, one Langevin step a rung, up from the base and down from `top`.

    The ladder is given, and its steps: nothing is tuned on the way, or the mean of e^−work would no longer be unbiased.
    """
    chains = len(top.w)
    rows, up, down = path.at(path.base.draw(chains, draws)), torch.zeros_like(top.work), torch.zeros_like(top.work)
    for i in range(1, len(ladder.t)):
        up = up + (ladder.t[i] - ladder.t[i - 1]) * rows.work
        rows = _step(path, rows, ladder, i, draws)
    rows = top
    for i in range(len(ladder.t) - 1, 0, -1):
        down = down + (ladder.t[i] - ladder.t[i - 1]) * rows.work
        rows = _step(path, rows, ladder, i - 1, draws)
    return Annealed(up, down)


def finer(ladder: Ladder, times: int) -> Ladder:
    """Each step of a ladder in so many; what lies between takes the strides of the rung below."""
    shares = torch.arange(times, dtype=ladder.t.dtype) / times
    t = (ladder.t[:-1, None] + ladder.t.diff()[:, None] * shares).flatten()
    below = torch.arange(len(ladder.t) - 1).repeat_interleave(times)
    return Ladder(
        torch.cat([t, ladder.t[-1:]]),
        torch.cat([ladder.length[below], ladder.length[-1:]]),
        torch.cat([ladder.scale[below], ladder.scale[-1:]]),
    )


def posterior_floor(
    q: Posterior,
    prior: Posterior,
    loss: Energy,
    beta: float = 1.0,
    *,
    seed: int = 0,
    chains: int = CHAINS,
    scans: int = 1024,
    rungs: int = MOST_RUNGS,
    basis: Basis | None = None,
) -> tuple[Measurement, Measurement, Measurement]:
    """(C(q), C* from above, C* from below), nats: C = E_q L + β KL(q‖p), C* = −β log ∫ p e^(−L/β).

    `loss` gives the loss of rows of weights, summed over examples, with its gradient (`StackedLoss`). q is annealed
    into the Gibbs posterior: C(q) is what no annealing at all would give, so that C* ≤ C(q) always, and the gap is what
    a better q could save. The bound from below rests on chains that have found the Gibbs posterior, and carries
    NOT_MIXED where they have not come together; the one from above holds whatever they did.
    """
    draws = torch.Generator().manual_seed(seed)

    def work(w: Tensor) -> tuple[Tensor, Tensor]:
        value, slope = loss(w)
        rest = q.log_density(w) - prior.log_density(w)
        return value / beta + rest, slope / beta + q.log_density_gradient(w) - prior.log_density_gradient(w)

    path = Path(q, work, q.basis if basis is None else basis)
    ladder, rows = climb(path, [1.0], draws, chains, rungs) or along(path, _even(rungs), draws, chains)
    found = temper(path, ladder, rows, [1.0], draws, scans).last
    top = found.rows.take(torch.arange(len(found.rows.w) - chains, len(found.rows.w)))
    annealed = anneal(path, finer(found.ladder, _FINER), top, draws)
    start = path.at(q.draw(64 * chains, draws)).work
    return _measured(annealed, start, float(split_r_hat(found.work)[-1]), beta, seed, len(found.ladder.t))


def _measured(
    annealed: Annealed, start: Float[Tensor, " draws"], r_hat: float, beta: float, seed: int, rungs: int
) -> tuple[Measurement, Measurement, Measurement]:
    receipt = Receipt(
        "annealed importance sampling", n=len(start), seeds=(seed,), over="draws of q", version=__version__
    )
    own = Measurement("C", beta * float(start.mean()), beta * float(start.std()) / len(start) ** 0.5, receipt=receipt)
    notes = (f"{rungs} temperatures", f"R̂ {r_hat:.3f} at the Gibbs posterior")
    annealing = replace(receipt, n=len(annealed.up), over="chains, one left out at a time", notes=notes)
    above, below = annealed.leave_one_out()
    mixed = frozenset() if r_hat < R_HAT else frozenset({Status.NOT_MIXED})
    upper = Measurement("C*", beta * annealed.upper, beta * _jackknife(above), bound=Bound.UPPER, receipt=annealing)
    lower = Measurement(
        "C*", beta * annealed.lower, beta * _jackknife(below), bound=Bound.LOWER, status=mixed, receipt=annealing
    )
    return own, upper, lower


def _step(path: Path, rows: Rows, ladder: Ladder, i: int, draws: torch.Generator) -> Rows:
    """One step at rung i."""
    one = Ladder(ladder.t[i : i + 1], ladder.length[i : i + 1], ladder.scale[i : i + 1])
    chains = len(rows.w)
    return langevin_step(path, rows, one.temperatures(chains), one.stride(chains), draws)[0]


def _even(rungs: int) -> Sequence[float]:
    return torch.linspace(0, 1, rungs).square().tolist()


def _log_mean(x: Tensor) -> float:
    return float(x.logsumexp(0)) - float(torch.tensor(float(len(x))).log())


def _jackknife(values: Tensor) -> float:
    n = len(values)
    return float(((n - 1) / n * (values - values.mean()).square().sum()).sqrt())
