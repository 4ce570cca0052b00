"""What a network is asked to say of an example: what a prediction is, and how many nats it costs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Classes:
    """One class an example: `y` (n,) counts into the declared `alphabet`."""

    alphabet: tuple[str, ...]


@dataclass(frozen=True)
class Labels:
    """Several yes-or-no labels at once, sent in this order: `y` (n, names) of 0 and 1; −1 is masked."""

    names: tuple[str, ...]


@dataclass(frozen=True)
class Real:
    """Numbers at a declared resolution δ and range: `y` (n, dim); a prediction is a distribution over the bins."""

    resolution: float
    low: float
    high: float
    dim: int = 1


@dataclass(frozen=True)
class Tokens:
    """A sequence of tokens: `y` (n, length) counts into the vocabulary; −100 is neither coded nor learned."""

    vocabulary: int


@dataclass(frozen=True)
class Boxes:
    """Objects in an image: `y` (n, k, 5), rows of class, centre x, centre y, width, height; class −1 fills up."""

    alphabet: tuple[str, ...]


Target = Classes | Labels | Real | Tokens | Boxes
