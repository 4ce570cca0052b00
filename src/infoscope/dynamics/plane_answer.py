"""What the question of the plane comes to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from infoscope.dynamics.plane_curve import PlaneCurve, table
from infoscope.dynamics.plane_figures import figures
from infoscope.figure import Figure
from infoscope.record import Record


@dataclass(frozen=True)
class PlaneAnswer:
    """What `Plane` comes to: a curve for each training, or one of what was left by one.

    `chosen` is what was chosen for the caller.
    """

    name: str
    curves: tuple[PlaneCurve, ...]
    seed: int
    trained: bool
    chosen: Mapping[str, str]

    @property
    def title(self) -> str:
        """The information plane of this."""
        return f"Information plane of {self.name}"

    @property
    def stopped(self) -> str:
        """Why a training or the measuring ended early, where one did."""
        stopped = ((seed, curve.stopped) for seed, curve in enumerate(self.curves, self.seed) if curve.stopped)
        return next((f"seed {seed}: {why}" if self.trained else why for seed, why in stopped), "")

    def whole_record(self) -> Record:
        """All rows, at coordinates seed, epoch, side and layer."""
        return table(self.curves, self.seed)

    def record(self) -> Record:
        """The rows of the last epoch of each training."""
        last = Record()
        for seed, curve in enumerate(self.curves, self.seed):
            for row in curve.rows:
                if row.coordinates["epoch"] == curve.epochs[-1]:
                    last.append(row.measurement, seed=seed, **row.coordinates)
        return last

    def figures(self) -> Sequence[Figure]:
        """The path through the epochs, and both informations against the epoch."""
        return figures(self.whole_record())

    def sentence(self) -> str:
        """How many epochs were measured, and of how many trainings."""
        epochs, n = sum(len(curve.epochs) for curve in self.curves), len(self.curves)
        counted = f"{epochs:,} epoch{'s' * (epochs != 1)} measured"
        of = f" of {n} training{'s' * (n != 1)}" if self.trained else ""
        return f"{counted}{of}, the last shown below; all are in plane.jsonl."

    def choices(self) -> Mapping[str, str]:
        """Estimator and schedule; network and training where there was one."""
        return self.chosen

    def write(self, folder: Path) -> Mapping[str, str]:
        """Every epoch, to `plane.jsonl`."""
        path = folder / "plane.jsonl"
        path.unlink(missing_ok=True)
        kept = Record(path)
        for row in self.whole_record():
            kept.append(row.measurement, **row.coordinates)
        return {"every epoch": str(path)}
