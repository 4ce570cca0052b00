"""Does every network end nearest to its own start? The condition under which distance may stand for information."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from infoscope.ensembles.stacked_weights import (
    Parameters,
    StackedWeights,
    TrainedNetworks,
    blocks,
    check,
    choose,
    several,
)


@dataclass(frozen=True)
class Nearest:
    """For each start the nearest end of all: its index, how far it is, and how far the start's own end is."""

    names: tuple[str, ...]
    index: Int[Tensor, " members"]
    distance: Float[Tensor, " members"]
    own: Float[Tensor, " members"]

    @property
    def holds(self) -> bool:
        """Whether every start has its own end nearest; a tie counts as held."""
        return not self.exceptions

    @property
    def exceptions(self) -> dict[str, str]:
        """Networks whose start has another's end nearer than its own → that other."""
        return {
            name: self.names[j]
            for i, (name, j) in enumerate(zip(self.names, self.index.tolist(), strict=True))
            if j != i
        }


def nearest_ends(population: TrainedNetworks, *, parameters: Parameters = None) -> Nearest:
    """The nearest end to each start, by one Gram product in float64 over blocks of parameters.

    "All the output weight is the closest one of the initial weights in supp(P)" ("The distance between the weights of
    the neural network is meaningful", the condition of eq. 4). In many dimensions it is a weak condition: independent
    starts are far from each other, and any end that remembers its own start lies nearer to it than to the rest.

    >>> from infoscope.ensembles.stacked_weights import Networks
    >>> start, end = {"w": torch.tensor([[0.0], [10.0]])}, {"w": torch.tensor([[9.0], [12.0]])}
    >>> nearest_ends(Networks(start, end)).exceptions
    {'1': '0'}
    """
    several(population.names, "finding the nearest end")
    chosen = choose(population.weights, parameters)
    check({"initial weights": population.initial, "final weights": population.weights}, chosen, population.names)
    squares = squared_distances(population.initial, population.weights, chosen.names)
    own = squares.diagonal()
    index = squares.argmin(1)
    # The Gram product rounds: an end as near as the own one to within that is a tie.
    rounding = 1e-12 * (squares.max() + own)
    index = torch.where(own <= squares.amin(1) + rounding, torch.arange(len(own)), index)
    nearest = squares.gather(1, index[:, None])[:, 0]
    return Nearest(tuple(population.names), index, nearest.clamp(min=0).sqrt(), own.clamp(min=0).sqrt())


def squared_distances(a: StackedWeights, b: StackedWeights, names: tuple[str, ...]) -> Float[Tensor, "a b"]:
    """|a_i − b_j|² for all pairs, float64, on the CPU: |a|² + |b|² − 2 a·b about the mean of b."""
    total = torch.zeros((), dtype=torch.float64)
    for x, y in blocks([a, b], names):
        y = y.double()
        # Distances don't change with the origin, and about the mean fewer digits cancel.
        centre = y.mean(0)
        x, y = x.to(y.device).double() - centre, y - centre
        part = torch.addmm(x.square().sum(1)[:, None] + y.square().sum(1), x, y.T, alpha=-2)
        total = total + part.cpu()
    return total
