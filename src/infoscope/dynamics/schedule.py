"""Which epochs of a training to measure, decided while it runs.

A schedule is a frozen value; `start()` gives its run, which is told where states stand and says which to measure
next. Epochs are counted here as the states that there are, 0, 1, 2, …, be they epochs, steps or checkpoints.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

Point = Sequence[float]
"""Where a state stands on the plane: one number for each layer, side and quantity."""


class ScheduleRun(Protocol):
    """A schedule under way."""

    def wanted(self, reached: int, last: bool = False) -> list[int]:
        """The states up to `reached` to measure now, side by side; `last`: no more will come, or none can be kept."""
        ...

    def update(self, state: int, point: Point) -> None:
        """Take note of where a state that was wanted stands."""
        ...

    def oldest(self) -> int | None:
        """The first state that may yet be wanted although a later one was reached; None: it never happens."""
        ...


class Schedule(Protocol):
    """Which states to measure."""

    def start(self) -> ScheduleRun:
        """Its run, at the first state."""
        ...


def distance(a: Point, b: Point) -> float:
    """The largest shift between two states, max |I_e(s,t) − I_ê(s,t)| / H(s) where points are in units of H(s).

    Equations 3.8 and 3.9 of the dissertation "Measuring mutual information within neural networks" (Grabauskas
    2019), with the absolute value that they lack. Two values that are both NaN are equal; NaN and a number are
    infinitely far apart.

    >>> distance([0.5, 1.0], [0.75, 0.5]), distance([math.nan], [math.nan]), distance([0.0], [math.nan])
    (0.5, 0.0, inf)
    """
    return max((_shift(x, y) for x, y in zip(a, b, strict=True)), default=0.0)


def _shift(x: float, y: float) -> float:
    if x == y or (math.isnan(x) and math.isnan(y)):
        return 0.0
    return math.inf if math.isnan(x) or math.isnan(y) else abs(x - y)


@dataclass(frozen=True)
class Every:
    """Every n-th state and the last."""

    n: int = 1

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ValueError(f"n is {self.n}; measure every n-th epoch with n of 1 or more")

    def start(self) -> ScheduleRun:
        """Its run, at the first state."""
        return _Ahead(self)

    def following(self, state: int) -> int:
        """The state to measure after this one."""
        return state + self.n


@dataclass(frozen=True)
class Logarithmic:
    """States 0 and 1, then so many a decade, evenly on a logarithmic axis, and the last.

    >>> run, states = Logarithmic(per_decade=3).start(), []
    >>> for reached in range(30):
    ...     for state in run.wanted(reached):
    ...         states.append(state)
    ...         run.update(state, ())
    >>> states
    [0, 1, 2, 5, 10, 22]
    """

    per_decade: int = 20

    def __post_init__(self) -> None:
        if self.per_decade < 1:
            raise ValueError(f"per_decade is {self.per_decade}; it is 1 or more")

    def start(self) -> ScheduleRun:
        """Its run, at the first state."""
        return _Ahead(self)

    def following(self, state: int) -> int:
        """The state to measure after this one."""
        if state < 1:
            return state + 1
        k = math.floor(self.per_decade * math.log10(state) + 1e-9)
        while (after := round(10 ** (k / self.per_decade))) <= state:
            k += 1
        return after


class _Following(Protocol):
    def following(self, state: int) -> int: ...


@dataclass
class _Ahead:
    """The run of a schedule whose next state is known beforehand."""

    rule: _Following
    next: int = 0
    latest: int = -1

    def wanted(self, reached: int, last: bool = False) -> list[int]:
        if reached <= self.latest:
            return []
        return [min(self.next, reached)] if self.next <= reached or last else []

    def update(self, state: int, point: Point) -> None:
        self.latest = state
        while self.next <= state:
            self.next = self.rule.following(self.next)

    def oldest(self) -> int | None:
        return None


@dataclass(frozen=True)
class DeltaSkipExact:
    """Skip while little changes, and go back where too much did: neighbours measured differ by at most `delta`.

    The promise: two states measured next to each other are at most `delta` apart (see `distance`), unless no state
    lies between them. The stride starts at one state and is multiplied as long as a stride covers at most `delta`;
    where it covers more, the section is halved until the promise holds (figures 3.6 and 3.7 of Grabauskas 2019). The
    weights of a section are kept until then. A curve that leaves and comes back within a section goes unseen.
    `delta` is a share of H(X) and H(Y).
    """

    delta: float = 0.01
    multiplier: float = 2.0

    def __post_init__(self) -> None:
        _check(self.delta)
        if not self.multiplier > 1:
            raise ValueError(f"multiplier is {self.multiplier}; the stride grows only if it is above 1")

    def start(self) -> ScheduleRun:
        """Its run, at the first state."""
        return _Skipping(self.delta, self.multiplier, backtracks=True)


@dataclass(frozen=True)
class DeltaSkipApproximate:
    """Skip while little changes, without going back: the stride doubles after a stride of at most `delta`.

    Figure 3.9 of Grabauskas 2019. No weights are kept, and nothing is promised: where the curve turns fast again, the
    stride stays long.
    """

    delta: float = 0.01
    multiplier: ClassVar[float] = 2.0

    def __post_init__(self) -> None:
        _check(self.delta)

    def start(self) -> ScheduleRun:
        """Its run, at the first state."""
        return _Skipping(self.delta, self.multiplier, backtracks=False)


def _check(delta: float) -> None:
    if not delta > 0:
        raise ValueError(f"delta is {delta}; it is above 0, a share of the entropies H(X) and H(Y)")


@dataclass
class _Skipping:
    """Both delta skips. `sections` are neighbours that are further apart than delta, with states between."""

    delta: float
    multiplier: float
    backtracks: bool
    front: int = -1
    stride: int = 1
    points: dict[int, Point] = field(default_factory=dict)
    sections: list[tuple[int, int]] = field(default_factory=list)

    def wanted(self, reached: int, last: bool = False) -> list[int]:
        ahead = self.front + self.stride
        if last:
            ahead = min(ahead, reached)
        return [(a + b) // 2 for a, b in self.sections] + [ahead] * (self.front < ahead <= reached)

    def update(self, state: int, point: Point) -> None:
        self.points[state] = point
        if state > self.front:
            self._advance(state)
        else:
            a, b = next(section for section in self.sections if section[0] < state < section[1])
            self.sections.remove((a, b))
            self._open(a, state)
            self._open(state, b)
        needed = {self.front, *(end for section in self.sections for end in section)}
        self.points = {state: point for state, point in self.points.items() if state in needed}

    def oldest(self) -> int | None:
        if not self.backtracks:
            return None
        return min((a for a, _ in self.sections), default=self.front) + 1

    def _advance(self, state: int) -> None:
        before, whole = self.front, state - self.front == self.stride
        self.front = state
        if before < 0:
            return
        if distance(self.points[before], self.points[state]) <= self.delta:
            self.stride = math.ceil(self.stride * self.multiplier) if whole else self.stride
        elif self.backtracks:
            self._open(before, state)

    def _open(self, a: int, b: int) -> None:
        if b - a > 1 and distance(self.points[a], self.points[b]) > self.delta:
            self.sections.append((a, b))


SCHEDULES: dict[str, Schedule] = {
    "every": Every(),
    "log": Logarithmic(),
    "delta": DeltaSkipExact(),
    "delta-approximate": DeltaSkipApproximate(),
}
"""Schedules by the names of the command line."""
