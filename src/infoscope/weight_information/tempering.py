"""Chains that exchange their places on a ladder of temperatures, and set all their numbers by themselves."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from infoscope.weight_information.chains import Path, Rows, Stride, langevin_step
from infoscope.weight_information.convergence import split_r_hat, standard_error

ACCEPTED = 0.574
"""The share of accepted steps at which Langevin chains move fastest (Roberts & Rosenthal 1998)."""

MOST_RUNGS = 96
"""A ladder of more is not climbed."""

CHAINS = 16
"""Ladders side by side."""

SCANS = 16_384
"""After which a run ends, precise or not."""

_SHORTEST = 64  # scans of a round, the first third of which is for steps to settle
_CLIMB = 24  # steps at a new rung
_LOOK = 4  # scans between looks at the gradients
_FEW = 8  # rungs, below which no ladder is tried
_FAR = 1.2  # deviations of ΔtW between rungs: neighbours then exchange in two of five tries
_PRECISE = 0.015  # of the mean, at which a run ends


@dataclass(frozen=True, eq=False)
class Ladder:
    """Temperatures t (rungs,) from low to high; each rung's steps: lengths (rungs,) and scales (rungs, d)."""

    t: Tensor
    length: Tensor
    scale: Tensor

    def stride(self, chains: int) -> Stride:
        """For rows in the order of rungs, so many `chains` at each."""
        return Stride(self.length.repeat_interleave(chains), self.scale.repeat_interleave(chains, 0))

    def temperatures(self, chains: int) -> Tensor:
        """Those of the rows."""
        return self.t.repeat_interleave(chains)


@dataclass(frozen=True, eq=False)
class Round:
    """What a round gave: the work (scans, rungs, chains), the shares accepted, and where the chains are.

    `acceptance` is of steps, a rung; `swaps` of exchanges, a pair of neighbours. `slopes` (rungs, d) are the mean
    squared gradients along the axes of the basis.
    """

    ladder: Ladder
    work: Tensor
    acceptance: Tensor
    swaps: Tensor
    slopes: Tensor
    rows: Rows


@dataclass(frozen=True, eq=False)
class Tempered:
    """The last round, in which nothing was tuned any more, and how many scans and gradients (rows) all rounds took.

    `lowest` is the least work that any chain met in any round.
    """

    last: Round
    scans: int
    gradients: int
    lowest: float


def climb(
    path: Path, asked: Sequence[float], draws: torch.Generator, chains: int = CHAINS, most: int = MOST_RUNGS
) -> tuple[Ladder, Rows] | None:
    """A first ladder from t = 0 to the highest temperature that is asked for, and chains on it.

    From draws of the base each rung goes on where the one below has come to; the next one is as far as the work's
    spread lets neighbours overlap. None as soon as it is clear that more than so many rungs would be needed: they lie
    closer together the higher one climbs.
    """
    if most < _FEW:
        return None
    rows = path.at(path.base.draw(max(64, chains), draws))
    spread = _spread(rows.work)
    rows = rows.take(torch.arange(chains))
    t, top = 0.0, max(asked)
    rungs = [_Rung(0.0, 1.0, path.base.variances.sqrt().to(rows.w), rows)]
    while t < top:
        if not 0 < spread < math.inf or len(rungs) + _rungs_to(top, t, rungs[-2].t if len(rungs) > 2 else 0.0) > most:
            return None
        t = min(top, t + _FAR / spread, 8 * t if t else math.inf)
        rungs.append(_settled(path, rungs[-1], t, draws))
        spread = rungs[-1].spread
    return _joined(rungs)


def _spread(work: Tensor) -> float:
    """Half of what the middle two thirds span: a deviation that no rare, far work decides."""
    low, high = torch.quantile(work.flatten(), torch.tensor([1 / 6, 5 / 6], dtype=work.dtype)).tolist()
    return (high - low) / 2


def along(path: Path, t: Sequence[float], draws: torch.Generator, chains: int = CHAINS) -> tuple[Ladder, Rows]:
    """A ladder of these temperatures, from 0 on, and chains on it: for a path too long to climb in small steps."""
    rows = path.at(path.base.draw(chains, draws))
    rungs = [_Rung(0.0, 1.0, path.base.variances.sqrt().to(rows.w), rows)]
    for one in t[1:]:
        rungs.append(_settled(path, rungs[-1], one, draws))
    return _joined(rungs)


