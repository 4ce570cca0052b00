"""What watches the training of many networks: an observer of whole stacks, or one for each network."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor, nn

from infoscope.ensembles.stacked_weights import StackedWeights, member
from infoscope.training.fit import Moment, Observer
from infoscope.training.learner import load_weights


@dataclass(frozen=True)
class StackMoment:
    """What an observer of many networks sees after each step: names and live stacked weights (do not change them).

    `losses` (E,) are those of the step's batches, `means` (E,) those of the whole epoch, at its end (empty before).
    A row may stand for several members until their trainings part (`Member.window`): `sharing` has the names of all
    that a row stands for, its own first, and is empty where networks go one after another.
    """

    names: tuple[str, ...]
    weights: StackedWeights
    step: int
    epoch: int
    losses: Tensor
    end_of_epoch: bool
    means: Tensor
    template: nn.Module
    sharing: tuple[tuple[str, ...], ...] = ()

    def networks(self) -> Iterator[tuple[str, nn.Module]]:
        """Each network by itself, as a copy, in train mode."""
        network = copy.deepcopy(self.template).train()
        for i, name in enumerate(self.names):
            load_weights(network, {k: v.detach() for k, v in member(self.weights, i).items()})
            yield name, network


class StackObserver(Protocol):
    """Watches the training of many networks; called after every step of a stack of them."""

    def observe(self, moment: StackMoment) -> None:
        """See one moment."""
        ...


@dataclass
class PerMember:
    """One observer of single networks for each name, made when the name is first seen.

    With `epochs_only` they see the last step of each epoch, which spares a copy of every network in every other.
    """

    make: Callable[[str], Observer]
    epochs_only: bool = False
    observers: dict[str, Observer] = field(default_factory=dict)

    def observe(self, moment: StackMoment) -> None:
        """Show every network to its own observer."""
        if self.epochs_only and not moment.end_of_epoch:
            return
        for i, (name, network) in enumerate(moment.networks()):
            if name not in self.observers:
                self.observers[name] = self.make(name)
            mean = float(moment.means[i]) if moment.end_of_epoch else math.nan
            one = Moment(network, moment.step, moment.epoch, moment.losses[i], moment.end_of_epoch, mean)
            self.observers[name].observe(one)
