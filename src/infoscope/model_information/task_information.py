"""Both terms of eq. (2) for one task: how they are looked at, and what they come to."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from infoscope import __version__
from infoscope.data.task import Task
from infoscope.measurement import Measurement, Receipt, Status
from infoscope.model_information.codes import code_looks
from infoscope.model_information.cost import PassTime
from infoscope.model_information.performance import performance
from infoscope.prequential.codelength import codelength, model_information
from infoscope.prequential.encode import Coder
from infoscope.prequential.loss_curve import LossCurve
from infoscope.record import Row
from infoscope.run.look import Look, Looks
from infoscope.run.question import Request
from infoscope.training.learner import Learner
from infoscope.training.predict import Predictions, predict


@dataclass(frozen=True)
class TaskInformation:
    """Both terms of eq. (2) as curves, and what the final networks predict for the coded examples."""

    coded: Task
    initial: Sequence[LossCurve]
    trained: Sequence[LossCurve]
    predictions: dict[int, np.ndarray]
    status: frozenset[Status]
    notes: tuple[str, ...]

    def measurements(self) -> list[Measurement]:
        """L(M, D) first, then its terms, then how well the final networks predict the coded examples."""
        first, last = codelength(self.initial), codelength(self.trained)
        difference = model_information(self.initial, self.trained)
        receipt = Receipt(
            "network on unseen examples", first.receipt.data, last.receipt.model, n=len(self.coded),
            seeds=tuple(self.predictions), over="networks", version=__version__,
        )  # fmt: skip
        rows = [
            difference,
            first.named("L_init(y|x)"),
            last.named("L_trained(y|x)"),
            *performance(self.coded, self.predictions, receipt),
        ]
        return [
            dataclasses.replace(
                row,
                status=row.status | self.status,
                receipt=dataclasses.replace(row.receipt, notes=(*row.receipt.notes, *self.notes)),
            )
            for row in rows
        ]

    def rows(self, task: str) -> tuple[Row, ...]:
        """The measurements at the task's name."""
        return tuple(Row({"task": task}, m) for m in self.measurements())


def both_codes(
    coded: Task,
    pairs: Sequence[tuple[Learner, Learner]],
    coder: Coder,
    seeds: Sequence[int],
    device: str,
    status: frozenset[Status] = frozenset(),
    notes: tuple[str, ...] = (),
) -> Generator[Request, Any, TaskInformation]:
    """Both terms for each pair of an initial and a final learner, paired by their seed's order and draws."""
    initial, final = zip(*pairs, strict=True)
    first = code_looks(coded, coder, initial, seeds=seeds, device=device, label="initial code")
    second = code_looks(coded, coder, final, seeds=seeds, device=device, label="trained code")
    curves: list[LossCurve] = yield Looks(first + second)
    guesses: list[Predictions] = yield Looks(
        tuple(prediction_look(coded, one, seed, device) for seed, one in zip(seeds, final, strict=True))
    )
    predictions = {seed: guess.p.numpy() for seed, guess in zip(seeds, guesses, strict=True)}
    n = len(pairs)
    return TaskInformation(coded, curves[:n], curves[n:], predictions, status, notes)


def prediction_look(coded: Task, learner: Learner, seed: int, device: str) -> Look[Predictions]:
    """The look at what a learner's network, as it starts, predicts for the coded examples."""
    return Look(
        predict,
        (coded, learner, seed, device),
        Predictions,
        1,
        f"predictions on {coded.name}, seed {seed}",
        kind="predictions",
        seconds=PassTime.of(predict, coded, learner, seed, device),
        stand_in=partial(Predictions.of_nobody, coded),
    )
