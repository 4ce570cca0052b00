"""Codes as a stage of a question needs them: what it takes to send a task's labels, with its cost and its stand-in."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch

from infoscope.data.inputs import select
from infoscope.data.targets import Classes
from infoscope.data.task import Task, coding_order
from infoscope.model_information.cost import alike, seconds_to_send
from infoscope.prequential.encode import Coder, curve_looks
from infoscope.prequential.loss_curve import LossCurve
from infoscope.prequential.memory import memory_of
from infoscope.prequential.synced import Synced
from infoscope.run.look import Look
from infoscope.training.learner import Learner


@dataclass(frozen=True)
class SendingTime:
    """How long it takes to send n labels once; equal for equal work, whatever the order and whosesoever the labels."""

    task: Task = field(compare=False)
    coder: Coder
    learner: Learner | None
    n: int
    same: tuple[Any, ...] = ()

    @classmethod
    def of(cls, task: Task, coder: Coder, learner: Learner | None, n: int) -> SendingTime:
        """Of a task whose examples are of one size what they hold does not count, nor where the learner starts.

        Of a taught student it does not count how much the teacher is heard.
        """
        if isinstance(coder, Synced) and coder.alpha:
            coder = dataclasses.replace(coder, alpha=1.0, temperature=1.0)
        return cls(task, coder, dataclasses.replace(learner, weights=None) if learner else None, n, alike(task))

    def __call__(self) -> float:
        """Seconds, by a short trial."""
        return seconds_to_send(self.task, self.coder, self.learner, self.n)


def code_looks(
    task: Task,
    coder: Coder,
    learners: Sequence[Learner | None],
    *,
    seeds: Sequence[int],
    examples: int | None = None,
    device: str = "cpu",
    label: str = "code",
    keep_first: bool = False,
) -> tuple[Look[LossCurve], ...]:
    """The looks that give loss curves, one for each learner, in the orders of these seeds."""
    looks = curve_looks(
        task, coder, learners, seeds=seeds, examples=examples, device=device, label=label, keep_first=keep_first
    )
    n = len(task) if examples is None else examples
    memory = memory_of(coder, select(task.x, slice(n)), task.target)
    return tuple(
        dataclasses.replace(
            look,
            kind="codes",
            seconds=SendingTime.of(task, coder, learner, n),
            stand_in=partial(uniform_curve, task, n, seed),
            memory=memory,
        )
        for look, seed, learner in zip(looks, seeds, learners, strict=True)
    )


def uniform_curve(task: Task, n: int, seed: int) -> LossCurve:
    """The curve of one who learns nothing: every example at its uniform cost."""
    index = coding_order(len(task), seed)[:n]
    if isinstance(task.target, Classes):
        p = np.full((n, task.classes), 1 / task.classes)
        curve = LossCurve.from_probabilities(p, task.labels.numpy()[index], seed=seed)
        return dataclasses.replace(curve, index=index)
    y = task.y[torch.from_numpy(index)]
    nats, symbols = task.target.uniform(y), len(task.target.cut(y)[0])
    return LossCurve(nats, index, float(nats.sum()), symbols, seed=seed)
