"""Examples that are nearly those that were trained on: stored again, in other units, or shifted by a pixel.

Every example has a signature of a few numbers, which such changes hardly move. How near it lies to the trained ones is
told in the scale of its own place among the data: these are dealt out into parts, and the nearest of all is compared
with the nearest of a middling part,

    u = min_b d_b / median_b d_b,        d_b the distance to the nearest trained example of part b.

A new example stands to the trained ones as each of these stands to the others, so their own values of u say how small
it becomes by chance. P(u < ε) falls as ε^m, m the dimension of the data there (by such ratios Facco et al. 2017 measure
it, "Estimating the intrinsic dimension of datasets by a minimal neighborhood information"); m is read off the trained
examples, and what would come by chance to fewer than `CHANCE` of them counts as nearly one of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from infoscope.data.inputs import Array, Inputs, in_blocks

CHANCE = 1e-5
"""Of new examples, about so many are taken for nearly trained ones."""

PARTS = 8
"""Into which the trained examples are dealt."""

SAMPLE = 1000
"""Trained examples whose own nearness is looked at."""

SHIFTED = 300
"""Coded examples that are looked for in shifted places, and all of them only if one of these is found there."""

WIDTH = 64
"""Numbers in a signature, at most."""

SIDES = 8, 32
"""An image with a shorter side is a vector, one with a longer side is averaged down to this one first."""

EXACT = 16
"""Columns up to which signatures are in double precision: neighbours on a line are nearer than single can tell."""

FEWEST = 4 * PARTS
"""Trained examples below which nothing can be said of chance."""

LEAST = 1e-4
"""A distance this much smaller than a middling one is no chance, whatever the dimension."""

_ROWS, _QUERIES = 4096, 256  # that are compared at a time: 4 MiB of distances, which stay in cache
_FAR = 1e30  # a squared distance of none


@dataclass(frozen=True)
class Nearness:
    """Which examples are nearly trained ones, and which changes were looked for.

    `crowded` says that those which are left lie nearer to the trained ones than these lie to each other: they were
    changed in a way that is not looked for, or drawn otherwise.
    """

    near: Bool[np.ndarray, " n"]
    looked_for: str
    crowded: bool = False


Signature = Callable[[Tensor], Float[Tensor, "n width"]]


@dataclass(frozen=True)
class View:
    """One way to compare: the signatures of a coded example, in several places perhaps, and that of a trained one."""

    of_coded: Sequence[Signature]
    of_trained: Signature


def near_duplicates(coded: Inputs, trained: Inputs) -> Nearness | None:
    """The examples of `coded` that are nearly one of `trained`; None where that cannot be told.

    For arrays of numbers of one shape: images up to a factor and a constant a channel, rounding, noise, and a shift by
    a pixel; vectors up to rounding, noise, and the units of their columns. 10,000 images of 28 × 28 pixels against
    60,000 take some seconds and less than 100 MiB.

    >>> x = torch.rand(1000, 5, generator=torch.Generator().manual_seed(0))
    >>> near_duplicates(torch.cat([x[:2] + 1e-6, x[-2:]]), x[:500]).near.tolist()
    [True, True, False, False]
    """
    if not isinstance(coded, Array) or not isinstance(trained, Array) or coded.shape[1:] != trained.shape[1:]:
        return None
    if not coded.dtype.is_floating_point or not trained.dtype.is_floating_point or len(trained) < FEWEST:
        return None
    if coded.ndim == 4 and min(coded.shape[2:]) >= SIDES[0]:
        return _nearness(
            coded, trained, [_of_images(coded, trained)], "rounding, noise, brightness, a shift by a pixel"
        )
    return _nearness(coded, trained, _of_vectors(coded, trained), "rounding, noise, the units of columns")


def _nearness(coded: Array, trained: Array, views: Sequence[View], looked_for: str) -> Nearness:
    found = [_near(coded, trained, view) for view in views]
    near = np.any([one for one, _ in found], axis=0)
    return Nearness(near, looked_for, any(_crowded(low[~near]) for _, low in found))


def _near(coded: Array, trained: Array, view: View) -> tuple[Bool[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    """Which are nearer than chance allows, and which are as near as one in ten is by chance.

    Places besides the first are looked at for some, and for all if one more of these is found there.
    """
    near, low = _below_chance(coded, trained, View(view.of_coded[:1], view.of_trained), SAMPLE)
    if len(view.of_coded) == 1 or not len(coded):
        return near, low
    some = _spread(len(coded), SHIFTED)
    shifted, _ = _below_chance(coded[torch.from_numpy(some)], trained, view, SHIFTED)
    if not (shifted & ~near[some]).any():
        return near, low
    shifted, low = _below_chance(coded, trained, view, SHIFTED)
    return near | shifted, low


def _below_chance(coded: Array, trained: Array, view: View, most: int) -> tuple[np.ndarray, np.ndarray]:
    """The same, by this view alone and by the nearness of so many trained examples."""
    sample = _spread(len(trained), most)
    own = trained[torch.from_numpy(sample)]
    itself = np.concatenate([np.full(len(coded), -1), sample])
    places = [torch.cat([_signatures(coded, of), of(own)]) for of in view.of_coded]
    best = torch.full((len(itself), PARTS), math.inf, dtype=places[0].dtype)
    start = 0
    for rows in _in_turn(trained, view.of_trained):
        for queries in places:
            _keep_nearest(best, queries, itself - start, rows)
        start += len(rows)
    u = _ratio(best)
    mine = u[len(coded) :]
    return u[: len(coded)] < chance_of(mine), u[: len(coded)] < _quantile(mine, 0.1)


def chance_of(own: Float[np.ndarray, " m"], chance: float = CHANCE) -> float:
    """What u falls below by chance so rarely, by the trained examples' own; those that have twins are left out.

    From the values that a tenth and a half of them fall below, u_.1 and u_.5: m = log 5 / log(u_.5 / u_.1), and
    u = u_.1 (chance / 0.1)^(1/m). Where there are but few values, as on a grid, never above half of u_.1.

    >>> m, p = 4.0, np.linspace(0.0005, 0.9995, 1000)
    >>> round(chance_of(p ** (1 / m), 0.0001), 2)  # u^m is uniform: 0.0001^(1/4)
    0.1
    """
    low, middle = _quantile(own, 0.1), _quantile(own, 0.5)
    if not low:
        return LEAST
    return max(LEAST, min(low / 2, low * (chance / 0.1) ** (math.log(middle / low) / math.log(5))))


def _quantile(own: Float[np.ndarray, " m"], p: float) -> float:
    apart = own[own > LEAST]
    return float(np.quantile(apart, p)) if len(apart) else 0.0


def _crowded(low: Bool[np.ndarray, " n"]) -> bool:
    """Whether far more than one in ten are as near as one in ten is by chance: three times, and five deviations."""
    n = len(low)
    return bool(low.sum() > max(0.3 * n, 0.1 * n + 5 * math.sqrt(0.09 * n)))


def _ratio(squares: Float[Tensor, "q parts"]) -> Float[np.ndarray, " q"]:
    distances = squares.clamp_min(0).sqrt()
    middle = distances.median(1).values
    return torch.where(middle > 0, distances.amin(1) / middle, torch.zeros_like(middle)).double().numpy()


def _keep_nearest(
    best: Float[Tensor, "q parts"],
    queries: Float[Tensor, "q w"],
    itself: Int[np.ndarray, " q"],
    rows: Float[Tensor, "n w"],
) -> None:
    """Bring `best`, squared distances, down to those of these rows, but not to a query's own row.

    |q − r|² = |q|² + (q, 1)·(−2 r, |r|²), for all rows by one product; every `PARTS`-th of them is of one part.
    """
    n, each = len(rows), -(-len(rows) // PARTS)
    sides = F.pad(torch.cat([-2 * rows, rows.square().sum(1, keepdim=True)], 1), (0, 0, 0, each * PARTS - n))
    sides[n:, -1] = _FAR
    sides = sides.view(each, PARTS, -1).transpose(0, 1).reshape(each * PARTS, -1).T.contiguous()
    for start in range(0, len(queries), _QUERIES):
        part, own = slice(start, start + _QUERIES), itself[start : start + _QUERIES]
        squares = F.pad(queries[part], (0, 1), value=1.0) @ sides
        here = np.flatnonzero((own >= 0) & (own < n))
        squares[here, own[here] % PARTS * each + own[here] // PARTS] = _FAR
        nearest = squares.view(len(squares), PARTS, each).amin(2) + queries[part].square().sum(1, keepdim=True)
        best[part] = torch.minimum(best[part], nearest)


def _spread(n: int, most: int) -> Int[np.ndarray, " m"]:
    """At most so many places, evenly among n."""
    return np.unique(np.linspace(0, n - 1, min(most, n)).astype(np.int64))


def _in_turn(x: Array, signature: Signature) -> Iterator[Float[Tensor, "rows width"]]:
    return (signature(x[start : start + _ROWS]) for start in range(0, len(x), _ROWS))


def _signatures(x: Array, signature: Signature) -> Float[Tensor, "n width"]:
    return torch.cat([signature(x[:0]), *_in_turn(x, signature)])


def _of_images(coded: Array, trained: Array) -> View:
    """All but the edge, and for coded ones also a pixel to each side; each channel has mean 0 and length 1."""
    height, width = (min(side, SIDES[1]) - 2 for side in coded.shape[2:])
    mix = _mixing(coded.shape[1] * height * width)

    def at(top: int, left: int) -> Signature:
        def signature(x: Tensor) -> Tensor:
            x = x.float()
            if max(x.shape[2:]) > SIDES[1]:
                x = F.adaptive_avg_pool2d(x, (height + 2, width + 2))
            inner = x[:, :, top : top + height, left : left + width].flatten(2)
            return _mixed(F.normalize(inner - inner.mean(2, keepdim=True), dim=2).flatten(1), mix)

        return signature

    others = [(top, left) for top in range(3) for left in range(3) if (top, left) != (1, 1)]
    return View([at(1, 1), *(at(top, left) for top, left in others)], at(1, 1))


def _of_vectors(coded: Array, trained: Array) -> list[View]:
    """As they are, less the trained mean; and the columns of each set brought to its own mean 0, deviation 1."""
    (mean, deviation), own = _moments(trained), _moments(coded)
    mix = _mixing(len(mean))
    if len(mean) > EXACT:
        mean, deviation, own = mean.float(), deviation.float(), (own[0].float(), own[1].float())

    def standard(mean: Tensor, deviation: Tensor | float) -> Signature:
        return lambda x: _mixed((x.flatten(1).to(mean.dtype) - mean) / deviation, mix)

    return [View([standard(mean, 1.0)], standard(mean, 1.0)), View([standard(*own)], standard(mean, deviation))]


def _mixing(d: int) -> Float[Tensor, "d width"] | None:
    """A random projection of what is wider than a signature: it keeps distances within some ten per cent."""
    return torch.randn(d, WIDTH, generator=torch.Generator().manual_seed(0)) / WIDTH**0.5 if d > WIDTH else None


def _mixed(x: Float[Tensor, "n d"], mix: Float[Tensor, "d width"] | None) -> Float[Tensor, "n width"]:
    return x if mix is None else x @ mix


def _moments(x: Array) -> tuple[Float[Tensor, " d"], Float[Tensor, " d"]]:
    """Mean and deviation of each column, 1 where it is constant."""
    mean = sum((part.flatten(1).double().sum(0) for part in in_blocks(x)), torch.zeros(1)) / max(len(x), 1)
    squares = sum(((part.flatten(1).double() - mean).square().sum(0) for part in in_blocks(x)), torch.zeros(1))
    deviation = (squares / max(len(x), 1)).sqrt()
    return mean, torch.where(deviation > 1e-12, deviation, 1)
