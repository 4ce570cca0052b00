"""`infoscope plane`: the information plane of a training, of checkpoints, or of saved activations."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from infoscope.cli import values
from infoscope.cli.former_commands import Data, Run
from infoscope.cli.former_session import Session, cores, print_config
from infoscope.cli.mi import layer_method
from infoscope.cli.plane_cost import Cost, of_training
from infoscope.cli.plane_figures import figures
from infoscope.data.task import Task, coding_order
from infoscope.data.tishby import tishby
from infoscope.dynamics.checkpoints import checkpoints, plane_of_checkpoints
from infoscope.dynamics.plane_point import plane_point
from infoscope.dynamics.saved_activations import SavedActivations, plane_of_activations
from infoscope.dynamics.schedule import SCHEDULES, Logarithmic, Schedule
from infoscope.dynamics.specification import PlaneSpecification, PlaneStudy
from infoscope.dynamics.training import planes, table
from infoscope.mi.estimators.noisy import Noisy
from infoscope.mi.estimators.quantised import Quantised
from infoscope.mi.method import Method
from infoscope.models import MLP
from infoscope.models import model as named_model
from infoscope.models.quantised import QuantisationAware
from infoscope.observation.noise import WithNoise
from infoscope.record import Record
from infoscope.report.wording import duration
from infoscope.training.learner import Learner
from infoscope.training.recipe import Adam, Recipe

MOST_MEASURED = 4096
MOST_TRAINED = 10_000


@dataclass(frozen=True)
class Asked:
    """What the command line asks for; None where it says nothing."""

    what: str
    data: str | None
    model: str | None
    schedule: str | None
    estimator: str | None
    layers: tuple[str, ...]
    epochs: int | None
    train: int | None
    bits: int | None
    noise: float | None
    null: int
    reading: Data
    run: Run

    @property
    def chosen_schedule(self) -> Schedule:
        """The schedule; a logarithmic one where delta skip would measure each epoch for minutes."""
        if self.schedule is None:
            return Logarithmic(5) if self.noise is not None else SCHEDULES["delta"]
        return values.method(self.schedule, SCHEDULES)

    @property
    def method(self) -> Method:
        """The estimator; the exact one for a network that is quantised or noisy."""
        if self.estimator is not None:
            return layer_method(self.estimator)
        if self.bits is not None:
            return Quantised()
        if self.noise is not None:
            return Noisy(self.noise, 2048)
        return layer_method("idnns" if self.what == "tishby" else 'uniform(range="layer")')

    @property
    def kind(self) -> str:
        """Where the plane comes from: `activations`, `checkpoints` or `training`."""
        path = Path(self.what)
        if path.suffix == ".npz" and _holds_layers(path):
            return "activations"
        if path.is_dir() and self.data is not None:
            return "checkpoints"
        if path.is_dir() and _holds_checkpoints(path):
            raise ValueError(f"{path}: holds checkpoints; name the data to measure them on, and their network: "
                             f"infoscope plane {path} DATA --model NAME")  # fmt: skip
        return "training"


def plane(asked: Asked) -> None:
    """What do the layers know about input and label while the network trains?"""
    run = asked.run
    options = {k: v for k, v in vars(asked).items() if k not in ("what", "data", "reading", "run")}
    options = {"data": asked.what, "of": asked.data, **options, **vars(asked.reading)}
    if run.print_config:
        return print_config("plane", options, run)
    kind, schedule, method = asked.kind, asked.chosen_schedule, asked.method
    if kind != "training" and (asked.bits or asked.noise or asked.train or asked.epochs):
        raise ValueError(f"--bits, --noise, --train and --epochs are for a training; {asked.what} is one of {kind}")
    if run.dry_run:
        return _tell(_cost(asked, kind), run)
    session = Session("plane", run, options)
    facts = {"estimator": repr(method), "schedule": repr(schedule)}
    record, stopped = Record(), ""
    try:
        if kind == "activations":
            plane_of_activations(asked.what, method=method, null=asked.null, record=record)
        elif kind == "checkpoints":
            _of_checkpoints(asked, session, record)
    except ValueError as error:
        if not len(record):
            raise
        stopped = str(error)
    if kind == "training":
        record, stopped = _of_training(asked, session, facts)
    else:
        record = _with_seed(record, run.seed)
    _finish(session, record, f"Information plane of {asked.what}", facts)
    if stopped:
        raise ValueError(f"{stopped}. What was measured before it is shown, and kept in {session.root}")


def _tell(cost: Cost, run: Run) -> None:
    jobs = min(run.jobs or cores(), max(cost.trainings, 1))
    seconds = cost.seconds / jobs
    if run.json:
        print(json.dumps({"dry_run": {**dataclasses.asdict(cost), "seconds": round(seconds, 1), "jobs": jobs}}))
        return
    trainings = f"{_many(cost.trainings, 'training')} of {_many(cost.epochs, 'epoch')}" * bool(cost.trainings)
    measured = f"{'about ' * cost.decided}{_many(cost.measured, 'measured epoch')}"
    told = f"{duration(seconds)} with {_many(jobs, 'job')}, by a short trial"
    print(f"This takes {trainings or 'no training'} and {measured}: {told}.")


def _many(n: int, what: str) -> str:
    return f"{n} {what}{'s' * (n != 1)}"


def _cost(asked: Asked, kind: str) -> Cost:
    """What a run would take."""
    schedule, method = asked.chosen_schedule, asked.method
    if kind == "activations":
        return Cost(measured=len(SavedActivations.of(asked.what).epochs))
    if kind == "checkpoints":
        network, train, test = _measured_with(asked)
        wanted = PlaneSpecification.of(train, test, layers=asked.layers or None, method=method, null=asked.null)
        return of_training(schedule, len(checkpoints(asked.what)) - 1, lambda: plane_point(wanted, network))
    learner, train, study = _training(asked)
    return of_training(schedule, learner.recipe.epochs, None, learner, train, study, asked.run.orders)


def _of_training(asked: Asked, session: Session, facts: dict[str, str]) -> tuple[Record, str]:
    """`tishby`, DATA, or a factory and DATA; and why a training stopped, if one did."""
    learner, train, study = _training(asked)
    facts |= {
        "network": repr(learner.factory),
        "training": f"{learner.recipe.epochs} epochs on {len(train):,} examples",
    }
    run = session.run
    with session.progress(run.orders, "training"):
        curves = planes(
            learner, train, dataclasses.replace(study, store=session.store), replicates=run.orders, seed=run.seed,
            device=run.device, store=session.store, jobs=session.jobs, on_done=session.running().on_done,
        )  # fmt: skip
    stopped = next((f"seed {seed}: {c.stopped}" for seed, c in enumerate(curves, start=run.seed) if c.stopped), "")
    return table(curves, run.seed), stopped


def _training(asked: Asked) -> tuple[Learner, Task, PlaneStudy]:
    """The learner, what it trains on, and what is measured meanwhile."""
    run, what, model = asked.run, asked.what, asked.model
    if asked.data is not None:
        what, model = asked.data, model or what
    if what == "tishby":
        task, learner = tishby(), Learner(MLP((10, 7, 5, 4, 3), "tanh"), Recipe(Adam(4e-4), batch=512, epochs=8000))
        if model is not None:
            learner = dataclasses.replace(learner, factory=named_model(model))
        # As in the paper: trained on four fifths of the patterns, measured on all.
        train, measured, test = task[coding_order(len(task), run.seed)[: asked.train or 3277]], task, None
    else:
        task = _data(what, asked)
        _, learner = values.learner_for(task, model)
        learner = dataclasses.replace(learner, recipe=dataclasses.replace(learner.recipe, epochs=20))
        train, test = _parts(task, run.seed)
        train = train[: asked.train or MOST_TRAINED]
        most = run.examples or MOST_MEASURED
        measured, test = train[:most], test[:most]
    factory = learner.factory
    if asked.bits is not None:
        factory = QuantisationAware(factory, asked.bits)
    if asked.noise is not None:
        factory = WithNoise(factory, asked.noise, asked.layers or None)
    recipe = dataclasses.replace(learner.recipe, epochs=asked.epochs or learner.recipe.epochs, patience=None)
    wanted = PlaneSpecification.of(measured, test, layers=asked.layers or None, method=asked.method, null=asked.null)
    return (
        dataclasses.replace(learner, factory=factory, recipe=recipe),
        train,
        PlaneStudy(wanted, asked.chosen_schedule),
    )


def _data(what: str, asked: Asked) -> Task:
    try:
        (task,) = values.tasks_from(what, asked.reading)
    except ValueError as error:
        if ":" not in what or asked.data is not None:
            raise
        raise ValueError(f"{error}; if {what} is a factory, name its data too: infoscope plane {what} DATA") from error
    return task


def _parts(task: Task, seed: int) -> tuple[Task, Task]:
    """The training and test parts: the task's own, or four fifths and the rest."""
    if "train" in task.splits and "test" in task.splits:
        return task["train"].shuffled(seed), task["test"].shuffled(seed)
    shuffled = task.shuffled(seed)
    return shuffled[: 4 * len(task) // 5], shuffled[4 * len(task) // 5 :]


def _of_checkpoints(asked: Asked, session: Session, record: Record) -> None:
    network, train, test = _measured_with(asked)
    plane_of_checkpoints(
        asked.what, network, train, test=test, layers=asked.layers or None, method=asked.method,
        schedule=asked.chosen_schedule, store=session.store, jobs=session.jobs, null=asked.null,
        device=session.run.device, record=record,
    )  # fmt: skip


def _measured_with(asked: Asked):
    """The network of the checkpoints, and the examples of both sides."""
    if asked.model is None:
        raise ValueError("checkpoints hold weights only; name their network with --model")
    assert asked.data is not None  # what makes it one of checkpoints
    (task,) = values.tasks_from(asked.data, asked.reading)
    train, test = _parts(task, asked.run.seed)
    most = asked.run.examples or MOST_MEASURED
    return named_model(asked.model)(task.shape, task.classes), train[:most], test[:most]


def _holds_layers(path: Path) -> bool:
    """Whether an .npz holds activations rather than a data set."""
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    try:
        with np.load(path, allow_pickle=False) as file:
            return bool(set(file.files) - {"x", "X", "y", "Y", "classes"})
    except Exception as error:  # numpy and zipfile each raise their own
        raise ValueError(f"{path}: cannot be read as .npz ({(str(error).splitlines() or [''])[0][:120]})") from error


def _holds_checkpoints(folder: Path) -> bool:
    try:
        return bool(checkpoints(folder))
    except ValueError:
        return False


def _with_seed(record: Record, seed: int) -> Record:
    told = Record()
    for row in sorted(record, key=lambda row: int(row.coordinates["epoch"] or 0)):
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
