"""Sending the labels of a task through a coder: the look that gives a loss curve."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from infoscope import __version__
from infoscope.data.task import Task, coding_order
from infoscope.measurement import Receipt
from infoscope.prequential.loss_curve import Code, LossCurve, drive
from infoscope.prequential.mixture import Experts, mixture
from infoscope.run import key
from infoscope.run.look import Look
from infoscope.run.progress import report
from infoscope.training.isolation import isolated
from infoscope.training.learner import Learner


class Coder(Protocol):
    """A way to predict labels one by one; `needs_network` says whether the code belongs to a network."""

    needs_network: ClassVar[bool]

    def experts(self, x: Tensor, classes: int, seed: int = 0, network: nn.Module | None = None) -> Experts:
        """What every expert predicts for the next label, as a generator that is sent the label in return."""
        ...


def code(x: Tensor, classes: int, coder: Coder, seed: int, network: nn.Module | None) -> Code:
    """The one code of a coder: its experts, a uniform and a Krichevsky-Trofimov one, mixed.

    Both sides run it: the encoder sends it labels, the decoder sends it what it has decoded.
    """
    return mixture(coder.experts(x, classes, seed, network))


def sender(inputs: Tensor, classes: int, coder: Coder, learner: Learner | None, seed: int, device: str = "cpu") -> Code:
    """`code` with the network that the learner makes for this seed, if the coder needs one."""
    network = None
    if coder.needs_network:
        if learner is None:
            raise ValueError(f"{type(coder).__name__} is the code of a network; give a learner (a model)")
        network = learner.network(tuple(inputs.shape[1:]), classes, seed).to(device)
    return code(inputs, classes, coder, seed, network)


def send(
    task: Task,
    coder: Coder,
    learner: Learner | None,
    seed: int,
    examples: int | None = None,
    device: str = "cpu",
    keep: bool = False,
) -> LossCurve:
    """Send the first `examples` labels in this seed's coding order; a network starts from `learner`'s weights.

    With `keep` the curve holds every prediction too, as a label file needs them.
    """
    index = coding_order(len(task), seed)[:examples]
    x, y = task.array[torch.from_numpy(index)], task.labels.numpy()[index]
    with isolated(seed, threads=1):
        p = np.empty((0, task.classes))
        if len(y):
            p = drive(sender(x, task.classes, coder, learner, seed, device), y, on_label=report)
    receipt = Receipt(
        method="prequential code",
        data=task.fingerprint[:16],
        model=_model_name(learner, seed) if coder.needs_network else "",
        coder=repr(coder),
        n=len(index),
        seeds=(seed,),
        notes=(),
        version=__version__,
        device=device,
        threads=torch.get_num_threads(),
    )
    curve = LossCurve.from_probabilities(p, y, seed=seed, receipt=receipt)
    return dataclasses.replace(curve, index=index, p=p if keep else None)


def curve_looks(
    task: Task,
    coder: Coder,
    learners: Sequence[Learner | None],
    *,
    seeds: Sequence[int],
    examples: int | None = None,
    device: str = "cpu",
    label: str = "code",
    keep_first: bool = False,
) -> list[Look[LossCurve]]:
    """The looks that give loss curves, one for each learner, in the orders of these seeds."""
    if examples is not None and not 0 <= examples <= len(task):
        raise ValueError(f"{task.name!r} has {len(task)} examples; {examples} were asked for")
    return [
        Look(
            send,
            (task, coder, learner if coder.needs_network else None, seed, examples, device, keep_first and not i),
            LossCurve,
            label=f"{label} of {task.name}, order {seed}",
        )
        for i, (seed, learner) in enumerate(zip(seeds, learners, strict=True))
    ]


def _model_name(learner: Learner | None, seed: int) -> str:
    """The factory's name and a hash of the weights that it starts from."""
    if learner is None:
        return ""
    name = getattr(learner.factory, "__name__", type(learner.factory).__name__)
    try:
        start = seed if learner.weights is None else dict(learner.weights)
        return f"{name}#{key((learner.factory, start))[:6]}"
    except TypeError:
        return name
