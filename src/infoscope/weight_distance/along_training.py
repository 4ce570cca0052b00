"""The distance along training: from each epoch to the end, and where networks have reached the same loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from infoscope.ensembles.stacked_weights import (
    ChosenParameters,
    Networks,
    Parameters,
    StackedWeights,
    TrainedNetworks,
    check,
    choose,
)
from infoscope.record import Record
from infoscope.weight_distance.distance import Distances, distances_between


class MatchedNetworks(TrainedNetworks, Protocol):
    """Networks whose weights were kept when each first came down to a training loss."""

    @property
    def matched(self) -> StackedWeights:
        """Stacked weights at that epoch."""
        ...

    @property
    def matched_epochs(self) -> Tensor:
        """That epoch of each network, −1 for never."""
        ...


@dataclass(frozen=True)
class MatchedDistances:
    """Distances from the initial weights at the first epoch whose training loss was as low as was asked.

    `epochs` says which epoch that was for each network of `distances`; who never got there is in its `left_out`.
    """

    distances: Distances
    epochs: tuple[int, ...]


def distance_curve(population: TrainedNetworks, *, parameters: Parameters = None) -> Record:
    """d(w_t, w_final) at every epoch kept, from the initial weights (epoch 0) on; mean over networks.

    Figures 6 and 7 of "The distance between the weights of the neural network is meaningful"; the intercept is the
    distance from start to end.

    >>> from infoscope.ensembles.stacked_weights import Networks
    >>> zero, one, two = ({"w": torch.full((2, 1), float(i))} for i in range(3))
    >>> [r.measurement.value for r in distance_curve(Networks(zero, two, snapshots={1: one, 2: two}))]
    [2.0, 1.0, 0.0]
    """
    chosen, stops = _stops(population, parameters)
    check({"final weights": population.weights}, chosen, population.names)
    record = Record()
    for epoch, weights in stops.items():
        check({"final weights": population.weights, f"weights of epoch {epoch}": weights}, chosen, population.names)
        found = replace(distances_between(weights, population.weights, chosen, population), quantity="d(w_t,w)")
        record.append(found.mean(), epoch=epoch)
    return record


def at_matched_loss(population: TrainedNetworks, loss: float, *, parameters: Parameters = None) -> MatchedDistances:
    """Distances |w_t − w₀| where each network first has a training loss of at most `loss`, nats, by its snapshots.

    Networks that learn at different speeds are compared at equal fit instead of equal steps: at equal steps the
    distance tells the learning rate and the patience of who stopped, too. Snapshots that are far apart overshoot the
    loss; take one every epoch. A network that never gets there is left out, by name.
    """
    if population.losses is None or not population.snapshots:
        raise ValueError("matching the loss needs snapshots and their losses; train with snapshots of some epochs")
    losses, names = population.losses, choose(population.weights, parameters).names
    # Epoch t ends with the loss in column t − 1; the loss before training is not known.
    kept = [t for t in sorted(population.snapshots) if 1 <= t <= losses.shape[1]]
    first = [next((t for t in kept if float(losses[i, t - 1]) <= loss), -1) for i in range(len(population.names))]
    there = [i for i, t in enumerate(first) if t >= 0]
    at = {k: torch.stack([population.snapshots[first[i]][k][i] for i in there]) for k in names} if there else {}
    return _reached(population, at, first, f"a training loss of {loss:g} nats where a snapshot was kept", parameters)


def matched_distances(population: MatchedNetworks, *, parameters: Parameters = None) -> MatchedDistances:
    """The same where training kept the weights itself, as each network came down to the loss that was asked of it."""
    first = [int(t) for t in population.matched_epochs]
    if not first:
        raise ValueError("training kept no weights at a loss; train until a loss, or match the loss of snapshots")
    there = [i for i, t in enumerate(first) if t >= 0]
    at = {k: v[there] for k, v in population.matched.items()}
    return _reached(population, at, first, "the training loss at which weights were to be kept", parameters)


def _reached(
    population: TrainedNetworks, at: StackedWeights, first: Sequence[int], what: str, parameters: Parameters
) -> MatchedDistances:
    """The distances to `at`, the weights of those networks whose epoch in `first` is not −1."""
    there = [i for i, t in enumerate(first) if t >= 0]
    losses = torch.empty(len(first), 0) if population.losses is None else population.losses
    missing = {population.names[i]: f"never came to {what}{_best(losses[i])}" for i, t in enumerate(first) if t < 0}
    if not there:
        raise ValueError(f"no network came to {what}{_best(losses)}; train longer or ask for a higher loss")
    chosen = choose(population.weights, parameters)
    start = {k: population.initial[k][there] for k in chosen.names}
    names, seeds = tuple(population.names[i] for i in there), tuple(population.seeds[i] for i in there)
    check({"initial weights": start, "weights at that loss": at}, chosen, names)
    found = distances_between(start, at, chosen, Networks(start, at, names, seeds))
    receipt = replace(found.receipt, notes=(*found.receipt.notes, f"at {what}"))
    distances = replace(found, receipt=receipt, left_out=missing)
    return MatchedDistances(distances, tuple(first[i] for i in there))


def _stops(population: TrainedNetworks, parameters: Parameters) -> tuple[ChosenParameters, dict[int, StackedWeights]]:
    """The parameters, and the weights of each epoch kept, the initial ones at 0."""
    chosen = choose(population.weights, parameters)
    return chosen, dict(sorted({0: population.initial, **population.snapshots}.items()))


def _best(losses: Tensor) -> str:
    known = losses[~losses.isnan()]
    return f" (the least was {float(known.min()):.4g})" if len(known) else ""
