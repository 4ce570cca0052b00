"""What is measured of networks that were trained under deficits, and what a deficit costs: pure, from kept values."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from infoscope import __version__
from infoscope.data.task import Task
from infoscope.dynamics.critical_period.cells import Cell
from infoscope.dynamics.fisher_training.curve import CALIBRATED, RAW, FisherCurve
from infoscope.measurement import Measurement, Receipt, Status
from infoscope.model_information.performance import accuracy
from infoscope.prequential.codelength import model_information
from infoscope.prequential.loss_curve import LossCurve
from infoscope.record import Coordinate, Row
from infoscope.training.fit import settled
from infoscope.training.predict import Predictions

Key = tuple[Cell, int]
"""A cell and the seed of one of its networks."""

UNITS = {RAW: "nat", CALIBRATED: "1"}


@dataclass(frozen=True, eq=False)
class DeficitNetworks:
    """The networks that went to their end: what was watched, what they predict for clean examples, and their codes.

    A curve has a point at the start and one after every epoch. `initial` are the untrained networks' codes by seed.
    """

    tested: Task
    curves: Mapping[Key, FisherCurve]
    predictions: Mapping[Key, Predictions]
    initial: Mapping[int, LossCurve] = field(default_factory=dict)
    codes: Mapping[Key, LossCurve] = field(default_factory=dict)

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """All of which a network is left, the one without a deficit first."""
        return tuple(dict.fromkeys(cell for cell, _ in self.curves))

    @property
    def clean(self) -> Cell:
        """The one without a deficit."""
        return next(cell for cell in self.cells if not cell.length)

    def seeds(self, cell: Cell) -> list[int]:
        """Of a cell's networks."""
        return [seed for one, seed in self.curves if one == cell]

    def accuracy(self, cell: Cell) -> Measurement:
        """Of the trained networks on clean examples."""
        p = {seed: self.predictions[cell, seed].p.numpy() for seed in self.seeds(cell)}
        found = accuracy(p, self.tested.labels.numpy(), self._receipt("network on unseen clean examples", cell))
        return dataclasses.replace(found, status=self._status(cell))

    def accuracy_gap(self, cell: Cell) -> Measurement:
        """What of it the deficit has cost, seed by seed."""
        return self._gap("accuracy gap", self.accuracy(self.clean), self.accuracy(cell), cell)

    def information(self, cell: Cell) -> Measurement:
        """L(M, D) of the trained networks about the clean task."""
        seeds = self.seeds(cell)
        found = model_information([self.initial[seed] for seed in seeds], [self.codes[cell, seed] for seed in seeds])
        return dataclasses.replace(found, status=found.status | self._status(cell))

    def information_gap(self, cell: Cell) -> Measurement:
        """What of it the deficit has cost, seed by seed: the difference of two codes."""
        return self._gap("information gap", self.information(self.clean), self.information(cell), cell)

    def trace(self, cell: Cell, epoch: int, quantity: str = RAW) -> Measurement:
        """The Fisher trace after an epoch; the error is over seeds, or over examples and signs where there is one."""
        which = (RAW, CALIBRATED).index(quantity)
        found = {seed: self.curves[cell, seed].at(epoch)[which] for seed in self.seeds(cell)}
        if len(found) == 1:
            return next(iter(found.values()))
        values = {seed: one.value for seed, one in found.items()}
        receipt = dataclasses.replace(next(iter(found.values())).receipt, seeds=tuple(found), over="seeds")
        return Measurement.from_replicates(quantity, values, unit=UNITS[quantity], receipt=receipt)

    def traces(self, cell: Cell, quantity: str = RAW) -> list[Measurement]:
        """At the start and after every epoch."""
        return [self.trace(cell, epoch, quantity) for epoch in range(len(self._curve(cell)))]

    def peak(self, cell: Cell, quantity: str = RAW) -> Measurement:
        """The epoch after which the Fisher trace is highest, network by network."""
        which = (RAW, CALIBRATED).index(quantity)
        found = {}
        for seed in self.seeds(cell):
            curve = self.curves[cell, seed]
            found[seed] = float(np.nanargmax([curve.at(epoch)[which].value for epoch in range(len(curve))]))
        own = self._receipt("epoch of the highest trace of the Fisher information", cell)
        receipt = dataclasses.replace(own, n=self._curve(cell).receipt.n)
        return Measurement.from_replicates("peak of tr F", found, unit="1", receipt=receipt)

    def rows(self) -> list[Row]:
        """Of every cell: accuracy and L(M, D), and what the deficit cost of both; then the Fisher traces."""
        return [*self.rows_of_accuracy(), *(self._rows_of_codes() if self.codes else ()), *self._rows_of_traces()]

    def rows_of_accuracy(self) -> tuple[Row, ...]:
        """Accuracy and what the deficit cost of it."""
        found = []
        for cell in self.cells:
            found.append(Row(place(cell), self.accuracy(cell)))
            if cell.length:
                found.append(Row(place(cell), self.accuracy_gap(cell)))
        return tuple(found)

    def _rows_of_codes(self) -> list[Row]:
        found = []
        for cell in self.cells:
            found.append(Row(place(cell), self.information(cell)))
            if cell.length:
                found.append(Row(place(cell), self.information_gap(cell)))
        return found

    def _rows_of_traces(self) -> list[Row]:
        """At the start, at the deficit's end, where the mean over the networks is highest, and at the end.

        Without a deficit, and with one under the first control: the others are alike until it ends.
        """
        found, first = [], next((cell.control for cell in self.cells if cell.length), "none")
        for cell in (cell for cell in self.cells if not cell.length or cell.control == first):
            last = len(self._curve(cell)) - 1
            for quantity in (RAW, CALIBRATED):
                found.append(Row({**place(cell), "of": quantity}, self.peak(cell, quantity)))
                top = int(np.nanargmax([m.value for m in self.traces(cell, quantity)]))
                for epoch in sorted({0, *((cell.end,) if cell.length else ()), top, last}):
                    found.append(Row({**place(cell), "epoch": epoch}, self.trace(cell, epoch, quantity)))
        return found

    def _curve(self, cell: Cell) -> FisherCurve:
        return self.curves[cell, self.seeds(cell)[0]]

    def _gap(self, name: str, clean: Measurement, other: Measurement, cell: Cell) -> Measurement:
        common = [seed for seed in other.replicates if seed in clean.replicates]
        values = {seed: clean.replicates[seed] - other.replicates[seed] for seed in common}
        own = self._receipt("without the deficit − with it", cell)
        receipt = dataclasses.replace(own, n=clean.receipt.n, coder=clean.receipt.coder, seeds=tuple(common))
        return Measurement.from_replicates(
            name, values, unit=clean.unit, status=clean.status | other.status, receipt=receipt
        )

    def _receipt(self, method: str, cell: Cell) -> Receipt:
        return Receipt(
            method, self.tested.fingerprint[:16], self._curve(cell).receipt.model, n=len(self.tested),
            seeds=tuple(self.seeds(cell)), over="networks", notes=(cell.name,), version=__version__,
            device=self._curve(cell).receipt.device,
        )  # fmt: skip

    def _status(self, cell: Cell) -> frozenset[Status]:
        """Whether the training loss on what came after the deficit had ceased to fall."""
        after = [self.curves[cell, seed].losses[1 + cell.end :] for seed in self.seeds(cell)]
        unsettled = any(not settled(losses, stopping=False) for losses in after if losses)
        return frozenset({Status.NOT_CONVERGED} if unsettled else ())


def place(cell: Cell) -> dict[str, Coordinate]:
    """Where a cell's measurements stand in the record; without a deficit there is no onset."""
    if not cell.length:
        return {"deficit": "", "onset": None, "length": 0, "control": ""}
    return {"deficit": cell.deficit, "onset": cell.onset, "length": cell.length, "control": cell.control}


def told(m: Measurement) -> str:
    """A number and its error, in words.

    >>> told(Measurement("accuracy gap", 0.052, 0.0081, "1"))
    '0.052 ± 0.0081'
    """
    scale = m.printed / m.value if m.value else 1.0
    error = "" if math.isnan(m.stderr) else f" ± {m.stderr * scale:.2g}"
    return f"{m.printed:.3g}{error}" + (" bits" if m.unit == "nat" else "")
