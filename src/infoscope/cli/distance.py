"""`infoscope distance` and `infoscope mds`: how far training carries networks, and where."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from infoscope.cli import values
from infoscope.cli.former_commands import Data, Run, Training
from infoscope.cli.former_session import Session, cores, print_config
from infoscope.data.named import training_part
from infoscope.data.task import Task
from infoscope.ensembles.ensemble import ensemble
from infoscope.ensembles.planning import EnsembleSpec, planned
from infoscope.ensembles.population import Member, Population
from infoscope.ensembles.stacked_weights import StackedWeights, member
from infoscope.ensembles.ways import Way
from infoscope.figure import Bars, Figure, Line
from infoscope.measurement import NATS_PER_BIT, Measurement
from infoscope.models import loss_of
from infoscope.report.wording import duration
from infoscope.run.context import RunContext
from infoscope.symmetry.alignment import align_all
from infoscope.symmetry.permutations import permutation_groups
from infoscope.training.recipe import OPTIMIZERS
from infoscope.weight_distance.landmarks import landmark_mds
from infoscope.weight_distance.mds import Picture, classical_mds
from infoscope.weight_distance.questions import measure_distances
from infoscope.weight_distance.result import DistanceResult

_STOPS = 12  # epochs of the curve
_MOST_FOR_GRAM = 5000  # networks: beyond, landmarks


def distance(
    data: Sequence[str],
    model: str | None,
    networks: int,
    matched_loss: float | None,
    aligned: bool,
    balanced: bool,
    way: str | None,
    training: Training,
    reading: Data,
    run: Run,
) -> None:
    """How far does training carry a network's weights?"""
    if not data:
        raise ValueError("name one or more data sets, such as digits")
    given = {"model": model, "networks": networks, "matched_loss": matched_loss, "aligned": aligned, "way": way}
    given["balanced"] = balanced
    options = {"data": list(data), **given, **vars(training), **vars(reading)}
    if run.print_config:
        return print_config("distance", options, run)
    tasks = values.told_apart([_part(t, run) for name in data for t in values.tasks_from(name, reading)])
    networks_of = {task.name: _members(task, model, training, networks, run) for task in tasks}
    stops = _stops(training.epochs)
    levels = {task.name: _level(task, networks_of[task.name][1], matched_loss) for task in tasks}
    asked = {task.name: _spec(stops, levels[task.name], way) for task in tasks}
    members = {name: some for name, (_, some) in networks_of.items()}
    if run.dry_run:
        return _print_plans([(members[name], spec) for name, spec in asked.items()], run)
    session = Session("distance", run, options)
    found: dict[str, DistanceResult] = {}
    chosen: dict[str, str] = {}
    for task_name, spec in asked.items():
        _print_plan(members[task_name], spec, session)
    with session.progress(networks * len(tasks), "training networks"):
        for task in tasks:
            name, some = networks_of[task.name]
            one = measure_distances(
                some, asked[task.name], aligned=aligned, balanced=balanced, context=session.running()
            )
            for row in one.record():
                session.record.append(row.measurement, task=task.name, **row.coordinates)
            found[task.name] = one
            chosen[task.name] = _choices(one, name, levels[task.name])
    lead = " ".join(_sentence(name, one) for name, one in found.items())
    session.finish(f"Weight distance on {', '.join(found)}", _figures(found), {}, chosen, lead)


def mds(
    data: str,
    model: str | None,
    networks: int,
    starts: int | None,
    dimensions: int,
    aligned: bool,
    way: str | None,
    training: Training,
    reading: Data,
    run: Run,
) -> None:
    """Where do many networks start and end?"""
    given = {"model": model, "networks": networks, "starts": starts, "dimensions": dimensions, "aligned": aligned}
    options = {"data": data, **given, "way": way, **vars(training), **vars(reading)}
    if run.print_config:
        return print_config("mds", options, run)
    if networks <= dimensions:
        raise ValueError(f"--networks {networks} --dimensions {dimensions}: a picture needs more networks")
    (task, *others) = [_part(t, run) for t in values.tasks_from(data, reading)]
    if others:
        raise ValueError("a picture shows one task; leave out all but one --corrupt")
    name, members = _members(task, model, training, networks, run)
    members = _sharing(members, starts, run.seed) if starts is not None else members
    spec = EnsembleSpec(way=cast(Any, way))
    if run.dry_run:
        return _print_plans([(members, spec)], run)
    session = Session("mds", run, options)
    _print_plan(members, spec, session)
    with session.progress(networks, "training networks"):
        population = ensemble(members, spec, context=session.running())
    network = members[0].learner.network(task.shape, task.classes, members[0].seed)
    ends: dict[str, tuple[StackedWeights, ...]] = {"end": (population.weights,)}
    if starts is None:
        ends = {"start": (population.initial,), **ends}
    else:
        ends = {"start and end": (_distinct(population, members, starts), population.weights)}
    if aligned:
        groups = permutation_groups(network, task.shape)
        to = member(population.weights, 0)
        ends |= {"end, aligned": (align_all(population.weights, groups, to, parameters=network),)}
    figures = []
    for where, stacks in ends.items():
        picture = _picture(stacks, dimensions, network)
        for one in (*picture.radii(), picture.share()):
            session.record.append(one, task=task.name, networks=where)
        figures.append(_drawn(where, picture, population, members, starts))
    trained = f"{len(population)} networks {name} trained on {task.name} ({_ways(population.ways)})"
    lead = f"{trained}{_lost(population.failed)}."
    session.finish(f"Networks trained on {task.name}, seen from afar", figures, {}, {"Network": name}, lead)