def _rungs_to(top: float, t: float, before: float) -> float:
    """How many more steps of the last one's ratio lead to the top; 0 while that says little."""
    return math.log(top / t) / math.log(t / before) if before > 0 else 0.0


def stay(
    path: Path, start: Float[Tensor, " d"], asked: Sequence[float], draws: torch.Generator, chains: int = CHAINS
) -> tuple[Ladder, Rows]:
    """Chains from one place at the temperatures asked for, where no ladder leads to the base."""
    first = _Rung(0.0, 1e-3, path.base.variances.sqrt().expand(len(start)), path.at(start.expand(chains, -1)))
    rungs = [_settled(path, first, t, draws) for t in sorted(asked)]
    rungs = [_settled(path, rung, rung.t, draws) for rung in rungs]
    return _joined(rungs)


def temper(
    path: Path, ladder: Ladder, rows: Rows, asked: Sequence[float], draws: torch.Generator, scans: int = SCANS
) -> Tempered:
    """Rounds of exchange along a ladder, each twice as long as the one before, until means are known or scans end.

    In a scan every row takes a Langevin step, then even and odd pairs of neighbours exchange by turns (Okabe et al.
    2001). Between rounds rungs are put where neighbours are equally often refused, twice as many as are refused in all
    (Syed et al. 2022), and steps are scaled by the gradients seen (Titsias 2023).
    """
    used, lengths, lowest = 0, _rounds(scans), math.inf
    wanted, gradients = torch.tensor(sorted(asked), dtype=ladder.t.dtype), 0
    while True:
        found = _round(path, ladder, rows, lengths[0], draws)
        used, gradients = used + lengths[0], gradients + lengths[0] * len(found.rows.w)
        lowest, lengths = min(lowest, float(found.work.min())), lengths[1:]
        if not lengths or _known(found, wanted):
            return Tempered(found, used, gradients, lowest)
        ladder, rows = _tuned(found, wanted)


@dataclass(frozen=True, eq=False)
class _Rung:
    t: float
    length: float
    scale: Tensor
    rows: Rows
    spread: float = math.nan


def _settled(path: Path, below: _Rung, t: float, draws: torch.Generator) -> _Rung:
    """Chains that start where those of another rung are: steps find their length, then their scales."""
    rows, length, scale = below.rows, below.length, below.scale
    chains = len(rows.w)
    at = torch.full((chains,), t, dtype=rows.w.dtype)
    seen, slopes = [], torch.zeros_like(scale)
    for k in range(_CLIMB):
        stride = Stride(torch.full_like(at, length), scale.expand(chains, -1))
        rows, probability = langevin_step(path, rows, at, stride, draws)
        length *= math.exp((float(probability.mean()) - ACCEPTED) * (1.0 if k < _CLIMB / 2 else 0.3))
        if k >= _CLIMB / 2:
            seen.append(rows.work)
            slopes += path.basis.to(rows.slope(at)).square().mean(0)
    scale, length = _rescaled(slopes / len(seen), scale, torch.tensor(length))
    return _Rung(t, float(length), scale, rows, _spread(torch.stack(seen)))


def _joined(rungs: Sequence[_Rung]) -> tuple[Ladder, Rows]:
    parts = [rung.rows for rung in rungs]
    dtype = parts[0].w.dtype
    ladder = Ladder(
        torch.tensor([rung.t for rung in rungs], dtype=dtype),
        torch.tensor([rung.length for rung in rungs], dtype=dtype),
        torch.stack([rung.scale for rung in rungs]),
    )
    fields = [torch.cat([getattr(part, field.name) for part in parts]) for field in dataclasses.fields(Rows)]
    return ladder, Rows(*fields)


