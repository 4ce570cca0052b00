"""How looks are taken: where they are kept, over how many processes, on which device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from infoscope.ensembles.ensemble import ensemble
from infoscope.ensembles.population import Member, Population
from infoscope.run import Store
from infoscope.run.look import Look, look


@dataclass(frozen=True)
class Running:
    """Where looks are kept, over how many processes they go, on which device, and who is told of each."""

    store: Store | None = None
    jobs: int = 1
    device: str = "cpu"
    on_done: Callable[[Any], None] | None = None

    def look(self, looks: Sequence[Look[Any]]) -> list[Any]:
        """The results of these looks."""
        return look(looks, self.store, jobs=self.jobs, on_done=self.on_done)

    def train(self, members: Sequence[Member], **options: Any) -> Population:
        """These networks, trained together; `options` as `ensemble` takes them."""
        return ensemble(members, self.store, jobs=self.jobs, device=self.device, on_done=self.on_done, **options)
