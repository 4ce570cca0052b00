"""The free-energy distance: what the labels of one task cost after those of another, by one and the same code."""

from __future__ import annotations

import dataclasses
from functools import partial

import numpy as np

from infoscope.data.combine import occurring_classes, union
from infoscope.data.task import Task, coding_order
from infoscope.measurement import Measurement, mean_and_stderr
from infoscope.prequential.codelength import as_list, codelength
from infoscope.prequential.encode import Coder, encode
from infoscope.prequential.loss_curve import LossCurve
from infoscope.run.look import Look
from infoscope.training.learner import Learner


def one_after_another(first: Task, second: Task, seed: int) -> Task:
    """Both tasks as one that `seed` sends in this order: all of the first, shuffled, then all of the second.

    Classes of one name are one class.
    """
    whole = occurring_classes(union(first.shuffled(seed), second.shuffled(seed)))
    order = coding_order(len(whole), seed)
    return whole[np.argsort(order)]


def joint_look(
    first: Task, second: Task, coder: Coder, learner: Learner | None, seed: int, device: str
) -> Look[LossCurve]:
    """The code of the second task's labels behind the first one's."""
    whole = one_after_another(first, second, seed)
    n, classes = len(whole), max(2, getattr(whole.target, "outputs", 2))
    return Look(
        encode, (whole, coder, learner if coder.needs_network else None, seed, None, device, False), LossCurve,
        getattr(coder, "version", 1), f"code of {second.name} after {first.name}", "codes",
        stand_in=partial(_uniform, n, classes, seed),
    )  # fmt: skip


def free_energy_distance(joint: list[LossCurve], first: int) -> tuple[Measurement, Measurement]:
    """C(D1 + D2) − C(D1) ≥ 0, nats: what the labels behind the `first` so many cost; and C(D1 + D2) itself.

    The prequential code of both is that of D1 and then that of D2 by one who knows D1, so the difference is the sum of
    the later code lengths, and none of them is below 0. In the other direction it is C(D1 + D2) − C(D2); that C is the
    same both ways is what an ideal code does, and this one nearly.

    >>> curve = LossCurve.from_probabilities([[0.5, 0.5], [0.5, 0.5], [0.25, 0.75]], [0, 0, 1])
    >>> print(free_energy_distance([curve], 1)[0])
    C_12 - C_1 = 1.415 bit (upper bound)
    """
    whole = codelength(as_list(joint)).named("C_12")
    behind = {curve.seed: float(np.sum(curve.nats[first:])) for curve in joint}
    mean, error = mean_and_stderr(behind.values())
    later = dataclasses.replace(whole, quantity="C_12 - C_1", value=mean, stderr=error, replicates=behind)
    return later, whole


def _uniform(n: int, classes: int, seed: int) -> LossCurve:
    return LossCurve.from_probabilities(np.full((n, classes), 1 / classes), np.zeros(n, dtype=int), seed=seed)
