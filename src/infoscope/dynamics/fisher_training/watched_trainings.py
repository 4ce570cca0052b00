"""Trainings whose Fisher information is watched, as looks: an interrupted run goes on where it stopped."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch

from infoscope.dynamics.fisher_training.curve import FisherCurve, Watching, When, receipt_of
from infoscope.dynamics.fisher_training.observer import FisherTrace, FisherTraces, NetworkCopy
from infoscope.dynamics.plane.training import Progress
from infoscope.ensembles.ensemble import for_each
from infoscope.ensembles.fit_stack import fit_stack
from infoscope.ensembles.planning import PlannedGroup, planned, stacks
from infoscope.ensembles.population import Member
from infoscope.ensembles.shared_rows import row_epochs
from infoscope.ensembles.train import training_cost
from infoscope.ensembles.ways import Way
from infoscope.run import key
from infoscope.run.context import RunContext
from infoscope.run.look import Look, look
from infoscope.run.question import Cost
from infoscope.run.tensor_paths import below, pack_paths, unpack_paths
from infoscope.training.learner import Weights
from infoscope.weight_information.checkpoint import layer_of

BUDGET = 0.05
"""Of a training's time that watching may take."""

EVERY = (20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)
"""Steps from one measurement to the next."""

FEWEST = 10
"""Measurements of a training, at least."""


@dataclass(frozen=True, eq=False)
class WatchedTraining:
    """One training: what was watched, the weights it ended with, and why it broke off, if it did (then none).

    `seconds` of the processor is its share of what the trainings of its stack took together, the watching included.
    """

    curve: FisherCurve
    weights: Weights
    stopped: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, eq=False)
class WatchedStack:
    """What the trainings of one stack left, in the order of its members."""

    trainings: tuple[WatchedTraining, ...]

    def to_bytes(self) -> bytes:
        """As one safetensors file."""
        tensors, facts = {}, []
        for i, one in enumerate(self.trainings):
            curve, told = one.curve.parts()
            tensors |= {(i, "curve", k): t for k, t in curve.items()}
            tensors |= {(i, "weights", k): t for k, t in one.weights.items()}
            facts.append({"curve": told, "stopped": one.stopped, "seconds": one.seconds})
        return pack_paths(tensors, trainings=facts)

    @classmethod
    def from_bytes(cls, data: bytes) -> WatchedStack:
        """The value that `to_bytes` wrote."""
        tensors, facts = unpack_paths(data)
        return cls(
            tuple(
                WatchedTraining(
                    FisherCurve.of_parts(below(tensors, i, "curve"), one["curve"]), below(tensors, i, "weights"),
                    one["stopped"], one["seconds"],
                )
                for i, one in enumerate(facts["trainings"])
            )
        )  # fmt: skip


@dataclass(frozen=True)
class WatchTrainings:
    """What a stage of a question needs: these networks trained and watched. A list of `WatchedTraining` comes back.

    With `spare` the steps between measurements are as many as `sparing` says.
    """

    members: tuple[Member, ...]
    watching: Watching = field(default_factory=Watching)
    spare: bool = False

    def take(self, context: RunContext) -> list[WatchedTraining]:
        """Train and watch those that the store lacks, in the order of the members."""
        parts = stacks(planned(self.members, context=context))
        how = sparing(parts, self.watching, context) if self.spare else self.watching
        looks = [
            Look(watch_stack, (part.members, how, part.plan.way, context.device), WatchedStack, 1, part.label)
            for part in parts
        ]
        found = look(looks, context.store, jobs=context.jobs, on_done=for_each(context.on_done, parts))
        names = [member.called for part in parts for member in part.members]
        ones = dict(zip(names, (one for stack in found for one in stack.trainings), strict=True))
        return [ones[member.called] for member in self.members]

    def units(self) -> Mapping[str, int]:
        """One training a member."""
        return {"trainings": len(self.members)}

    def cost(self, context: RunContext) -> Cost:
        """A short trial of the training, as everywhere; watching adds a few percent."""
        groups = planned(self.members, context=context, soon=True)
        whole = training_cost(groups, context.jobs)
        return Cost(whole.units, sum(_seconds(part) for part in stacks(groups)), whole.remarks)

    def stand_in(self) -> list[WatchedTraining]:
        """Curves of nothing at the steps that are going to be measured."""
        return [_nothing(member, self.watching) for member in self.members]


