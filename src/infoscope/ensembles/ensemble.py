"""Many networks trained together: each with its own seed, data, labels or recipe, in whichever way is fastest here."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, TypeVar

from infoscope.data.targets import Classes
from infoscope.ensembles.autotune import Plan, plan
from infoscope.ensembles.fit_stack import GroupObserver, Wanted, fit_stack
from infoscope.ensembles.population import Member, Population, gathered
from infoscope.ensembles.stack import WAYS
from infoscope.run import Store, Work, key
from infoscope.run.look import Keepable, Look, look
from infoscope.training.isolation import threaded

T = TypeVar("T", bound=Keepable)

_log = logging.getLogger(__name__)


def ensemble(
    members: Sequence[Member],
    store: Store | None = None,
    *,
    jobs: int = 1,
    device: str = "cpu",
    way: str | None = None,
    memory: int | None = None,
    snapshots: Collection[int] = (),
    until: float | None = None,
    observers: Sequence[GroupObserver] = (),
    on_done: Callable[[Work], None] | None = None,
) -> Population:
    """Train all members, as `fit` would each of them, and give them as one value.

    From the same state a member's step equals that of `fit` up to rounding (1e-6 in float32); over many steps rounding
    grows as it does in any training. Dropout draws differ, and so do bits between ways. `way` is chosen by a trial
    unless given: `loop` (one after another), `vmap`, `compiled` (vmap under torch.compile) or `grouped` (batched
    products and grouped convolutions); in a store the choice is kept and used again. As many train at once as `memory`
    bytes hold (half of what is free), in stacks that are spread over `jobs` processes and kept in `store` when
    finished, half-done ones every few seconds, so that the same call goes on after a crash. `on_done` is called once
    for each network.

    `snapshots` are epochs after which all weights are kept; `until` is a mean training loss in nats: the weights of
    each network when it first came down to that are kept too. With `observers` everything runs in this process, and
    nothing is kept. A network that diverges is left out and named in `failed`.

    >>> from infoscope import Learner, Recipe, Task
    >>> from infoscope.models import MLP
    >>> learner = Learner(MLP((8,)), Recipe(epochs=2))
    >>> digits = Task.from_dataset("digits")[:200]
    >>> population = ensemble([Member(learner, digits, seed) for seed in range(3)], snapshots=[0, 1])
    >>> population.weights["fc1.weight"].shape, population.losses.shape
    (torch.Size([3, 8, 64]), torch.Size([3, 2]))
    """
    wanted = Wanted(tuple(sorted(set(snapshots))), until)
    plans = planned(members, store, jobs=jobs, device=device, way=way, memory=memory, wanted=wanted)
    if observers:
        parts = list(_watched(plans, device, wanted, observers, on_done))
    else:
        looks = [
            Look(fit_stack, (tuple(some), how.way, device, wanted), Population, label=_label(some))
            for how, some in stacks(plans)
        ]
        parts = look(looks, store, jobs=jobs, on_done=for_each(on_done, looks))
    return _in_order(gathered(parts), members)


def measured(
    members: Sequence[Member],
    measure: Callable[[Population], T],
    result: type[T],
    store: Store | None = None,
    *,
    jobs: int = 1,
    device: str = "cpu",
    way: str | None = None,
    memory: int | None = None,
    snapshots: Collection[int] = (),
    until: float | None = None,
    on_done: Callable[[Work], None] | None = None,
) -> list[T]:
    """Train all members, and keep only what `measure` makes of each stack of them: for networks too large to keep.

    `measure` is called where they were trained, once for each stack, or for the networks that a loop trains in some
    seconds; the results come in the order of the members.
    """
    wanted = Wanted(tuple(sorted(set(snapshots))), until)
    plans = planned(members, store, jobs=jobs, device=device, way=way, memory=memory, wanted=wanted)
    looks = [
        Look(_measured, (tuple(some), how.way, device, wanted, measure), result, label=_label(some))
        for how, some in _units(plans)
    ]
    return look(looks, store, jobs=jobs, on_done=for_each(on_done, looks))


def planned(
    members: Sequence[Member],
    store: Store | None = None,
    *,
    jobs: int = 1,
    device: str = "cpu",
    way: str | None = None,
    memory: int | None = None,
    wanted: Wanted = Wanted(),
) -> list[tuple[Plan, list[Member]]]:
    """How these members will be trained: a plan for each group that can share a stack. The store's choice stands."""
    _check(members, way)
    plans = []
    for group in _alike(members):
        name = _plan_name(group, device, way, wanted)
        kept = store.read_json(name) if store is not None and name else None
        if kept is None or _too_much(Plan(**kept), memory, jobs):
            states = len(wanted.snapshots) + (wanted.until is not None)
            how = plan(group, device=device, way=way, memory=memory, jobs=jobs, kept=states)
            if store is not None and name:
                store.write_json(name, dataclasses.asdict(how))
        else:
            how = Plan(**kept)
        _log.info("%s: %s", _label(group), how)
        plans.append((how, group))
    return plans