def _level(task: Task, members: Sequence[Member], matched_loss: float | None) -> float | None:
    """The training loss to compare at, bits; none unless asked for where the loss is not a cross-entropy."""
    if matched_loss is not None or members[0].learner.recipe.loss is not None:
        return matched_loss
    return math.log2(task.classes) / 2


def _part(task: Task, run: Run) -> Task:
    """What is trained on: the train split, or so many examples of it as were asked for, drawn by the seed."""
    part = training_part(task)
    if run.examples is None or run.examples >= len(part):
        return part
    return dataclasses.replace(part.shuffled(run.seed)[: run.examples], name=part.name)


def _members(task: Task, model: str | None, training: Training, networks: int, run: Run) -> tuple[str, list[Member]]:
    """One network a seed, all trained for the same number of steps."""
    name, learner = values.learner_for(task, model)
    optimizer = values.method(training.optimizer, OPTIMIZERS)
    recipe = dataclasses.replace(
        learner.recipe, optimizer=optimizer, batch=training.batch, epochs=training.epochs, patience=None
    )
    recipe = dataclasses.replace(recipe, loss=loss_of(learner.factory))
    learner = dataclasses.replace(learner, recipe=recipe)
    return name, [Member(learner, task, seed) for seed in range(run.seed, run.seed + networks)]


def _sharing(members: Sequence[Member], starts: int, seed: int) -> list[Member]:
    """The same members, the i-th from the initial weights of seed + i mod `starts`."""
    first = members[0]
    weights = [
        first.learner.network(first.task.shape, first.task.classes, seed + i).state_dict() for i in range(starts)
    ]
    return [dataclasses.replace(m, learner=m.learner.starting_from(weights[i % starts])) for i, m in enumerate(members)]


def _distinct(population: Population, members: Sequence[Member], starts: int) -> StackedWeights:
    """Each start once, also where the first network that had it diverged."""
    place = {m.called: i % starts for i, m in enumerate(members)}
    rows = {place[name]: row for row, name in reversed(list(enumerate(population.names)))}
    return {k: v[[rows[start] for start in sorted(rows)]] for k, v in population.initial.items()}


def _stops(epochs: int) -> list[int]:
    """About a dozen epochs, close together at first."""
    return sorted({round(epochs ** (k / _STOPS)) for k in range(_STOPS + 1)} | {epochs})


def _spec(stops: Sequence[int], bits: float | None, way: str | None) -> EnsembleSpec:
    return EnsembleSpec((0, *stops), None if bits is None else bits * NATS_PER_BIT, cast(Any, way))


def _print_plan(members: Sequence[Member], spec: EnsembleSpec, session: Session) -> None:
    """Say before the run how the networks will be trained and what that fills; the choice is kept in the store."""
    if session.run.quiet or session.run.json:
        return
    for group in planned(members, spec, context=session.running()):
        print(f"{len(group.members)} networks: {group.plan}{_each_of(session.jobs)}", file=sys.stderr)


def _each_of(jobs: int) -> str:
    return f" in each of {jobs} jobs" if jobs > 1 else ""


def _print_plans(asked: Sequence[tuple[list[Member], EnsembleSpec]], run: Run) -> None:
    """What the trainings would take, by a short trial."""
    context = RunContext(jobs=run.jobs or cores(), device=run.device)
    groups = [group for members, spec in asked for group in planned(members, spec, context=context)]
    trainings = sum(len(group.members) for group in groups)
    seconds = sum(group.plan.seconds * len(group.members) for group in groups) / context.jobs
    if run.json:
        plans = [
            {"networks": len(group.members), "way": group.plan.way.name, "together": group.plan.way.stacked,
             "bytes": group.plan.bytes_at_once}
            for group in groups
        ]  # fmt: skip
        cost = {"trainings": trainings, "seconds": round(seconds, 1), "jobs": context.jobs, "plans": plans}
        print(json.dumps({"dry_run": cost}))
        return
    print(f"This takes {trainings} trainings: {duration(seconds)} with {context.jobs} jobs, by a short trial.")
    for group in groups:
        print(f"{len(group.members)} networks: {group.plan}{_each_of(context.jobs)}.")
        for name, why in group.plan.closed.items():
            print(f"  not by {name}: {why}")


