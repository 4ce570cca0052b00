"""What was forgotten along a chain of tasks, from the codes of each task after each: estimates, figures and words."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from infoscope import __version__
from infoscope.data.task import Task
from infoscope.figure import Bars, Figure, Line
from infoscope.measurement import Measurement, Receipt, Status
from infoscope.model_information.performance import performance
from infoscope.model_information.ratio import ratio
from infoscope.prequential.codelength import codelength, model_information
from infoscope.prequential.loss_curve import LossCurve
from infoscope.record import Row
from infoscope.training.predict import Predictions

Depth = Literal["head-kept", "closed-form", "whole"]
"""How deep it is looked for what is left of a task.

- `head-kept`: the network as it stands codes the task, and nothing learns.
- `closed-form`: its features do, with a head that is solved for.
- `whole`: the network goes on learning as the labels come, and may remember quickly.
"""

DEPTHS: tuple[Depth, ...] = ("head-kept", "closed-form", "whole")

UNTRAINED = -1
"""Before the first task."""

Place = tuple[Depth, int, int]
"""A depth, a task, and the task after which it is coded."""


@dataclass(frozen=True)
class Codes:
    """Loss curves of task t after task s at each depth, and what is predicted then, by seed."""

    curves: Mapping[Place, Mapping[int, LossCurve]]
    predictions: Mapping[tuple[int, int], Mapping[int, Predictions]]

    def of(self, seeds: Sequence[int]) -> Codes:
        """Of these seeds alone."""
        curves = {place: {seed: one[seed] for seed in seeds} for place, one in self.curves.items()}
        predictions = {place: {seed: one[seed] for seed in seeds} for place, one in self.predictions.items()}
        return Codes(curves, predictions)

    def __or__(self, other: Codes) -> Codes:
        return Codes({**self.curves, **other.curves}, {**self.predictions, **other.predictions})


@dataclass(frozen=True)
class Found:
    """What one algorithm comes to."""

    algorithm: str
    names: tuple[str, ...]
    tasks: tuple[Task, ...]
    depths: tuple[Depth, ...]
    codes: Codes
    converged: bool = True
    notes: tuple[str, ...] = ()

    def rows(self) -> tuple[Row, ...]:
        """Learned, forgotten and its share for every task, and after the last task for all; then accuracies."""
        rows = [row for depth in self.depths for row in (*self._each(depth), *self._together(depth))]
        return tuple(Row({"algorithm": self.algorithm, **row.coordinates}, self._told(row.measurement)) for row in (
            *rows, *self._performance()))  # fmt: skip

    def known(self, depth: Depth, t: int, s: int) -> Measurement:
        """L(M, D): what is known of task t after task s."""
        return model_information(self._curves(depth, t, UNTRAINED), self._curves(depth, t, s))

    def forgotten(self, depth: Depth, t: int, s: int) -> Measurement:
        """L(M_t, t) − L(M_t→s, t), which is the code after task s less the code after task t."""
        after, own = (codelength(self._curves(depth, t, u)) for u in (s, t))
        lost = (after - own).named("forgotten")
        # What a network codes worse than uniform the terms tell; the difference stands.
        return dataclasses.replace(lost, status=lost.status - {Status.WORSE_THAN_UNIFORM})

    def all_forgotten(self, depth: Depth) -> tuple[Measurement, ...]:
        """Of all earlier tasks together after the last: what was forgotten, and its share of what had been learned."""
        last = len(self.names) - 1
        lost = sum(self.forgotten(depth, t, last) for t in range(last))
        learned = sum(self.known(depth, t, t) for t in range(last))
        assert isinstance(lost, Measurement)
        assert isinstance(learned, Measurement)
        return lost.named("forgotten"), *_share_of(lost, learned)

    def all_known(self, depth: Depth) -> Measurement:
        """What is known of all tasks together in the end."""
        last = len(self.names) - 1
        known = sum(self.known(depth, t, last) for t in range(last + 1))
        assert isinstance(known, Measurement)
        return known.named("L(M,D)")

    def _each(self, depth: Depth) -> Iterator[Row]:
        for t, task in enumerate(self.names):
            for s in range(t, len(self.names)):
                at = {"depth": depth, "task": task, "after": self.names[s]}
                yield Row(at, self.known(depth, t, s))
                if s > t:
                    lost = self.forgotten(depth, t, s)
                    yield Row(at, lost)
                    for one in _share_of(lost, self.known(depth, t, t)):
                        yield Row(at, one)

    def _together(self, depth: Depth) -> Iterator[Row]:
        last = self.names[-1]
        yield Row({"depth": depth, "task": "all tasks", "after": last}, self.all_known(depth))
        for one in self.all_forgotten(depth):
            yield Row({"depth": depth, "task": "all earlier tasks", "after": last}, one)

    def _performance(self) -> Iterator[Row]:
        for (t, s), said in self.codes.predictions.items():
            if s != UNTRAINED:
                task = self.tasks[t]
                receipt = Receipt("network on unseen examples", task.fingerprint[:16], n=len(task), seeds=tuple(said),
                                  over="networks", version=__version__)  # fmt: skip
                p = {seed: one.p.numpy() for seed, one in said.items()}
                for one in performance(task, p, receipt):
                    yield Row({"depth": None, "task": self.names[t], "after": self.names[s]}, one)

    def _curves(self, depth: Depth, t: int, s: int) -> list[LossCurve]:
        return list(self.codes.curves[depth, t, s].values())

    def _told(self, one: Measurement) -> Measurement:
        status = one.status if self.converged else one.status | {Status.NOT_CONVERGED}
        receipt = dataclasses.replace(one.receipt, notes=(*one.receipt.notes, *self.notes))
        return dataclasses.replace(one, status=status, receipt=receipt)


def _share_of(lost: Measurement, learned: Measurement) -> list[Measurement]:
    """The share, and the ends of its interval where it has any."""
    return list(ratio(lost, learned, "forgotten share").measurements())


def as_said(task: Task, logs: Float[np.ndarray, "n length"], seed: int) -> LossCurve:
    """The code of a frozen network, exactly: what it says of each token of each document, nats.

    `logs` are log-probabilities of the tokens that came, NaN where they are masked.
    """
    nats = -np.nansum(logs, 1)
    symbols = int(np.isfinite(logs).sum())
    receipt = Receipt("as the network says", task.fingerprint[:16], n=len(task), seeds=(seed,), version=__version__)
    uniform = float(task.target.uniform(task.y).sum())
    return LossCurve(nats, np.arange(len(nats)), uniform, symbols, seed=seed, receipt=receipt)


def figures(found: Sequence[Found]) -> list[Figure]:
    """The share that each algorithm forgets at each depth; what is known of the first task as others are learned."""
    depths = found[0].depths
    shares = [_bars(depth, found) for depth in depths]
    caption = "Of all earlier tasks together, after the last. The bars of error are a standard error to both sides."
    drawn = [Figure("What is forgotten", "algorithm", "share of what had been learned", shares, caption=caption)]
    names = found[0].names
    for depth in depths:
        lines = [
            Line(one.algorithm, range(1, len(names) + 1), [one.known(depth, 0, s).bits for s in range(len(names))])
            for one in found
        ]
        title = f"What is known of {names[0]} ({depth})"
        drawn.append(Figure(title, "tasks learned", "bits", lines, caption="In the order " + ", ".join(names) + "."))
    return drawn


def _bars(depth: Depth, found: Sequence[Found]) -> Bars:
    shares = [one.all_forgotten(depth)[1] for one in found]
    values, errors = [m.value for m in shares], [0.0 if np.isnan(m.stderr) else m.stderr for m in shares]
    ends = ([v + sign * e for v, e in zip(values, errors, strict=True)] for sign in (-1, 1))
    return Bars(depth, [one.algorithm for one in found], values, *ends)


def sentence(found: Sequence[Found]) -> str:
    """What each algorithm forgets of the earlier tasks, at each depth."""
    names = found[0].names
    told = []
    for depth in found[0].depths:
        parts = [_share(one, depth) for one in found]
        told.append(f"{_AT[depth]} {', '.join(parts)}.")
    return f"After {names[-1]}, of what had been learned of {', '.join(names[:-1])} was forgotten, " + " ".join(told)


def _share(one: Found, depth: Depth) -> str:
    lost, share, *_ = one.all_forgotten(depth)
    bounded = not np.isnan(share.value) and Status.UNBOUNDED not in share.status
    part = f" ({share.value:z.0%})" if bounded else ""
    return f"{lost.with_error()} bits{part} by {one.algorithm}"


_AT = {
    "head-kept": "by the network as it stands:",
    "closed-form": "In its features:",
    "whole": "When it goes on learning:",
}
