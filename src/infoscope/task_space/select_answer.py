"""What selecting comes to: experts in order, how surely the first is the best, and what each rule would have cost."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from infoscope import __version__
from infoscope.figure import Bars, Figure
from infoscope.measurement import Measurement, Receipt
from infoscope.model_information.ranking import best
from infoscope.prequential.codelength import codelength
from infoscope.prequential.loss_curve import LossCurve
from infoscope.record import Record, Row
from infoscope.task_space.experts import Expert
from infoscope.task_space.selection import CHANCE, against, chosen_errors, error_increase
from infoscope.task_space.trial import Trial

FREE_ENERGY, CHOOSE, SIZE, LARGEST = "free energy", "choose", "size", "largest source"


TOLD, MOST_TOLD = 3, 20
"""Tasks whose experts are told in a sentence each, and in a few words each."""

RIVAL = 0.05
"""P(best) from which an expert is named beside the first."""


@dataclass(frozen=True)
class OfTask:
    """Trials and codes of a task by expert; `whole` are the codes of networks that go on learning, if there are any."""

    name: str
    fingerprint: str
    n: int
    trials: Mapping[str, Trial]
    codes: Mapping[str, Sequence[LossCurve]]
    whole: Mapping[str, Sequence[LossCurve]]


@dataclass(frozen=True, eq=False)
class SelectAnswer:
    """What `Select` comes to; `distances` are (tasks, experts).

    `overlaps` are the shares of a task's examples that an expert was trained on, by the names of both.
    """

    found: tuple[OfTask, ...]
    experts: tuple[Expert, ...]
    distances: Mapping[str, np.ndarray]
    probe: str
    overlaps: Mapping[tuple[str, str], float] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The tasks."""
        told = self.found[0].name if len(self.found) == 1 else f"{len(self.found)} tasks"
        return f"Which of {len(self.experts)} experts to start from for {told}"

    def _of(self, task: str) -> OfTask:
        return next(one for one in self.found if one.name == task)

    def ranked(self, task: str) -> list[str]:
        """The experts by the free-energy distance, the fewest bits first."""
        codes = self._of(task).codes
        return sorted(codes, key=lambda name: codelength(codes[name]).value)

    @cached_property
    def shares(self) -> dict[str, dict[str, float]]:
        """P(best) of each task's experts."""
        return {one.name: best(one.codes) for one in self.found}

    @cached_property
    def errors(self) -> np.ndarray:
        """Held-out errors (tasks, experts), NaN for an expert that was trained on the task."""
        return self._table(lambda one, name: one.trials[name].error)

    @cached_property
    def scores(self) -> dict[str, np.ndarray]:
        """Of every rule; the smallest is chosen."""
        sizes = [float(one.parameters) for one in self.experts]
        sources = [math.nan if one.size is None else float(one.size) for one in self.experts]
        found = {
            FREE_ENERGY: self._table(lambda one, name: codelength(one.codes[name]).value),
            "LEEP": self._table(lambda one, name: -one.trials[name].leep),
            "LogME": self._table(lambda one, name: -one.trials[name].log_me),
            "H-score": self._table(lambda one, name: -one.trials[name].h_score),
            SIZE: -np.broadcast_to(sizes, self.errors.shape),
        }
        if all(one.whole for one in self.found):
            found[CHOOSE] = self._table(lambda one, name: codelength(one.whole[name]).value)
        if not all(map(math.isnan, sources)):
            found[LARGEST] = -np.broadcast_to(sources, self.errors.shape)
        return found | dict(self.distances)

    def _table(self, value: Callable[[OfTask, str], float]) -> np.ndarray:
        rows = [[value(one, e.name) if e.name in one.trials else math.nan for e in self.experts] for one in self.found]
        return np.array(rows, dtype=float)

    def picked(self, rule: str) -> np.ndarray:
        """The held-out error of what a rule chooses, task by task."""
        return chosen_errors(self.errors, None if rule == CHANCE else self.scores[rule])

    @property
    def rules(self) -> tuple[str, ...]:
        """Those that there is anything to say of."""
        return (*self.scores, CHANCE)

    def increase(self, rule: str) -> Measurement:
        """The error increase of a rule over the best expert."""
        return self._with_receipt(error_increase(self.errors, self.picked(rule)))

    def against(self, rule: str, other: str) -> Measurement:
        """The error increase of a rule less that of another, paired by task."""
        return self._with_receipt(against(self.errors, self.picked(rule), self.picked(other)))

    def _with_receipt(self, m: Measurement) -> Measurement:
        return dataclasses.replace(m, receipt=dataclasses.replace(m.receipt, version=__version__, threads=1))

    def record(self) -> Record:
        """Of every task and expert what is known; of several tasks what every rule costs."""
        rows = [row for t in range(len(self.found)) for row in self._rows(t)]
        if len(self.found) > 1:
            for rule in self.rules:
                place = {"task": None, "expert": None, "rule": rule}
                rows.append(Row(place, self.increase(rule)))
                if rule != CHANCE:
                    rows.append(Row({**place, "against": CHANCE}, self.against(rule, CHANCE)))
        return Record.of(rows)

    def _rows(self, t: int) -> list[Row]:
        one, rows = self.found[t], []
        for e, expert in enumerate(self.experts):
            if expert.name not in one.trials:
                continue
            place, trial = {"task": one.name, "expert": expert.name}, one.trials[expert.name]
            spread = math.sqrt(trial.error * (1 - trial.error) / trial.held_out)
            rows.append(Row(place, codelength(one.codes[expert.name])))
            if one.whole:
                rows.append(Row({**place, "rule": CHOOSE}, codelength(one.whole[expert.name])))
            rows.append(Row(place, self._plain("P(best)", self.shares[one.name][expert.name], one)))
            rows.append(
                Row(place, self._plain("head error", trial.error, one, spread, f"{trial.held_out} held-out examples"))
            )
            rows += [Row(place, self._plain(name, v, one)) for name, v in _scores(trial).items()]
            rows += [Row(place, self._plain(name, float(d[t, e]), one)) for name, d in self.distances.items()]
        return rows

    def _plain(self, name: str, value: float, one: OfTask, error: float = math.nan, over: str = "") -> Measurement:
        receipt = Receipt(
            "features of the expert", one.fingerprint[:16], n=one.n, over=over, version=__version__, threads=1
        )
        return Measurement(name, value, error, "nat" if name in ("LEEP", "LogME") else "1", receipt=receipt)

    def figures(self) -> list[Figure]:
        """Bits of every expert for each task; what the rules cost."""
        figures = []
        for one in self.found[:10]:
            names = self.ranked(one.name)
            found = [codelength(one.codes[name]) for name in names]
            low, high = ([m.bits + s * _or_zero(m.stderr_bits) for m in found] for s in (-1, 1))
            bars = Bars("free energy", names, [m.bits for m in found], low, high)
            figures.append(Figure(f"What the labels of {one.name} cost", "expert", "bits", [bars]))
        if len(self.found) > 1:
            costs = {rule: self.increase(rule) for rule in self.rules}
            names = sorted(costs, key=lambda rule: costs[rule].value)
            low, high = ([costs[k].value + s * _or_zero(costs[k].stderr) for k in names] for s in (-1, 1))
            bars = Bars("error increase", names, [costs[k].value for k in names], low, high)
            figures.append(Figure("What each rule costs", "rule", "error increase over the best expert", [bars]))
        return figures

    def sentence(self) -> str:
        """Where to start, how surely, and how good the rules are."""
        told = []
        for one in self.found[:TOLD]:
            first, second = self.ranked(one.name)[:2]
            bits = [codelength(one.codes[name]).bits for name in (first, second)]
            told.append(
                f"For {one.name} start from {first}: {bits[0]:,.0f} bits for {one.n} labels, and {second} needs "
                f"{bits[1]:,.0f}; it is the best with a probability of {self.shares[one.name][first]:.2f}"
            )
        if rest := [f"{one.name}: {self._choice(one.name)}" for one in self.found[TOLD:MOST_TOLD]]:
            more = len(self.found) - MOST_TOLD
            told.append("; ".join([*rest, *([f"{more} tasks more are in the record"] if more > 0 else [])]))
        if len(self.found) > 1:
            told.append("; ".join(_cost(rule, self.increase(rule)) for rule in (FREE_ENERGY, *self.distances, CHANCE)))
        return f"{'. '.join(told)}."

    def _choice(self, task: str) -> str:
        """The first expert, how probably it is the best, and whom it leaves as probable as one in twenty."""
        shares = self.shares[task]
        first, *others = self.ranked(task)
        rivals = [f"{name} {shares[name]:.2f}" for name in others if shares[name] >= RIVAL]
        return ", ".join([f"{first} ({shares[first]:.2f})", *rivals])

    def choices(self) -> Mapping[str, str]:
        """The probe, what the rules are, and what is not known."""
        told = {
            "Free energy": "a head in closed form on the expert's frozen features, sent label by label",
            "Errors": "of a head fitted to the same labels on the same features, counted on held-out ones",
        }
        unknown = [one.name for one in self.experts if one.source is None]
        if self.probe:
            told["Probe"] = self.probe
        if unknown:
            told["Sources"] = (
                f"unknown of {len(unknown)} experts: no distances from them; name --sources or experts.json"
            )
        if self.overlaps:
            shares = [f"{share:.0%} of {task} by {name}" for (task, name), share in self.overlaps.items()]
            told["Overlap"] = (
                f"examples were trained on before: {'; '.join(shares[:TOLD])}"
                f"{f' and {len(shares) - TOLD} more' if len(shares) > TOLD else ''}; bits and errors are too few there"
            )
        return told

    def write(self, folder: Path) -> Mapping[str, str]:
        """No file but the report."""
        return {}


def _scores(trial: Trial) -> dict[str, float]:
    return {"LEEP": trial.leep, "LogME": trial.log_me, "H-score": trial.h_score}


def _cost(rule: str, m: Measurement) -> str:
    return f"{rule} costs {m.value:+.1%} ± {m.stderr:.1%} of the best expert's errors"


def _or_zero(value: float) -> float:
    return 0.0 if math.isnan(value) else value
