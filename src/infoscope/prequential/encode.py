"""A task's targets as symbols through a coder: the look that gives a loss curve."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from infoscope import __version__
from infoscope.data.inputs import Inputs, select, shape_of, to
from infoscope.data.targets import Boxes, Classes, Labels, Real, Target, Tokens
from infoscope.data.task import Task, coding_order
from infoscope.measurement import Receipt
from infoscope.prequential import boxes, labels, language, real
from infoscope.prequential.frozen import EXCLUDED, Features, check_features
from infoscope.prequential.loss_curve import Code, LossCurve, lead, predictions
from infoscope.prequential.mixture import Experts, mixture
from infoscope.prequential.range_coder import Compressor
from infoscope.run import key
from infoscope.run.look import Look
from infoscope.run.progress import report
from infoscope.training.isolation import isolated
from infoscope.training.learner import Learner

AT_ONCE = 256
"""Predictions that are looked at together."""


class Coder(Protocol):
    """A way to predict targets one by one.

    `needs_network` says whether the code belongs to a network, `takes` which targets it knows.
    """

    needs_network: ClassVar[bool]
    takes: ClassVar[tuple[type[Target], ...]]

    def experts(self, x: Inputs, target: Target, seed: int = 0, network: nn.Module | None = None) -> Experts:
        """What every expert predicts of the next part, as a generator that is sent that part in return (`Experts`)."""
        ...


def code(
    x: Inputs,
    target: Target,
    mask: Bool[np.ndarray, "n ..."],
    coder: Coder,
    seed: int,
    network: nn.Module | None,
    device: str = "cpu",
) -> Code:
    """The one code of a coder: its experts, a uniform and an adaptive one, mixed as the target needs it.

    Both sides run it: the encoder sends it symbols, the decoder sends it what it has decoded. `mask`, what is sent at
    all, is known to both. A coder with `follows_inputs` computes where these lie, and is given them on the device; a
    network lies there already.
    """
    check_takes(coder, target)
    if getattr(coder, "follows_inputs", False):
        x = to(x, device)
    match target:
        case Classes():
            return mixture(coder.experts(x, target, seed, network))
        case Labels():
            return labels.mixture(coder.experts(x, target, seed, network), mask)
        case Real():
            return real.mixture(coder.experts(x, target, seed, network), target, mask)
        case Tokens():
            return language.mixture(coder.experts(x, target, seed, network), mask, target.vocabulary)
        case Boxes():
            return boxes.code(target, mask.shape)


def check_takes(coder: Coder, target: Target) -> None:
    """ValueError where a coder does not know a target; it names one that does."""
    if not isinstance(target, coder.takes):
        other = "replay, or kernel" if isinstance(target, Tokens) else "kernel"
        raise ValueError(
            f"{type(coder).__name__} codes {', '.join(kind.__name__ for kind in coder.takes)}, not {target}; "
            f"take the coder {other}"
        )


def network_for(
    coder: Coder, learner: Learner | None, x: Inputs, target: Target, seed: int, device: str = "cpu"
) -> nn.Module | None:
    """The network that the learner makes for this seed, if the coder needs one."""
    if not coder.needs_network:
        return None
    if learner is None:
        raise ValueError(f"{type(coder).__name__} is the code of a network; give a learner (a model)")
    return learner.network(shape_of(x), target.outputs, seed).to(device)


def encode(
    task: Task,
    coder: Coder,
    learner: Learner | None,
    seed: int,
    examples: int | None = None,
    device: str = "cpu",
    keep: bool = False,
) -> LossCurve:
    """Send the first `examples` targets in this seed's coding order; a network starts from `learner`'s weights.

    With `keep` the curve holds what was sent as bytes, as a label file needs them.
    """
    index = coding_order(len(task), seed)[:examples]
    x, y, target = select(task.x, torch.from_numpy(index)), task.y[torch.from_numpy(index)], task.target
    check_takes(coder, target)
    check_features(features_of(coder), len(task), target)
    if isinstance(target, Tokens):
        language.check_behind(x, y)
    with isolated(seed, threads=1):
        sent = _Sent(*target.cut(y), isinstance(target, Classes), keep)
        if len(y):
            network = network_for(coder, learner, x, target, seed, device)
            sent.through(code(x, target, target.mask(y), coder, seed, network, device))
    receipt = Receipt(
        method="prequential code",
        data=task.fingerprint[:16],
        model=_model_name(learner, seed) if coder.needs_network else "",
        coder=repr(coder),
        n=len(index),
        seeds=(seed,),
        notes=_notes(coder, target),
        version=__version__,
        device=device,
        threads=torch.get_num_threads(),
    )
    return sent.curve(target, y, index, seed, receipt)


def _notes(coder: Coder, target: Target) -> tuple[str, ...]:
    """What a reader of the number must know of how it came about."""
    notes = ("boxes by counts alone; the images were not looked at",) if isinstance(target, Boxes) else ()
    return notes if features_of(coder) is None else (*notes, EXCLUDED)


def features_of(coder: Coder) -> Features | None:
    """The frozen features that a coder predicts from beside the inputs, if it has any."""
    return getattr(coder, "features", None)


class _Sent:
    """What is kept of symbols on their way through a code."""

    def __init__(
        self, symbols: Int[np.ndarray, " symbols"], counts: Int[np.ndarray, " n"], leads: bool, keep: bool
    ) -> None:
        self.symbols, self.counts, self.leads = symbols, counts, leads
        self.p, self.correct, self.margin = (np.zeros(len(symbols), dtype=kind) for kind in (float, bool, float))
        self.compressor = Compressor() if keep else None

    def through(self, code: Code) -> None:
        """Send all."""
        n, kept = len(self.symbols), []
        for i, (p, symbol) in enumerate(zip(predictions(code, self.symbols), self.symbols.tolist(), strict=True)):
            self.p[i] = p[symbol]
            if self.leads:
                kept.append(p)
                if len(kept) == AT_ONCE or i + 1 == n:
                    self._lead(i + 1, np.stack(kept))
                    kept = []
            if self.compressor is not None:
                self.compressor.put(symbol, p)
            report(i + 1, n)

    def _lead(self, stop: int, p: Float[np.ndarray, "b classes"]) -> None:
        """Which class led in the last predictions before `stop`, and by how much."""
        rows = slice(stop - len(p), stop)
        self.correct[rows], self.margin[rows] = lead(p, self.symbols[rows])

    def curve(self, target: Target, y: Tensor, index: np.ndarray, seed: int, receipt: Receipt) -> LossCurve:
        """As a loss curve."""
        nats = -np.log(self.p)
        if not self.leads:
            nats = np.bincount(np.repeat(np.arange(len(y)), self.counts), nats, minlength=len(y))
        uniform = len(y) * math.log(target.outputs) if self.leads else target.uniform(y).sum()
        return LossCurve(
            nats,
            index,
            float(uniform),
            len(self.symbols),
            target.outputs if self.leads else None,
            self.correct if self.leads else None,
            self.margin if self.leads else None,
            seed,
            receipt,
            None if self.compressor is None else self.compressor.finish(),
        )


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
    check_takes(coder, task.target)
    check_features(features_of(coder), len(task), task.target)
    return [
        Look(
            encode,
            (task, coder, learner if coder.needs_network else None, seed, examples, device, keep_first and not i),
            LossCurve,
            getattr(coder, "version", 1),  # raised where a coder of the same options came to say something else
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
