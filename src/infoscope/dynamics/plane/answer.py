"""What the question of the plane comes to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from infoscope.dynamics.plane import compression
from infoscope.dynamics.plane.curve import PlaneCurve, table
from infoscope.dynamics.plane.figures import figures
from infoscope.dynamics.plane.paths import paths, sides
from infoscope.figure import Figure
from infoscope.record import Record


@dataclass(frozen=True)
class PlaneAnswer:
    """What `Plane` comes to: a curve for each training, or one of what was left by one.

    `chosen` is what was chosen for the caller; `following` are the methods whose scale follows the layer's, as in
    `paths`.
    """

    name: str
    curves: tuple[PlaneCurve, ...]
    seed: int
    trained: bool
    chosen: Mapping[str, str]
    following: frozenset[str] = frozenset()

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
        """The paths through the epochs, the layers joined, and both informations against the epoch."""
        return figures(self.whole_record())

    def sentence(self) -> str:
        """What compresses, by how much and in how many networks; then how many epochs were measured."""
        whole = self.whole_record()
        found = compression.falls(paths(whole, sides(whole)[0], self.following)) if len(whole) else []
        several = any(len(curve.epochs) > 1 for curve in self.curves)
        return " ".join([compression.told(found)] * several + [self._counted()])

    def _counted(self) -> str:
        epochs, n = sum(len(curve.epochs) for curve in self.curves), len(self.curves)
        counted = f"{epochs:,} epoch{'s' * (epochs != 1)} measured"
        of = f" of {n} training{'s' * (n != 1)}" if self.trained else ""
        return f"{counted}{of}, the last shown below; all are in plane.jsonl."

    def choices(self) -> Mapping[str, str]:
        """The estimator of every layer, and schedule; network and training where there was one."""
        return {"estimator": self._estimators(), **self.chosen}

    def _estimators(self) -> str:
        """As the receipts name them; with its layers where there are several."""
        layers: dict[str, list[str]] = {}
        for row in self.whole_record():
            of = layers.setdefault(row.measurement.receipt.method, [])
            if (layer := str(row.coordinates["layer"])) not in of:
                of.append(layer)
        if len(layers) < 2:
            return next(iter(layers), "")
        return "; ".join(f"{method} for {', '.join(of)}" for method, of in layers.items())

    def write(self, folder: Path) -> Mapping[str, str]:
        """Every epoch, to `plane.jsonl`."""
        path = folder / "plane.jsonl"
        path.unlink(missing_ok=True)
        kept = Record(path)
        for row in self.whole_record():
            kept.append(row.measurement, **row.coordinates)
        return {"every epoch": str(path)}
