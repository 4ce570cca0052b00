"""`infoscope plane`: the information plane of a training, of checkpoints, or of saved activations."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from infoscope.cli import values
from infoscope.cli.app import Data, Run
from infoscope.cli.session import Session, print_config
from infoscope.dynamics.checkpoints import plane_of_checkpoints
from infoscope.dynamics.saved_activations import plane_of_activations
from infoscope.dynamics.training import Watched, planes, table
from infoscope.learn.learner import Adam, Learner, Recipe
from infoscope.learn.schedule import SCHEDULES, Schedule
from infoscope.learn.task import Task, coding_order
from infoscope.learn.tishby import tishby
from infoscope.measurement import Measurement
from infoscope.mi.method import Method
from infoscope.mi.methods import METHODS
from infoscope.models import MLP
from infoscope.models import model as named_model
from infoscope.record import Record
from infoscope.report import Figure, Line

MOST_MEASURED = 4096
QUANTITIES = ("I(X;T)", "I(T;Y)")


def plane(
    what: str,
    data: str | None,
    model: str | None,
    schedule: str,
    estimator: str | None,
    layers: tuple[str, ...],
    epochs: int | None,
    null: int,
    reading: Data,
    run: Run,
) -> None:
    """What do the layers know about input and label while the network trains?"""
    given = {"model": model, "schedule": schedule, "estimator": estimator, "layers": layers, "epochs": epochs}
    options = {"data": what, "of": data, **given, "null": null, **vars(reading)}
    if run.print_config:
        return print_config("plane", options, run)
    if run.dry_run:
        raise ValueError("plane has no --dry-run; try a short one with --epochs 10 --orders 1")
    chosen = values.method(schedule, SCHEDULES)
    method = values.method(estimator or ("idnns" if what == "tishby" else 'uniform(range="layer")'), METHODS)
    session = Session("plane", run, options)
    if Path(what).suffix == ".npz" and _holds_layers(Path(what)):
        record = _with_seed(plane_of_activations(what, method=method, null=null), run.seed)
    elif Path(what).is_dir() and data is not None:
        record = _with_seed(
            _of_checkpoints(what, data, model, chosen, method, layers, null, reading, session), run.seed
        )
    else:
        record = _of_training(what, data, model, chosen, method, layers, epochs, null, reading, session)
    facts = {"estimator": repr(method), "schedule": repr(chosen)}
    _finish(session, record, f"Information plane of {what}", facts)


def _of_training(
    what: str,
    data: str | None,
    model: str | None,
    schedule: Schedule,
    method: Method,
    layers: tuple[str, ...],
    epochs: int | None,
    null: int,
    reading: Data,
    session: Session,
) -> Record:
    """`tishby`, DATA, or a factory and DATA."""
    if data is not None:
        what, model = data, model or what
    run = session.run
    if what == "tishby":
        task, learner = tishby(), Learner(MLP((10, 7, 5, 4, 3), "tanh"), Recipe(Adam(4e-4), batch=512, epochs=8000))
        if model is not None:
            learner = dataclasses.replace(learner, factory=named_model(model))
        # As in the paper: trained on four fifths of the patterns, measured on all.
        train, measured, test = task[coding_order(len(task), run.seed)[:3277]], task, None
    else:
        (task,) = values.tasks_from(what, reading)
        _, learner = values.learner_for(task, model)
        learner = dataclasses.replace(learner, recipe=dataclasses.replace(learner.recipe, epochs=50))
        train, test = _parts(task, run.seed)
        most = run.examples or MOST_MEASURED
        measured, test = train[:most], test[:most]
    recipe = dataclasses.replace(learner.recipe, epochs=epochs or learner.recipe.epochs, patience=None)
    watched = Watched(measured, test, layers or None, method, schedule, null, session.store)
    seeds = range(run.seed, run.seed + run.orders)
    with session.progress(len(seeds), "training"):
        running = session.running()
        curves = planes(
            dataclasses.replace(learner, recipe=recipe), train, watched, seeds=seeds, device=run.device,
            store=session.store, jobs=session.jobs, on_done=running.on_done,
        )  # fmt: skip
    return table(curves, seeds)


def _parts(task: Task, seed: int) -> tuple[Task, Task]:
    """The training and test parts: the task's own, or four fifths and the rest."""
    if "train" in task.splits and "test" in task.splits:
        return task["train"], task["test"]
    shuffled = task.shuffled(seed)
    return shuffled[: 4 * len(task) // 5], shuffled[4 * len(task) // 5 :]


def _of_checkpoints(
    folder: str,
    data: str,
    model: str | None,
    schedule: Schedule,
    method: Method,
    layers: tuple[str, ...],
    null: int,
    reading: Data,
    session: Session,
) -> Record:
    if model is None:
        raise ValueError("checkpoints hold weights only; name their network with --model")
    (task,) = values.tasks_from(data, reading)
    train, test = _parts(task, session.run.seed)
    most = session.run.examples or MOST_MEASURED
    network = named_model(model)(task.shape, task.classes)
    return plane_of_checkpoints(
        folder, network, train[:most], test=test[:most], layers=layers or None, method=method, schedule=schedule,
        store=session.store, jobs=session.jobs, null=null, device=session.run.device,
    )  # fmt: skip


def _holds_layers(path: Path) -> bool:
    """Whether an .npz holds activations rather than a data set."""
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    with np.load(path, allow_pickle=False) as file:
        return bool(set(file.files) - {"x", "X", "y", "Y", "classes"})


def _with_seed(record: Record, seed: int) -> Record:
    told = Record()
    for row in record:
        told.append(row.measurement, seed=seed, **row.coordinates)
    return told


def _finish(session: Session, record: Record, title: str, facts: dict[str, str]) -> None:
    """All rows go to `plane.jsonl`; the report's table and the terminal show the last epoch."""
    path = session.root / "plane.jsonl"
    path.unlink(missing_ok=True)
    whole = Record(path)
    for row in record:
        whole.append(row.measurement, **row.coordinates)
    last = {row.coordinates["seed"]: row.coordinates["epoch"] for row in record}
    for row in record:
        if row.coordinates["epoch"] == last[row.coordinates["seed"]]:
            session.record.append(row.measurement, **row.coordinates)
    epochs = {(row.coordinates["seed"], row.coordinates["epoch"]) for row in record}
    lead = f"{len(epochs):,} epochs measured of {len(last)} trainings, the last shown below; all are in plane.jsonl."
    session.finish(title, figures(record), facts, lead=lead)


def figures(record: Record) -> list[Figure]:
    """The plane as a walk through the epochs, and both informations against the epoch, a side at a time."""
    sides = list(dict.fromkeys(str(row.coordinates["side"]) for row in record))
    return [figure for side in sides for figure in _of_side(record, side, side if len(sides) > 1 else "")]


def _of_side(record: Record, side: str, told: str) -> list[Figure]:
    epochs, layers = _means(record, side)
    if not layers:
        return []
    suffix = f", {told}" if told else ""
    walk = [Line(layer, *both) for layer, both in layers.items()]
    names = [f"epoch {epoch}" for epoch in epochs]
    caption = "A path a layer, from the first epoch to the slider's; the mean over seeds where there are several."
    shown = [
        Figure(f"The information plane{suffix}", "I(X;T), bit", "I(T;Y), bit", walk, caption=caption, frames=names)
    ]
    for i, quantity in enumerate(QUANTITIES):
        lines = [Line(layer, [epoch + 1 for epoch in epochs], both[i]) for layer, both in layers.items()]
        shown.append(Figure(f"{quantity} while training{suffix}", "epoch + 1", f"{quantity}, bit", lines, log_x=True))
    return shown


def _means(record: Record, side: str) -> tuple[list[int], dict[str, tuple[list[float], list[float]]]]:
    """Epochs, and I(X;T) and I(T;Y) of each layer in bits, straight lines between the epochs that a seed measured."""
    curves: dict[tuple[str, str, object], list[tuple[int, Measurement]]] = {}
    for row in record:
        place = row.coordinates
        if place["side"] == side:
            at = str(place["layer"]), row.measurement.quantity, place["seed"]
            curves.setdefault(at, []).append((int(place["epoch"] or 0), row.measurement))
    epochs = sorted({epoch for curve in curves.values() for epoch, _ in curve})
    layers = list(dict.fromkeys(layer for layer, _, _ in curves))

    def mean(layer: str, quantity: str) -> list[float]:
        own = [curve for (name, what, _), curve in curves.items() if (name, what) == (layer, quantity)]
        return np.mean([_on(curve, epochs) for curve in own], axis=0).tolist()

    return epochs, {layer: (mean(layer, "I(X;T)"), mean(layer, "I(T;Y)")) for layer in layers}


def _on(curve: Sequence[tuple[int, Measurement]], epochs: Sequence[int]) -> np.ndarray:
    return np.interp(epochs, [epoch for epoch, _ in curve], [m.bits for _, m in curve])
