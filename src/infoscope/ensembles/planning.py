"""How many networks will be trained: groups that can share a stack, and a plan for each, kept in the store."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from infoscope.data.targets import Classes
from infoscope.ensembles.autotune import Plan, plan
from infoscope.ensembles.population import Member, SnapshotSpec
from infoscope.ensembles.ways import WayName, check_way
from infoscope.run import key
from infoscope.run.context import RunContext
from infoscope.run.store import Store

_log = logging.getLogger(__name__)

USUAL_EPOCHS = 30
"""Epochs after which early stopping has usually ended a training."""

_VERSION = 3  # of the form in which plans are kept


@dataclass(frozen=True)
class EnsembleSpec:
    """How networks train together, and what is kept of each besides its first and last weights.

    `snapshots` are epochs after which all weights are kept (0 for the start); `until` is a mean training loss in nats:
    the weights of each network when it first came down to that are kept too. `way` is chosen by a short trial unless
    given: `loop` (one after another), `vmap`, `compiled` (vmap under torch.compile) or `grouped` (batched products and
    grouped convolutions). As many train at once as `memory` bytes hold (half of what is free).
    """

    snapshots: tuple[int, ...] = ()
    until: float | None = None
    way: WayName | None = None
    memory: int | None = None

    def __post_init__(self):
        check_way(self.way)

    @property
    def keep(self) -> SnapshotSpec:
        """What is kept of each network."""
        return SnapshotSpec(tuple(sorted(set(self.snapshots))), self.until)


@dataclass(frozen=True)
class PlannedGroup:
    """Members that can share a stack, and how they will be trained."""

    plan: Plan
    members: Sequence[Member]

    @property
    def label(self) -> str:
        """Who they are, in a few words."""
        more = f" and {len(self.members) - 1} more" if len(self.members) > 1 else ""
        return f"{self.members[0].called}{more}"

    @property
    def epochs(self) -> int:
        """How long a training usually is: as long as its recipe says, or less where it stops early."""
        recipe = self.members[0].learner.recipe
        stops = recipe.patience is not None and self.members[0].validation is not None
        return min(recipe.epochs, USUAL_EPOCHS) if stops else recipe.epochs

    @property
    def seconds(self) -> float:
        """What a training of the usual length takes."""
        return self.plan.seconds * self.epochs / self.members[0].learner.recipe.epochs

    def split(self, size: int) -> list[PlannedGroup]:
        """Parts of at most so many members, in order."""
        starts = range(0, len(self.members), size)
        return [PlannedGroup(self.plan, tuple(self.members[i : i + size])) for i in starts]


def planned(
    members: Sequence[Member],
    spec: EnsembleSpec = EnsembleSpec(),
    *,
    context: RunContext = RunContext(),
    soon: bool = False,
) -> list[PlannedGroup]:
    """How these members will be trained: a plan for each group that can share a stack. The store's choice stands.

    A plan that is wanted `soon` is to reckon with, and not kept.
    """
    _check(members)
    groups = [PlannedGroup(_plan(group, spec, context, soon), tuple(group)) for group in _alike(members)]
    for group in groups:
        _log.info("%s: %s", group.label, group.plan)
    if context.on_plan is not None:
        for remark in told(groups, context.jobs):
            context.on_plan(remark)
    return groups


def told(groups: Sequence[PlannedGroup], jobs: int = 1) -> tuple[str, ...]:
    """How each group is trained, what that fills, and which ways are closed to it."""
    remarks = []
    for group in groups:
        each = f" in each of {jobs} jobs" if jobs > 1 else ""
        most = group.members[0].learner.recipe.epochs
        early = f" if {group.epochs} of at most {most} epochs are enough" if group.epochs < most else ""
        took = f"{group.seconds:.2g} s a network{early}"
        remarks.append(f"{len(group.members)} networks: {group.plan}{each}; {took}.")
        remarks += [f"  not by {name}: {why}" for name, why in group.plan.closed.items()]
    return tuple(remarks)


def stacks(groups: Sequence[PlannedGroup]) -> list[PlannedGroup]:
    """The members that train together, and the plan by which they do."""
    return [part for group in groups for part in group.split(group.plan.way.stacked)]


def units(groups: Sequence[PlannedGroup]) -> list[PlannedGroup]:
    """The same, with networks that go one after another taken by the dozen, as what measures them may be costly."""
    return [part for group in groups for part in group.split(group.plan.unit or group.plan.way.stacked)]


def _plan(group: Sequence[Member], spec: EnsembleSpec, context: RunContext, soon: bool) -> Plan:
    """The plan in the store, if it fits into the memory that is granted now; else a new one, which is kept."""
    name = _plan_name(group, spec, context)
    kept = _kept(context.store, name) if context.store is not None and name else None
    if kept is not None and not _too_much(kept, spec.memory, context.jobs):
        return kept
    how = plan(
        group, device=context.device, way=spec.way, memory=spec.memory, jobs=context.jobs, kept=spec.keep.states,
        soon=soon,
    )  # fmt: skip
    if context.store is not None and name and not soon:
        with suppress(OSError):  # a disk that is full, or for reading only: a plan costs a trial, no more
            context.store.write_json(name, how.to_json())
    return how


def _kept(store: Store, name: str) -> Plan | None:
    """The plan in the store; None if there is none, or a damaged one, which is made again."""
    try:
        held = store.read_json(name)
        return None if held is None else Plan.from_json(held)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _plan_name(group: Sequence[Member], spec: EnsembleSpec, context: RunContext) -> str:
    try:
        return f"plan-{key((_VERSION, tuple(group), context.device, spec.way, spec.keep))}"
    except TypeError:  # not kept then, as `look` will say
        return ""


def _too_much(how: Plan, memory: int | None, jobs: int) -> bool:
    return memory is not None and how.way.stacked > 1 and how.bytes_at_once * jobs > memory


def _alike(members: Sequence[Member]) -> list[list[Member]]:
    """Groups that can share a stack, each in the order given; members that are trained alike stand together."""
    groups: list[tuple[Any, list[Member]]] = []
    for member in members:
        recipe, held_out = member.learner.recipe, member.validation
        kind = (
            member.learner.factory, member.task.shape, member.task.target.outputs, len(member.task), recipe.batch,
            recipe.loss, None if isinstance(member.task.target, Classes) else member.task.target,
            None if held_out is None else len(held_out),
        )  # fmt: skip
        found = next((group for other, group in groups if other == kind), None)
        if found is None:
            groups.append((kind, [member]))
        else:
            found.append(member)
    return [group for _, group in groups]


def _check(members: Sequence[Member]) -> None:
    if not members:
        raise ValueError("an ensemble has at least one member")
    seen: set[str] = set()
    for name in (member.called for member in members):
        if name in seen:
            raise ValueError(f"two members are called {name!r}; give each a name or a seed of its own")
        seen.add(name)
