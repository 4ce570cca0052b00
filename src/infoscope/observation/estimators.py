"""Ways to the Fisher information: which columns are propagated back through a network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Protocol

import torch
from torch import Tensor

from infoscope.observation.likelihoods import Likelihood
from infoscope.options import AtLeast, check_fields


class Estimator(Protocol):
    """A sum of squares over columns, divided by `draws`, is the Fisher information or its estimate."""

    @property
    def draws(self) -> int:
        """How many independent estimates the columns are; 0 if nothing is drawn."""
        ...

    def columns(self, likelihood: Likelihood, z: Tensor, y: Tensor | None, draws: torch.Generator) -> Iterator[Tensor]:
        """What is propagated back, of the shape of the outputs z."""
        ...


@dataclass(frozen=True)
class Exact:
    """Every column of the root of the outputs' Hessian: C − 1 for C classes, for a sequence that many a token."""

    @property
    def draws(self) -> int:
        """None."""
        return 0

    def columns(self, likelihood: Likelihood, z: Tensor, y: Tensor | None, draws: torch.Generator) -> Iterator[Tensor]:
        """The root's columns."""
        return likelihood.columns(z, y)


@dataclass(frozen=True)
class Sketch:
    """The root's columns added up with random signs, so many times: unbiased, at the cost of one reverse pass each.

    Its error does not grow with a network's confidence, since it draws no label: the rare ones, which hold the
    information of a sure network, are in every draw.
    """

    draws: Annotated[int, AtLeast(1)] = 1

    def __post_init__(self) -> None:
        check_fields(self)

    def columns(self, likelihood: Likelihood, z: Tensor, y: Tensor | None, draws: torch.Generator) -> Iterator[Tensor]:
        """L ε, for each draw."""
        return (likelihood.sketch(z, y, draws) for _ in range(self.draws))


@dataclass(frozen=True)
class MonteCarlo:
    """Scores of labels drawn from the network's own predictions; unbiased, and useless where the network is sure."""

    draws: Annotated[int, AtLeast(1)] = 1

    def __post_init__(self) -> None:
        check_fields(self)

    def columns(self, likelihood: Likelihood, z: Tensor, y: Tensor | None, draws: torch.Generator) -> Iterator[Tensor]:
        """A score, for each draw."""
        return (likelihood.sampled(z, y, draws) for _ in range(self.draws))


@dataclass(frozen=True)
class Empirical:
    """Scores of the labels that were given: no Fisher information, but what is often taken for it."""

    @property
    def draws(self) -> int:
        """None."""
        return 0

    def columns(self, likelihood: Likelihood, z: Tensor, y: Tensor | None, draws: torch.Generator) -> Iterator[Tensor]:
        """The score of y."""
        if y is None:
            raise ValueError("the empirical Fisher information is that of given targets; give them")
        yield likelihood.score(z, y)