def _seconds(part: PlannedGroup) -> float:
    """Of the trainings of a stack, what they share counted once."""
    epochs = sum(member.learner.recipe.epochs for member in part.members)
    each = part.plan.seconds / part.members[0].learner.recipe.epochs
    return each * (epochs if part.plan.way.name == "loop" else row_epochs(part.members))


def sparing(parts: Sequence[PlannedGroup], watching: Watching, context: RunContext) -> Watching:
    """The same at the first of `EVERY` at which it takes `BUDGET` of the training's time, by a short trial.

    But ten times at least in a training. The store's choice stands, so that a run goes on as it began.
    """
    name = _plan_name(parts, watching, context)
    held = context.store.read_json(name) if context.store is not None and name else None
    if isinstance(held, int):
        return replace(watching, every=held)
    found = max(_affordable(part, watching, context.device) for part in parts)
    if context.store is not None and name:
        context.store.write_json(name, found)
    return replace(watching, every=found)


def _affordable(part: PlannedGroup, watching: Watching, device: str) -> int:
    member = part.members[0]
    steps = member.learner.recipe.epochs * -(-len(member.task) // member.learner.recipe.batch)
    network = member.learner.network(member.task.shape, member.task.target.outputs, member.seed).to(device)
    trace, seconds = _trace(member, replace(watching, every=1), NetworkCopy()), []
    for step in range(4):
        begin = time.perf_counter()
        trace.step(network, step)
        seconds.append(time.perf_counter() - begin)
    needed = min(seconds) / (BUDGET * part.plan.seconds / steps)
    dearest = next((every for every in EVERY if every >= needed), EVERY[-1])
    return max(1, min(dearest, steps // FEWEST))


def _plan_name(parts: Sequence[PlannedGroup], watching: Watching, context: RunContext) -> str:
    try:
        return f"watching-{key(([part.members for part in parts], watching, context.device))}"
    except TypeError:  # not kept then, as `look` will say
        return ""


def watch_stack(members: Sequence[Member], watching: Watching, way: Way, device: str) -> WatchedStack:
    """Train one stack, each network with its own examples that it is watched on, from before its first step on."""
    copy, begin = NetworkCopy(), time.process_time()
    traces = {m.called: _trace(m, watching, copy) for m in members}
    for m in members:
        network = m.learner.network(m.task.shape, m.task.target.outputs, m.seed).to(device)
        traces[m.called].step(network, 0)
    seen = FisherTraces(traces)
    observers = [seen, Progress(max(m.learner.recipe.epochs for m in members))]
    population = fit_stack(members, way, device, observers=observers)
    seconds = (time.process_time() - begin) / len(members)
    place = {name: i for i, name in enumerate(population.names)}
    return WatchedStack(
        tuple(
            WatchedTraining(
                seen.of(m.called).curve(), population.member(place[m.called]) if m.called in place else {},
                population.failed.get(m.called, ""), seconds,
            )
            for m in members
        )
    )  # fmt: skip


def _trace(member: Member, watching: Watching, copy: NetworkCopy) -> FisherTrace:
    w = watching
    return FisherTrace(member.task, every=w.every, examples=w.examples, draws=w.draws, seed=member.seed, copy=copy)


def _nothing(member: Member, watching: Watching) -> WatchedTraining:
    network = member.learner.network(member.task.shape, member.task.target.outputs, member.seed)
    layers = tuple(dict.fromkeys(layer_of(name) for name, p in network.named_parameters() if p.requires_grad))
    recipe = member.learner.recipe
    steps = recipe.epochs * -(-len(member.task) // recipe.batch)
    times = tuple(When(step, 0) for step in range(0, steps + 1, watching.every))
    ones = torch.ones(len(times), watching.examples, dtype=torch.float64)
    curve = FisherCurve(
        times, layers, ones[:, None].expand(-1, len(layers), -1), ones, (1.0,) * len(times),
        receipt_of(member.task.fingerprint, "", watching, member.seed, "cpu"),
    )  # fmt: skip
    return WatchedTraining(curve, {k: t.detach() for k, t in network.state_dict().items()})
