"""What the question of critical periods comes to."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from infoscope.data.partition import Partition
from infoscope.dynamics.critical_period.cells import Cell
from infoscope.dynamics.critical_period.networks import DeficitNetworks, place, told
from infoscope.dynamics.fisher_training.curve import CALIBRATED, RAW
from infoscope.figure import Figure, Grid, Line
from infoscope.measurement import Measurement
from infoscope.record import Record

FOLLOWS = {
    "none": "with what is left of the epochs",
    "steps": "with as many clean steps",
    "rate": "with the learning rate restarted",
    "both": "with both",
}
"""What follows a deficit, in words."""


@dataclass(frozen=True)
class CriticalPeriodAnswer:
    """What `CriticalPeriod` comes to; trainings that broke off are left out, and told.

    `epochs` are those of a training without deficit, `lost` says why a network is missing, `notes` what was chosen.
    """

    model: str
    parts: Partition
    epochs: int
    networks: DeficitNetworks
    lost: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def cells(self) -> tuple[Cell, ...]:
        """All of which a network is left."""
        return self.networks.cells

    @property
    def deficits(self) -> tuple[str, ...]:
        """By name."""
        return tuple(dict.fromkeys(cell.deficit for cell in self.cells if cell.length))

    @property
    def stopped(self) -> str:
        """Why a training broke off, where one did."""
        return next((f"{name}: {why}" for name, why in self.lost.items()), "")

    @property
    def title(self) -> str:
        """Critical periods of this network."""
        return f"Critical periods of {self.model} on {self.parts.train.name}"

    def record(self) -> Record:
        """Of every cell accuracy, L(M, D), and what the deficit cost of both; Fisher traces under the first control."""
        return Record.of(self.networks.rows())

    def figures(self) -> Sequence[Figure]:
        """Accuracy and L(M, D) against the deficit's end, the Fisher traces, and onset × length."""
        return [
            *(self._against_end(deficit, "accuracy") for deficit in self.deficits),
            *(self._against_end(deficit, "L(M,D)") for deficit in self.deficits if self.networks.codes),
            self._traces(RAW),
            self._traces(CALIBRATED),
            *(figure for deficit in self.deficits for figure in self._heat(deficit)),
        ]

    def sentence(self) -> str:
        """What the longest deficit cost, under each control, and where the Fisher information is highest."""
        nets = self.networks
        peaks = " and ".join(
            f"{name} after epoch {told(nets.peak(nets.clean, of))}"
            for of, name in ((RAW, "tr F"), (CALIBRATED, "its calibrated form"))
        )
        clean = f"Without a deficit accuracy is {told(nets.accuracy(nets.clean))}; highest are {peaks}."
        return " ".join([*(self._cost(deficit) for deficit in self.deficits), clean])

    def choices(self) -> Mapping[str, str]:
        """The network, the sizes, what was left out, and what broke off."""
        parts = self.parts
        sizes = f"trained on {len(parts.train)}, {len(parts.validation)} set aside, tested on {len(parts.coded)} others"
        found = {"Network": self.model, "Data": "; ".join((sizes, *parts.notes[1:]))}
        if not self.networks.codes:
            found["Codes"] = "none: L(M,D) was left out"
        if self.lost:
            found["broke off"] = "; ".join(f"{name}: {why}" for name, why in self.lost.items())
        return {**found, **self.notes}

    def write(self, folder: Path) -> Mapping[str, str]:
        """The Fisher traces of every network after every epoch, by layer, to `fisher.jsonl`."""
        path = folder / "fisher.jsonl"
        path.unlink(missing_ok=True)
        kept = Record(path)
        for (cell, seed), curve in self.networks.curves.items():
            for row in curve.record():
                kept.append(row.measurement, seed=seed, **place(cell), **row.coordinates)
        return {"the Fisher traces after every epoch": str(path)}

    def of(self, deficit: str, control: str, onset: int | None = None) -> list[Cell]:
        """The cells of a deficit and a control, of one onset or of all."""
        wanted = [cell for cell in self.cells if cell.length and (cell.deficit, cell.control) == (deficit, control)]
        return [cell for cell in wanted if onset is None or cell.onset == onset]

    def longest(self, deficit: str, control: str) -> Cell | None:
        """The cell of the longest deficit, the earliest of these."""
        return max(self.of(deficit, control), key=lambda cell: (cell.length, -cell.onset), default=None)

    def controls(self, deficit: str) -> tuple[str, ...]:
        """What was made to follow a deficit."""
        return tuple(dict.fromkeys(cell.control for cell in self.cells if cell.deficit == deficit and cell.length))

    def _cost(self, deficit: str) -> str:
        """What is lost by the longest deficit that all controls have."""
        controls = self.controls(deficit)
        spans = [{(cell.onset, cell.length) for cell in self.of(deficit, control)} for control in controls]
        onset, length = max(set.intersection(*spans) or spans[0], key=lambda span: (span[1], -span[0]))
        nets, parts = self.networks, []
        for control in controls:
            for cell in self.of(deficit, control, onset):
                if cell.length == length:
                    parts.append(f"{told(nets.accuracy_gap(cell))} {FOLLOWS[control]}")
        return f"{deficit} in epochs {onset} to {onset + length} of {self.epochs} costs accuracy of {', '.join(parts)}."

    def _against_end(self, deficit: str, quantity: str) -> Figure:
        nets, lines, ends = self.networks, [], set[int]()
        measure = nets.accuracy if quantity == "accuracy" else nets.information
        for control in self.controls(deficit):
            for onset in dict.fromkeys(cell.onset for cell in self.of(deficit, control)):
                cells = self.of(deficit, control, onset)
                ends |= {cell.end for cell in cells}
                name = f"control {control}" + (f", onset {onset}" if onset else "")
                lines.append(line(name, [cell.end for cell in cells], [measure(cell) for cell in cells]))
        clean = measure(nets.clean)
        lines.append(Line("no deficit", sorted(ends), [clean.printed] * len(ends), dash=True))
        label = "accuracy on clean examples" if quantity == "accuracy" else "L(M,D) (bits)"
        return Figure(f"Final {quantity} after {deficit}", "epoch at which the deficit ends", label, lines)

    def _traces(self, quantity: str) -> Figure:
        nets = self.networks
        found = [nets.clean]
        for deficit in self.deficits:
            cell = self.longest(deficit, self.controls(deficit)[0])
            found += [cell] if cell else []
        lines = [line(cell.name, range(len(nets.traces(cell))), nets.traces(cell, quantity)) for cell in found]
        label = "tr F (bits an example)" if quantity == RAW else "tr F / mean p (1 − p)"
        title = "Fisher information during training" + ("" if quantity == RAW else ", calibrated")
        return Figure(title, "epoch", label, lines)

    def _heat(self, deficit: str) -> list[Figure]:
        """Where there are several onsets and several lengths, one for each control."""
        found = []
        for control in self.controls(deficit):
            cells = {(cell.onset, cell.length): cell for cell in self.of(deficit, control)}
            onsets, lengths = (sorted({key[i] for key in cells}) for i in (0, 1))
            if len(onsets) < 2 or len(lengths) < 2:
                continue
            gaps = {key: self.networks.accuracy_gap(cell) for key, cell in cells.items()}
            values, errors = (
                [[getattr(gaps[o, n], part) if (o, n) in gaps else math.nan for n in lengths] for o in onsets]
                for part in ("value", "stderr")
            )
            shown = Grid("accuracy gap", list(map(str, onsets)), list(map(str, lengths)), values, errors)
            title = f"What {deficit} costs of accuracy, control {control}"
            found.append(Figure(title, "length (epochs)", "onset (epoch)", grid=shown))
        return found


def line(name: str, x: Sequence[float], found: Sequence[Measurement]) -> Line:
    """A curve with a band of one standard error, where there is one."""
    y, errors = [m.printed for m in found], [m.printed_error for m in found]
    if any(math.isnan(error) for error in errors):
        return Line(name, x, y)
    return Line(
        name, x, y, [v - e for v, e in zip(y, errors, strict=True)], [v + e for v, e in zip(y, errors, strict=True)]
    )
