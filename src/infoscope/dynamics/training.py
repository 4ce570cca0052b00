"""The plane of whole trainings, one for each seed, as looks: an interrupted run goes on where it stopped."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from infoscope.dynamics.information_plane import InformationPlane
from infoscope.learn.fit import Moment, fit
from infoscope.learn.learner import Learner
from infoscope.learn.look import Look, look
from infoscope.learn.schedule import Every, Schedule
from infoscope.learn.task import Task
from infoscope.measurement import Measurement
from infoscope.mi.binning import Uniform
from infoscope.mi.method import Method
from infoscope.record import Record, Row
from infoscope.run import Store, Work
from infoscope.run.progress import report


@dataclass(frozen=True)
class PlaneCurve:
    """What one training left on the plane: rows by epoch, and the training loss of every epoch in nats.

    `stopped` says why the training or its measuring ended early, where it did; the rows are those before it.
    """

    rows: tuple[Row, ...]
    losses: tuple[float, ...]
    stopped: str = ""

    @property
    def epochs(self) -> tuple[int, ...]:
        """The epochs that were measured."""
        return tuple(dict.fromkeys(int(row.coordinates["epoch"] or 0) for row in self.rows))

    def to_bytes(self) -> bytes:
        """As JSON."""
        rows = [(row.coordinates, row.measurement.to_json()) for row in self.rows]
        return json.dumps({"rows": rows, "losses": self.losses, "stopped": self.stopped}).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> PlaneCurve:
        """The value that `to_bytes` wrote."""
        held = json.loads(data)
        rows = tuple(Row(coordinates, Measurement.from_json(m)) for coordinates, m in held["rows"])
        return cls(rows, tuple(held["losses"]), held["stopped"])


@dataclass(frozen=True)
class Watched:
    """How a training is watched: the examples that are measured, layers, estimator, schedule.

    `store` keeps every epoch that is measured; what the training gives does not depend on it.
    """

    task: Task
    test: Task | None = None
    layers: tuple[str, ...] | None = None
    method: Method = Uniform(30, "layer")
    schedule: Schedule = Every()
    null: int = 0
    store: Store | None = field(default=None, compare=False)


def planes(
    learner: Learner,
    task: Task,
    watched: Watched,
    *,
    seeds: Sequence[int] = (0,),
    device: str = "cpu",
    store: Store | None = None,
    jobs: int = 1,
    on_done: Callable[[Work], None] | None = None,
) -> list[PlaneCurve]:
    """Train on `task` once a seed, from its initial weights (epoch 0) on, and record the plane.

    >>> from infoscope.learn.learner import Recipe
    >>> from infoscope.learn.tishby import tishby
    >>> from infoscope.models import MLP
    >>> task = tishby()[::64]
    >>> (curve,) = planes(Learner(MLP((3,), "tanh"), Recipe(epochs=4)), task, Watched(task, schedule=Every(2)))
    >>> curve.epochs, len(curve.rows)  # two layers, two quantities
    ((0, 2, 4), 12)
    """
    looks = [Look(watch, (learner, task, watched, seed, device), PlaneCurve, 2, f"seed-{seed}") for seed in seeds]
    curves = look(looks, store, jobs=jobs, on_done=on_done)
    for one in (curve for curve in curves if curve.stopped):
        warnings.warn(f"a training ended early, what was measured before is kept: {one.stopped}", stacklevel=2)
    return curves


def watch(learner: Learner, task: Task, watched: Watched, seed: int, device: str) -> PlaneCurve:
    """One training."""
    plane = InformationPlane(
        watched.task, test=watched.test, layers=watched.layers, method=watched.method, schedule=watched.schedule,
        null=watched.null, store=watched.store,
    )  # fmt: skip
    plane.step(learner.network(task.shape, task.classes, seed).to(device), 0)
    told = _Told(learner.recipe.epochs)
    try:
        losses = fit(learner, task, seed=seed, device=device, observers=[plane, told]).losses
        return PlaneCurve(tuple(plane.record()), losses)
    except ValueError as error:
        rows = tuple(plane.record())
        if not rows:
            raise
        return PlaneCurve(rows, (), str(error))


def table(curves: Sequence[PlaneCurve], seeds: Sequence[int], **coordinates: Any) -> Record:
    """The rows of several trainings, with the seed among their coordinates."""
    record = Record()
    for seed, curve in zip(seeds, curves, strict=True):
        for row in curve.rows:
            record.append(row.measurement, **coordinates, seed=seed, **row.coordinates)
    return record


@dataclass(frozen=True)
class _Told:
    """An observer that tells how far the training is."""

    epochs: int

    def observe(self, moment: Moment) -> None:
        if moment.end_of_epoch:
            report(moment.epoch + 1, self.epochs)
