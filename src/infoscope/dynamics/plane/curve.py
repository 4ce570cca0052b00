"""What one training, one folder of checkpoints or one file of activations shows of the plane."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from infoscope.dynamics.plane.study_run import PlaneStopped
from infoscope.measurement import Measurement
from infoscope.record import Record, Row


@dataclass(frozen=True)
class PlaneCurve:
    """Rows by epoch, and the training loss of every epoch in nats if there was a training.

    `stopped` says why the training or its measuring ended early, where it did; the rows are those before it.
    """

    rows: tuple[Row, ...]
    losses: tuple[float, ...] = ()
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

    @classmethod
    def of(cls, measure: Callable[[], Record]) -> PlaneCurve:
        """What `measure` gives, or had when it stopped; what stops it before the first row is raised."""
        try:
            return cls(tuple(measure()))
        except PlaneStopped as error:
            if not len(error.record):
                raise
            return cls(tuple(error.record), stopped=str(error))


def table(curves: Sequence[PlaneCurve], seed: int = 0, **coordinates: Any) -> Record:
    """The rows of several curves, with the seed among their coordinates: this one for the first, then the next."""
    record = Record()
    for own, curve in enumerate(curves, start=seed):
        for row in curve.rows:
            record.append(row.measurement, **coordinates, seed=own, **row.coordinates)
    return record
