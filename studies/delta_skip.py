"""What delta skip saves on the 12-bit network, and how far its curves are from those of every epoch, over seeds."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np

from infoscope.data.tishby import tishby
from infoscope.dynamics.schedule import DeltaSkipApproximate, DeltaSkipExact, Schedule
from infoscope.mi.method import Method
from infoscope.mi.methods import METHODS
from infoscope.options import AtLeast, check_fields
from infoscope.run import Store
from infoscope.run.context import RunContext
from infoscope.run.look import Look, look
from infoscope.run.progress import report
from infoscope.run.question import Stages
from infoscope.run.study import StudyAnswer
from printed import printed
from trajectories import Numbers, Training, Trajectory, about, place, replicated

TOLERANCE = 0.05  # bit


def dense(trajectory: Trajectory, method: Method) -> Numbers:
    """I(X;T) and I(T;Y) of each hidden layer at every epoch, bits."""
    task, found = tishby(), []
    last = len(trajectory.weights) - 1
    for epoch in range(last + 1):
        found.append(place(trajectory, epoch, task, method))
        report(epoch, last)
    return Numbers({"places": found})


def followed(curve: np.ndarray, schedule: Schedule) -> list[int]:
    """The epochs of a curve (epochs, quantities), in units of the entropies, that a schedule measures."""
    run, kept = schedule.start(), []
    while wanted := run.wanted(len(curve) - 1, True):
        for epoch in wanted:
            kept.append(epoch)
            run.update(epoch, curve[epoch].tolist())
    return sorted(kept)


def between(curve: np.ndarray, kept: Sequence[int]) -> np.ndarray:
    """The curve with straight lines between the epochs that were kept."""
    epochs = np.arange(len(curve))
    return np.stack([np.interp(epochs, kept, column) for column in curve[kept].T], axis=1)


def fewest(curve: np.ndarray, longest: int = 1500) -> int:
    """About how few epochs suffice for straight lines within the tolerance: from each, the furthest that will do.

    >>> fewest(np.array([[0.0], [1.0], [2.0], [1.0], [0.0]]))
    3
    """
    at, count = 0, 1
    while at < len(curve) - 1:
        best = at + 1
        for end in range(at + 1, min(at + longest, len(curve))):
            share = np.linspace(0, 1, end - at + 1)[:, None]
            line = curve[at] + (curve[end] - curve[at]) * share
            if (np.abs(line - curve[at : end + 1]) <= TOLERANCE).all():
                best = end
        at, count = best, count + 1
    return count


def compare(curve: np.ndarray, units: np.ndarray, schedule: Schedule) -> dict[str, float]:
    """How a schedule follows one dense curve (epochs, quantities) in bits."""
    kept = followed(curve / units, schedule)
    off = np.abs(between(curve, kept) - curve)
    away = np.asarray((off > TOLERANCE).any(1))
    return {
        "measured": len(kept),
        "share": len(kept) / len(curve),
        "mean": float(off.mean()),
        "largest I(X;T)": float(off[:, ::2].max()),
        "largest I(T;Y)": float(off[:, 1::2].max()),
        "within": float((off <= TOLERANCE).mean()),
        "epochs off": int(away.sum()),
        "single": int((away & ~np.r_[False, away[:-1]] & ~np.r_[away[1:], False]).sum()),
    }


def jumps(steps: Sequence[np.ndarray]) -> str:
    """How many epochs move a layer by more than the tolerance, given each seed's largest moves, bits; and how late.

    >>> jumps([np.array([0.3, 0.0, 0.0, 0.1]), np.array([0.1, 0.1, 0.0, 0.2])])
    'epochs that move a layer by more than 0.05 bit: 2, by up to 0.300; in the second half 1, by up to 0.200'
    """
    late = [s[len(s) // 2 :] for s in steps]
    (count, most), (few, largest) = (
        (np.mean([(s > TOLERANCE).sum() for s in part]), max(float(s.max()) for s in part)) for part in (steps, late)
    )
    return (
        f"epochs that move a layer by more than {TOLERANCE} bit: {count:.0f}, by up to {most:.3f}; "
        f"in the second half {few:.0f}, by up to {largest:.3f}"
    )


def line(name: str, rows: Sequence[dict[str, float]]) -> str:
    """One row of the table: the mean over seeds, and the extreme that speaks against the schedule."""
    mean = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
    return (
        f"{name:18}  {mean['measured']:5.0f} ({max(row['share'] for row in rows):.1%})  {mean['mean']:.4f}  "
        f"{max(row['largest I(X;T)'] for row in rows):.3f} / {max(row['largest I(T;Y)'] for row in rows):.3f}  "
        f"{mean['within']:.2%} ({min(row['within'] for row in rows):.2%})  "
        f"{mean['epochs off']:.0f}, of which {mean['single']:.0f} alone"
    )


@dataclass(frozen=True)
class DeltaSkip:
    """What delta skip saves on the 12-bit network, and how far its curves are from those of every epoch, over seeds.

    The network 12-10-7-5-4-3-2 (tanh, Adam, rate 0.0004, batches of 512, four fifths of the patterns) is measured
    on all 4096 patterns at every epoch with the paper's 30 bins. Each delta skip is then led along that curve: it
    measures what it would have measured while training. For each delta, mean over seeds and extremes: measured
    epochs, how far straight lines between them are from the dense curve, in bits, and the epochs at which some
    layer is more than 0.05 bit off. The last line is the fewest epochs with which straight lines stay within 0.05
    bit, chosen by one who knows the whole curve.

    What to expect (6 seeds; asked for: curves within 0.05 bit from at most 1/5 of the epochs):

        delta              measured (most)  mean    largest I(X;T) / I(T;Y)  within 0.05 bit (least)  epochs off
        exact 0.003         1556 (24.7%)    0.0029  0.198 / 0.050            99.86% (99.67%)          108, 66 alone
        exact 0.004          818 (13.1%)    0.0034  0.161 / 0.050            99.84% (99.73%)          115, 85 alone
        exact 0.006          403 (6.7%)     0.0037  0.177 / 0.050            99.81% (99.70%)          140, 93 alone
        exact 0.01           194 (2.7%)     0.0043  0.286 / 0.051            99.71% (99.44%)          216, 112 alone
        exact 0.02           102 (1.5%)     0.0056  0.430 / 0.050            98.65% (95.48%)          819, 135 alone
        approximate 0.004    178 (2.6%)     0.0044  0.394 / 0.050            99.60% (98.75%)          279, 97 alone
        approximate 0.01      81 (1.2%)     0.0054  0.429 / 0.051            98.99% (98.01%)          740, 199 alone

    No delta comes to 100 %: about 350 epochs in 8000 move a layer by more than 0.05 bit (one by 0.86), most of them
    single epochs that the next one takes back, and no schedule that leaves an epoch out can know of them. 142
    epochs would do for one who knew the curve. Measuring the middle of every section too gave 99.89 % for 627
    epochs with delta 0.01, against 99.84 % for 818 with delta 0.004: not worth a second rule.

    Attributes
    ----------
    epochs
        Of the trainings.
    replicates
        Networks.
    seed
        The first of their seeds.
    activation
        Of the network.
    estimator
        A name from `infoscope list estimators`.
    deltas
        Of delta skip.
    """

    epochs: Annotated[int, AtLeast(1)] = 1000
    replicates: Annotated[int, AtLeast(2)] = 2
    seed: Annotated[int, AtLeast(0)] = 0
    activation: Literal["tanh", "relu"] = "tanh"
    estimator: Method = METHODS["idnns"]
    deltas: tuple[float, ...] = (0.003, 0.004, 0.006, 0.01, 0.02)

    paper: ClassVar[Mapping[str, Any]] = {"epochs": 8000, "replicates": 6}

    def __post_init__(self) -> None:
        check_fields(self)

    def stages(self, device: str = "cpu") -> Stages[StudyAnswer]:
        """What the study prints, and the files that it writes."""
        return (yield from printed("What delta skip saves", study, self))


def study(given: argparse.Namespace) -> None:
    """Measure, print, and write the numbers down."""
    store, method, task = Store(given.out), given.estimator, tishby()
    trained = replicated(Training(given.activation, given.epochs), given, RunContext(store, given.jobs))
    found = look([Look(dense, (t, method), Numbers) for t in trained], store, jobs=given.jobs)
    curves = [np.array(one["places"]).reshape(given.epochs + 1, -1) for one in found]
    units = np.tile([np.log2(len(task)), task.label_entropy / np.log(2)], curves[0].shape[1] // 2)
    schedules: dict[str, Schedule] = {f"exact {d}": DeltaSkipExact(d) for d in given.deltas}
    schedules |= {f"approximate {d}": DeltaSkipApproximate(d) for d in (0.004, 0.01)}
    told = {name: [compare(curve, units, one) for curve in curves] for name, one in schedules.items()}
    print("delta               measured (most)  mean  largest I(X;T) / I(T;Y)  within 0.05 bit (least)  epochs off")
    for name, rows in told.items():
        print(line(name, rows))
    steps = [np.abs(np.diff(curve, axis=0)).max(1) for curve in curves]
    least = [fewest(curve) for curve in curves]
    print(jumps(steps))
    print(f"fewest epochs for {TOLERANCE} bit, by one who knows the curve: {np.mean(least):.0f}")
    summary = about(given) | {"schedules": told, "fewest": least}
    (given.out / "delta_skip.json").write_text(json.dumps(summary, indent=1))