def _ways(ways: Sequence[Way]) -> str:
    return ", ".join(map(str, ways))


def _choices(one: DistanceResult, name: str, bits: float | None) -> str:
    parts = [f"{len(one.whole.names)} networks {name}, trained by {_ways(one.ways)}{_lost(one.failed)}"]
    if bits is not None and one.matched is None:
        parts.append(f"none came to the matched loss of {bits:.3g} bits")
    elif one.matched is not None:
        epochs = sorted(one.matched_epochs)
        parts.append(f"{len(epochs)} came to {bits:.3g} bits, after {epochs[0]} to {epochs[-1]} epochs")
    if one.other_start_nearer:
        nearer = list(one.other_start_nearer.items())
        some = "; ".join(f"{a} ends nearer to the start of {b}" for a, b in nearer[:3])
        parts.append(f"{len(nearer)} networks do not end nearest to their own start: {some}")
    if len(one.whole.names) > 1:
        printed = one.record()
        notes = next((r.measurement.receipt.notes for r in printed if r.measurement.quantity == "QMCM"), ())
        parts.extend(f"QMCM: {note}" for note in notes)
    return "; ".join(parts)


def _lost(failed: Mapping[str, str]) -> str:
    if not failed:
        return ""
    name, why = next(iter(failed.items()))
    return f"; {len(failed)} left out, such as {name}: {why}"


def _sentence(name: str, one: DistanceResult) -> str:
    mean = one.whole.mean()
    text = f"Training on {name} carried the weights {mean.value:.4g} far"
    if len(one.whole.names) > 1:
        text += f" (± {float(one.whole.values.std()):.2g} over {len(one.whole.names)} networks)"
    if one.matched is not None:
        text += f", and {one.matched.mean().value:.4g} by the time the loss was matched"
    return f"{text}."


def _figures(found: Mapping[str, DistanceResult]) -> list[Figure]:
    curves = []
    for name, one in found.items():
        epochs = list(one.curve)
        means = torch.tensor([m.value for m in one.curve.values()])
        spread = torch.tensor([_spread(m) for m in one.curve.values()])
        band = ((means - spread).tolist(), (means + spread).tolist()) if len(one.whole.names) > 1 else (None, None)
        curves.append(Line(name, epochs, means.tolist(), *band))
    layers = [
        Bars(name, list(one.whole.layers), [float(v.mean()) for v in one.whole.layers.values()])
        for name, one in found.items()
    ]
    intercept = "The intercept is the distance from start to end; the band is one standard deviation over networks."
    return [
        Figure("On the way to the final weights", "epoch", "d(w_t, w)", curves, caption=intercept),
        Figure("Layer by layer", "layer", "d(w0, w)", layers, caption="Mean over networks."),
    ]


def _spread(m: Measurement) -> float:
    reached = torch.tensor(list(m.replicates.values()))
    return float(reached.std()) if len(reached) > 1 else 0.0


def _picture(stacks: Sequence[StackedWeights], dimensions: int, network: torch.nn.Module) -> Picture:
    count = sum(len(next(iter(w.values()))) for w in stacks)
    if count > _MOST_FOR_GRAM:
        return landmark_mds(*stacks, dimensions=dimensions, parameters=network)
    return classical_mds(*stacks, dimensions=dimensions, parameters=network)


def _drawn(
    where: str,
    picture: Picture,
    population: Population,
    members: Sequence[Member],
    starts: int | None,
) -> Figure:
    """The first two axes; networks of one start in one colour."""
    axes = picture.points.shape[1]
    held = f"Its {axes} axes hold {picture.explained:.1%} of the variance, the first two are drawn."
    caption = f"{held} {picture.warning}".strip()
    title = f"Networks at the {where}"
    if starts is None:
        return Figure(title, "axis 1", "axis 2", [_cloud("networks", picture.points)], caption=caption)
    place = {m.called: i % starts for i, m in enumerate(members)}
    first = len(picture.points) - len(population)
    ends = picture.points[first:]
    own = torch.tensor([place[name] for name in population.names])
    clouds = [_cloud(f"ends from start {i + 1}", ends[own == i]) for i in range(starts)]
    shared = [_cloud("starts", picture.points[:first])] if first else []
    return Figure(title, "axis 1", "axis 2", [*shared, *clouds], caption=caption)


def _cloud(name: str, points: Tensor) -> Line:
    second = points[:, 1] if points.shape[1] > 1 else torch.zeros(len(points))
    return Line(name, points[:, 0].tolist(), second.tolist(), points=True)
