"""Many networks trained together: each with its own seed, data, labels or recipe, in whichever way is fastest here."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from infoscope.ensembles.fit_stack import fit_stack
from infoscope.ensembles.observers import StackObserver
from infoscope.ensembles.planning import EnsembleSpec, PlannedGroup, planned, stacks, units
from infoscope.ensembles.population import Member, Population, SnapshotSpec, gathered
from infoscope.ensembles.ways import Way
from infoscope.run import Work
from infoscope.run.context import RunContext
from infoscope.run.look import Keepable, Look, look
from infoscope.training.isolation import threaded

T = TypeVar("T", bound=Keepable)


def ensemble(
    members: Sequence[Member],
    spec: EnsembleSpec = EnsembleSpec(),
    *,
    observers: Sequence[StackObserver] = (),
    context: RunContext = RunContext(),
) -> Population:
    """Train all members, as `fit` would each of them, and give them as one value.

    From the same state a member's step equals that of `fit` up to rounding (1e-6 in float32); over many steps rounding
    grows as it does in any training. Dropout draws differ, and so do bits between ways; in a store the choice of a way
    is kept and used again. Stacks are spread over the processes of `context` and kept in its store when finished,
    half-done ones every few seconds, so that the same call goes on after a crash; `on_done` is called once for each
    network. With `observers` everything runs in this process, and nothing is kept. A network that diverges is left out
    and named in `failed`. Before a stack trains, it is compared what it gives and what its networks give by themselves;
    where that differs they go one after another, which a warning and `remarks` say.

    >>> from infoscope import Learner, Recipe, Task
    >>> from infoscope.models import MLP
    >>> learner = Learner(MLP((8,)), Recipe(epochs=2))
    >>> digits = Task.from_dataset("digits")[:200]
    >>> members = [Member(learner, digits, seed) for seed in range(3)]
    >>> population = ensemble(members, EnsembleSpec(snapshots=(0, 1)))
    >>> population.weights["fc1.weight"].shape, population.losses.shape
    (torch.Size([3, 8, 64]), torch.Size([3, 2]))
    """
    parts = stacks(planned(members, spec, context=context))
    if observers:
        return _in_order(gathered(list(_watched(parts, spec.keep, observers, context))), members)
    looks = [
        Look(fit_stack, (part.members, part.plan.way, context.device, spec.keep), Population, 4, part.label)
        for part in parts
    ]
    found = look(looks, context.store, jobs=context.jobs, on_done=for_each(context.on_done, parts))
    population = _in_order(gathered(found), members)
    for remark in population.remarks:
        warnings.warn(remark, stacklevel=2)
    return population


def measure_ensemble(
    members: Sequence[Member],
    measure: Callable[[Population], T],
    result: type[T],
    spec: EnsembleSpec = EnsembleSpec(),
    *,
    version: int = 1,
    context: RunContext = RunContext(),
) -> list[T]:
    """Train all members, and keep only what `measure` makes of each stack of them: for networks too large to keep.

    `measure` is called where they were trained, once for each stack, or for the networks that a loop trains in some
    seconds; the results come in the order of the members. Raise the `version` when `measure` changes what it gives.
    """
    parts = units(planned(members, spec, context=context))
    looks = [
        Look(
            _fit_and_measure,
            (part.members, part.plan.way, context.device, spec.keep, measure),
            result,
            version,
            part.label,
        )
        for part in parts
    ]
    return look(looks, context.store, jobs=context.jobs, on_done=for_each(context.on_done, parts))


def for_each(on_done: Callable[[Work], None] | None, parts: Sequence[PlannedGroup]) -> Callable[[Work], None] | None:
    """Who counts finished trainings is told of every network in a stack that is finished."""
    if on_done is None:
        return None
    sizes = {part.label: len(part.members) for part in parts}

    def tell(work: Work) -> None:
        for _ in range(sizes[work.label]):
            on_done(work)

    return tell


def _watched(
    parts: Sequence[PlannedGroup], keep: SnapshotSpec, observers: Sequence[StackObserver], context: RunContext
) -> Iterator[Population]:
    for part in parts:
        with threaded(1):
            yield fit_stack(part.members, part.plan.way, context.device, keep, observers)
        if context.on_done is not None:
            for member in part.members:
                context.on_done(Work("", bytes, label=member.called))


def _fit_and_measure(
    members: Sequence[Member], way: Way, device: str, keep: SnapshotSpec, measure: Callable[[Population], Any]
) -> Any:
    return measure(fit_stack(members, way, device, keep))


def _in_order(population: Population, members: Sequence[Member]) -> Population:
    """The networks in the order of the members."""
    place = {member.called: i for i, member in enumerate(members)}
    order = sorted(range(len(population)), key=lambda i: place[population.names[i]])
    return population if order == list(range(len(order))) else population.take(order)