def _rescaled(slopes: Tensor, scale: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
    """Scales inverse to the gradients, at lengths that move as far as before."""
    new = slopes.clamp(min=1e-300).rsqrt()
    return new, length * (scale.log().mean(-1) - new.log().mean(-1)).exp()


def _rounds(scans: int) -> list[int]:
    """Lengths of rounds, each about twice the one before, which add up to so many scans."""
    lengths: list[int] = []
    left = scans
    while left >= 3 * _SHORTEST:
        lengths.append(left - left // 2)
        left //= 2
    return [left, *reversed(lengths)]


def _round(path: Path, ladder: Ladder, rows: Rows, scans: int, draws: torch.Generator) -> Round:
    rungs, chains = len(ladder.t), len(rows.w) // len(ladder.t)
    t, stride, settling = ladder.temperatures(chains), ladder.stride(chains), scans // 3
    work, accepted, slopes = [], torch.zeros_like(ladder.t), torch.zeros_like(ladder.scale)
    swaps, tries = torch.zeros(2, max(0, rungs - 1), dtype=t.dtype)
    for k in range(scans):
        rows, probability = langevin_step(path, rows, t, stride, draws)
        shares = probability.view(rungs, chains).mean(1)
        if k < settling:
            ladder = replace(ladder, length=ladder.length * ((shares - ACCEPTED) / (1 + k) ** 0.5).exp())
            stride = ladder.stride(chains)
        rows, share = _exchanged(rows, ladder.t, chains, k % 2, draws)
        if k >= settling:
            accepted += shares / (scans - settling)
            swaps[k % 2 :: 2] += share
            tries[k % 2 :: 2] += 1
            work.append(rows.work.view(rungs, chains))
        if k >= settling and k % _LOOK == 0:
            slopes += path.basis.to(rows.slope(t)).square().view(rungs, chains, -1).mean(1)
    looks = len(range(-(-settling // _LOOK) * _LOOK, scans, _LOOK))
    return Round(ladder, torch.stack(work), accepted, swaps / tries, slopes / looks, rows)


def _exchanged(rows: Rows, t: Tensor, chains: int, first: int, draws: torch.Generator) -> tuple[Rows, Tensor]:
    """Pairs (i, i + 1) from `first` on try to change places; the share that does, a pair, in expectation."""
    low = torch.arange(len(t) - 1)[first::2]
    work = rows.work.view(len(t), chains)
    gain = (t[low + 1] - t[low])[:, None] * (work[low + 1] - work[low])
    probability = torch.nan_to_num(gain, nan=-torch.inf).clamp(max=0).exp()
    change = torch.rand(probability.shape, generator=draws, dtype=t.dtype) < probability
    place = torch.arange(len(rows.w)).view(len(t), chains).clone()
    below, above = place[low].clone(), place[low + 1].clone()
    place[low], place[low + 1] = torch.where(change, above, below), torch.where(change, below, above)
    return rows.take(place.flatten()), probability.mean(1)


def _known(found: Round, wanted: Tensor) -> bool:
    """Whether the chains agree at all temperatures asked for, and their mean is known to a hundredth of its spread."""
    at = torch.searchsorted(found.ladder.t, wanted).clamp(max=len(found.ladder.t) - 1)
    work = found.work[:, at]
    precise = standard_error(work) <= _PRECISE * work.mean((0, 2)).abs()
    return bool((split_r_hat(work) < 1.01).all()) and bool(precise.all())


def _tuned(found: Round, wanted: Tensor) -> tuple[Ladder, Rows]:
    """The ladder with its rungs where they are needed, and chains at the nearest of the old ones."""
    ladder = found.ladder
    chains = len(found.rows.w) // len(ladder.t)
    scale, length = _rescaled(found.slopes, ladder.scale, ladder.length)
    t = _spaced(ladder.t, 1 - found.swaps, wanted) if float(ladder.t[0]) == 0 else ladder.t
    near = _nearest(t, ladder.t)
    index = (near[:, None] * chains + torch.arange(chains)).flatten()
    return Ladder(t, length[near], scale[near]), found.rows.take(index)


def _nearest(t: Tensor, old: Tensor) -> Tensor:
    low = float(old[old > 0].min())
    return ((t / low).log1p()[:, None] - (old / low).log1p()).abs().argmin(1)


def _spaced(t: Tensor, refused: Tensor, wanted: Tensor) -> Tensor:
    """Rungs between which all exchanges are equally often refused, and those that were asked for."""
    low = float(t[1])
    barrier = np.concatenate([[0.0], np.cumsum(np.maximum(refused.numpy(), 1e-3))])
    rungs = min(MOST_RUNGS, 2 + math.ceil(2 * barrier[-1]))
    even = low * np.expm1(np.interp(np.linspace(0, barrier[-1], rungs), barrier, np.log1p(t.numpy() / low)))
    even[0] = 0.0
    for one in wanted.tolist():
        even[1 + np.abs(np.log(even[1:] / one)).argmin()] = one
    return torch.tensor(np.unique(even), dtype=t.dtype)
