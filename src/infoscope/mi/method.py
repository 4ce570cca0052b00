"""The protocol of an estimator and what it gives back; `estimate` makes a `Measurement` of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

from infoscope.measurement import Bound, Status
from infoscope.mi.sample import Side

if TYPE_CHECKING:
    from infoscope.run import Store


@dataclass(frozen=True)
class Finding:
    """What an estimator found, in nats.

    `ceiling` is the most that it can report on this sample if that is less than log n, or than H(Y) where Y is labels;
    infinite for a method that these don't bind. `bias` is the scale of a systematic error that the data themselves
    show; the measurement's standard error holds it, too.
    """

    value: float
    stderr: float = math.nan
    over: str = ""
    bound: Bound = Bound.NONE
    status: frozenset[Status] = frozenset()
    ceiling: float | None = None
    notes: tuple[str, ...] = ()
    bias: float = 0.0


@runtime_checkable
class Method(Protocol):
    """A frozen value that estimates I(X;Y). `takes` lists the pairs of kinds it is for, as in "points-labels".

    The front door has checked shapes and NaN, and puts labels second. It adds a subsampled standard error to a
    finding that has none if `subsampled` is true.
    """

    takes: ClassVar[tuple[str, ...]]
    subsampled: ClassVar[bool]

    def estimate(self, x: Side, y: Side, seed: int) -> Finding:
        """I(X;Y) from the sample."""
        ...


@runtime_checkable
class LearningMethod(Method, Protocol):
    """A method that trains a network: its training is a look, which a store keeps."""

    learns: ClassVar[bool]

    def estimate(self, x: Side, y: Side, seed: int, store: Store | None = None) -> Finding:
        """I(X;Y) from the sample; what the store has of it is not learned again."""
        ...


@runtime_checkable
class ShufflingMethod(Method, Protocol):
    """A method with a cheaper way to its shuffled baseline than estimating again."""

    def shuffled(self, x: Side, shufflings: Sequence[Side], seed: int) -> list[float]:
        """I(X;Y) for each of these shufflings of the same labels."""
        ...


@runtime_checkable
class LayerMethod(Method, Protocol):
    """A method that knows both informations of a layer T = f(X), where every pattern X is distinct."""

    def layer(self, t: Side, y: Side, seed: int) -> tuple[Finding, Finding]:
        """I(X;T) and I(T;Y)."""
        ...
