"""What compresses: by how much I(X;T) of a layer falls while a network trains, and in how many networks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from infoscope.dynamics.plane.paths import Paths
from infoscope.measurement import mean_and_stderr

LEAST = 0.05
"""Bits that I(X;T) has to fall by: the jitter of single epochs is of that size (`studies/delta_skip.py`)."""

DEVIATIONS = 2.0
"""Standard errors over networks that the mean fall has to stand above 0."""


@dataclass(frozen=True)
class Fall:
    """By how many bits I(X;T) of a layer falls in each network, from one epoch for all of them to the last.

    That is where the mean over networks is highest. A network's own highest epoch is not used: its jitter would count
    as compression. `unfit` and `follows` are those of its `Path`.
    """

    layer: str
    epoch: int
    each: tuple[float, ...]
    unfit: bool = False
    follows: bool = False

    @property
    def mean(self) -> float:
        """Bits, the mean over networks."""
        return mean_and_stderr(self.each)[0]

    @property
    def stderr(self) -> float:
        """Its standard error over networks, NaN for one."""
        return mean_and_stderr(self.each)[1]

    @property
    def networks(self) -> int:
        """In how many networks it falls by more than `LEAST`."""
        return sum(fall > LEAST for fall in self.each)

    @property
    def is_seen(self) -> bool:
        """Whether the mean falls by more than `LEAST`, and by more than chance makes it."""
        error = 0.0 if math.isnan(self.stderr) else self.stderr
        return not self.unfit and self.mean > max(LEAST, DEVIATIONS * error)


def falls(paths: Paths) -> list[Fall]:
    """The fall of every layer, first layer first."""
    found = []
    for layer, path in paths.layers.items():
        top = int(path.x_t.mean(0).argmax())
        each = tuple((path.x_t[:, top] - path.x_t[:, -1]).tolist())
        found.append(Fall(layer, paths.epochs[top], each, path.unfit, path.follows))
    return found


def told(found: Sequence[Fall]) -> str:
    r"""What compresses, by how much and in how many networks; what only seems to, and of what nothing can be said.

    >>> falls = Fall("act1", 9, (0.0, 0.01)), Fall("act2", 3, (1.5, 2.5)), Fall("out", 0, (3.0, 3.0), follows=True)
    >>> print(told(falls).replace(". ", ".\n"))
    act2 compresses: its I(X;T) falls by 2.00 ± 0.50 bits after epoch 3, in 2 of 2 networks; act1 does not.
    I(X;T) of out falls by 3.00 ± 0.00 bits after epoch 0, in 2 of 2 networks, but by bins that follow ...
    """
    seen = [one for one in found if one.is_seen]
    rest = [one.layer for one in found if not one.is_seen and not one.unfit]
    sentences = [_compression([one for one in seen if not one.follows], rest)]
    sentences += [
        f"I(X;T) of {one.layer} falls {_fall(one)}, but by bins that follow its range: its growth may be all of it."
        for one in seen
        if one.follows
    ]
    if unfit := [one.layer for one in found if one.unfit]:
        them = "their estimators do not fit them" if len(unfit) > 1 else "its estimator does not fit it"
        sentences.append(f"Of {_listed(unfit)} nothing is said: {them}.")
    return " ".join(sentence for sentence in sentences if sentence)


def _compression(down: Sequence[Fall], rest: Sequence[str]) -> str:
    """What falls on a scale that stays, and what does not."""
    if not down:
        return f"Nothing compresses: I(X;T) of {_listed(rest)} falls by no more than chance and jitter do." * bool(rest)
    lines = [f"{down[0].layer} compresses: its I(X;T) falls {_fall(down[0])}"]
    lines += [f"that of {one.layer} {_fall(one)}" for one in down[1:]]
    lines += [f"{_listed(rest)} {'do' if len(rest) > 1 else 'does'} not"] * bool(rest)
    return "; ".join(lines) + "."


def _fall(one: Fall) -> str:
    error = "" if math.isnan(one.stderr) else f" ± {one.stderr:.2f}"
    networks = f", in {one.networks} of {len(one.each)} networks" if len(one.each) > 1 else ""
    return f"by {one.mean:.2f}{error} bits after epoch {one.epoch:,}{networks}"


def _listed(layers: Sequence[str]) -> str:
    return " and ".join([", ".join(layers[:-1])] * (len(layers) > 1) + list(layers[-1:]))
