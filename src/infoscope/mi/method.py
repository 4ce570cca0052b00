"""The protocol of an estimator and what it gives back; `estimate` makes a `Measurement` of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, runtime_checkable

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


Map = Literal["scale", "shift", "linear", "rotation", "monotone", "rows", "sides"]
"""What may be done to the examples without changing information: see `Claims.invariant`."""


@dataclass(frozen=True)
class Claims:
    """What a method says of itself; `infoscope.testing.check_estimator` holds it to each word.

    Args:
        estimates: what its value is of. "information": I(X;Y) of the distribution that the examples are a sample of.
            "cells": that of these examples between the cells that its `cells(side)` gives, exactly. "noisy": that
            of these examples, Gaussian noise of its `variance` added to X; exact, or a bound.
        assumes: what it needs of a distribution to be right. "nothing"; "smooth" densities, without edges; "normal"
            dependence; "discrete" sides.
        errs: how it may be off by more than its error at `examples`, on what it assumes. "never"; "down", where it
            may find too little, as a lower bound or a compression does; "anyhow", where no side is promised, nor H(Y).
        mixed: whether it is right where values repeat, which are told as TIES.
        ceiling: whether it never says more than log n.
        seeded: whether the seed has a part in the value.
        invariant: maps under which the value stays, to rounding: "scale" of a side, "shift", any invertible
            "linear" map, "rotation", increasing maps of each column ("monotone"), the order of "rows", which of the
            "sides" is which.
        examples: how many its claims hold from.
        dims: columns of both sides together up to which it is for; None for any number.
        slow: whether its contract takes more than some seconds.
    """

    estimates: Literal["information", "cells", "noisy"] = "information"
    assumes: Literal["nothing", "smooth", "normal", "discrete"] = "nothing"
    errs: Literal["never", "down", "anyhow"] = "never"
    mixed: bool = False
    ceiling: bool = True
    seeded: bool = False
    invariant: frozenset[Map] = frozenset()
    examples: int = 600
    dims: int | None = None
    slow: bool = False


@runtime_checkable
class Method(Protocol):
    """A frozen value that estimates I(X;Y). `takes` lists the pairs of kinds it is for, as in "points-labels".

    The front door has checked shapes and NaN, and puts labels second. It adds a subsampled standard error to a
    finding that has none if `subsampled` is true. What the method claims of itself is what contract tests hold it to.
    """

    takes: ClassVar[tuple[str, ...]]
    subsampled: ClassVar[bool]

    @property
    def claims(self) -> Claims:
        """What it says of itself; a class attribute where no option changes it."""
        ...

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
