"""What a stage of a question needs when it needs trained networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from infoscope.ensembles.ensemble import ensemble, planned
from infoscope.ensembles.population import Member, Population
from infoscope.run.context import RunContext
from infoscope.run.question import Cost

USUAL_EPOCHS = 30
"""Epochs after which early stopping has usually ended a training."""


@dataclass(frozen=True)
class Train:
    """These networks, trained together; `options` as `ensemble` takes them. A `Population` is sent back."""

    members: tuple[Member, ...]
    options: Mapping[str, Any] = field(default_factory=dict)

    def take(self, context: RunContext) -> Population:
        """Train those that the store lacks."""
        return ensemble(
            self.members,
            context.store,
            jobs=context.jobs,
            device=context.device,
            on_done=context.on_done,
            **self.options,
        )

    def units(self) -> Mapping[str, int]:
        """One training a network."""
        return {"trainings": len(self.members)}

    def cost(self, context: RunContext) -> Cost:
        """A short trial of each architecture, scaled to all steps, or to the usual ones where training stops early."""
        seconds = 0.0
        for how, group in planned(self.members, jobs=context.jobs, device=context.device, way=self.options.get("way")):
            recipe, held_out = group[0].learner.recipe, group[0].validation
            stops = recipe.patience is not None and held_out is not None
            share = min(recipe.epochs, USUAL_EPOCHS) / recipe.epochs if stops else 1.0
            seconds += how.seconds * share * len(group)
        return Cost(self.units(), seconds)

    def stand_in(self) -> Population:
        """All networks as the first one starts, trained by nothing."""
        first = self.members[0]
        network = first.learner.network(first.task.shape, first.task.classes, first.seed)
        n = len(self.members)
        start = {name: t.detach().expand(n, *t.shape) for name, t in network.state_dict().items()}
        return Population(
            tuple(member.called for member in self.members),
            tuple(member.seed for member in self.members),
            start,
            start,
            torch.ones(n, 1),
            torch.ones(n, 1),
            (True,) * n,
            way="stand-in",
        )