def _too_much(how: Plan, memory: int | None, jobs: int) -> bool:
    """Whether a plan made earlier fills more than the caller now grants."""
    return memory is not None and how.together > 1 and how.together * how.bytes_each * jobs > memory


def _watched(
    plans: Sequence[tuple[Plan, list[Member]]], device: str, wanted: Wanted, observers: Sequence[GroupObserver],
    on_done: Callable[[Work], None] | None,
) -> Iterator[Population]:  # fmt: skip
    for how, some in stacks(plans):
        with threaded(1):
            yield fit_stack(some, how.way, device, wanted, observers)
        if on_done is not None:
            for member in some:
                on_done(Work("", bytes, label=member.called))


def _measured(
    members: Sequence[Member], way: str, device: str, wanted: Wanted, measure: Callable[[Population], Any]
) -> Any:
    return measure(fit_stack(members, way, device, wanted))


def for_each(on_done: Callable[[Work], None] | None, looks: Sequence[Look[Any]]) -> Callable[[Work], None] | None:
    """Who counts finished trainings is told of every network in a stack that is finished."""
    if on_done is None:
        return None
    sizes = {one.label: len(one.args[0]) for one in looks}

    def told(work: Work) -> None:
        for _ in range(sizes[work.label]):
            on_done(work)

    return told


def stacks(plans: Sequence[tuple[Plan, list[Member]]]) -> list[tuple[Plan, list[Member]]]:
    """The members that train together, and the plan by which they do."""
    return [(how, group[i : i + how.together]) for how, group in plans for i in range(0, len(group), how.together)]


def _units(plans: Sequence[tuple[Plan, list[Member]]]) -> list[tuple[Plan, list[Member]]]:
    """The same, with networks that go one after another taken by the dozen, as what measures them may be costly."""
    sized = [(how, group, how.unit or how.together) for how, group in plans]
    return [(how, group[i : i + size]) for how, group, size in sized for i in range(0, len(group), size)]


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


def _in_order(population: Population, members: Sequence[Member]) -> Population:
    """The networks in the order of the members."""
    place = {member.called: i for i, member in enumerate(members)}
    order = sorted(range(len(population)), key=lambda i: place[population.names[i]])
    return population if order == list(range(len(order))) else population.take(order)


def _plan_name(group: Sequence[Member], device: str, way: str | None, wanted: Wanted) -> str:
    try:
        return f"plan-{key((tuple(group), device, way, wanted))}"
    except TypeError:  # not kept then, as `look` will say
        return ""


def _label(members: Sequence[Member]) -> str:
    more = f" and {len(members) - 1} more" if len(members) > 1 else ""
    return f"{members[0].called}{more}"


def _check(members: Sequence[Member], way: str | None) -> None:
    if not members:
        raise ValueError("an ensemble has at least one member")
    if way is not None and way not in WAYS:
        raise ValueError(f"way is {way!r}; it is one of {', '.join(WAYS)}, or None to have it chosen")
    names = [member.called for member in members]
    twice = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
    if twice is not None:
        raise ValueError(f"two members are called {twice!r}; give each a name or a seed of its own")
