"""What a stage of a question needs when it needs trained networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch

from infoscope.ensembles.ensemble import ensemble, measure_ensemble
from infoscope.ensembles.planning import EnsembleSpec, PlannedGroup, planned, told
from infoscope.ensembles.population import Member, Population
from infoscope.run.context import RunContext
from infoscope.run.look import Keepable
from infoscope.run.question import Cost

T = TypeVar("T", bound=Keepable)


@dataclass(frozen=True)
class Train:
    """These networks, trained together as `spec` says. A `Population` is sent back."""

    members: tuple[Member, ...]
    spec: EnsembleSpec = EnsembleSpec()

    def take(self, context: RunContext) -> Population:
        """Train those that the store lacks."""
        return ensemble(self.members, self.spec, context=context)

    def units(self) -> Mapping[str, int]:
        """One training a network."""
        return {"trainings": len(self.members)}

    def cost(self, context: RunContext) -> Cost:
        """A short trial of each architecture, scaled to all steps, or to the usual ones where training stops early."""
        return training_cost(planned(self.members, self.spec, context=context, soon=True), context.jobs)

    def stand_in(self) -> Population:
        """All networks as the first one starts, trained by nothing."""
        first = self.members[0]
        network = first.learner.network(first.task.shape, first.task.target.outputs, first.seed)
        n = len(self.members)
        start = {name: t.detach().expand(n, *t.shape) for name, t in network.state_dict().items()}
        kept = self.spec.keep
        return Population(
            tuple(member.called for member in self.members),
            tuple(member.seed for member in self.members),
            initial=start,
            weights=start,
            losses=torch.ones(n, 1),
            validation_losses=torch.ones(n, 1),
            converged=(True,) * n,
            snapshots=dict.fromkeys(kept.epochs, start),
            matched=start if kept.loss is not None else {},
            matched_epochs=torch.full((n,), -1),
        )


@dataclass(frozen=True)
class TrainAndMeasure(Generic[T]):
    """These networks, of which only what `measure` makes is kept (see `measure_ensemble`). A list is sent back.

    `nothing` makes a value of the same form at once, for a dry run.
    """

    members: tuple[Member, ...]
    measure: Callable[[Population], T]
    result: type[T]
    nothing: Callable[[Sequence[Member]], T]
    spec: EnsembleSpec = EnsembleSpec()
    version: int = 1

    def take(self, context: RunContext) -> list[T]:
        """Train and measure those that the store lacks."""
        return measure_ensemble(
            self.members, self.measure, self.result, self.spec, version=self.version, context=context
        )

    def units(self) -> Mapping[str, int]:
        """One training a network."""
        return {"trainings": len(self.members)}

    def cost(self, context: RunContext) -> Cost:
        """A short trial, as for `Train`."""
        return training_cost(planned(self.members, self.spec, context=context, soon=True), context.jobs)

    def stand_in(self) -> list[T]:
        """What `nothing` makes of the members."""
        return [self.nothing(self.members)]


def training_cost(groups: Sequence[PlannedGroup], jobs: int = 1) -> Cost:
    """What these trainings take by their plans; the usual number of epochs where training stops early.

    The remarks say how each group is trained, what that fills, and which ways are closed to it.
    """
    seconds = sum(group.seconds * len(group.members) for group in groups)
    return Cost({"trainings": sum(len(group.members) for group in groups)}, seconds, told(groups, jobs))
