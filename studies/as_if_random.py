"""The as-if-random experiment on the 12-bit task: the weights of several epochs pooled, tanh against ReLU."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np

from infoscope.data.tishby import tishby
from infoscope.dynamics.plane.as_if_random import as_if_random
from infoscope.mi.estimators.binning import Uniform
from infoscope.observation.activations import Activations
from infoscope.options import AtLeast, check_fields
from infoscope.record import Row
from infoscope.run.context import RunContext
from infoscope.run.look import Look, look
from infoscope.run.question import Stages
from infoscope.run.study import Claim, Doing, StudyAnswer, judged
from trajectories import Numbers, Training, Trajectory, about, in_bits, replicated, standard_error

BINS = Uniform(30, "layer")


@dataclass(frozen=True)
class AsIfRandom:
    """The as-if-random experiment on the 12-bit task: the weights of several epochs pooled, tanh against ReLU.

    The weights of so many successive epochs are pooled, so that the layer given the input is a distribution; so are the
    last epochs of all seeds. For windows that end early, midway and late: I(X;T) and I(T;Y) of the last epoch
    alone and of the pool. A pool hides at most log2 of the number of its epochs; if late wandering is what forgets, it
    hides more at the end than before. Values in bits, by 30 bins over the layer's range, mean ± standard error over
    seeds. Studies with the same `--store` share one training.

    What to expect: the last 20 of 10,000 epochs hide 0.15 bit of act5 with tanh and 0.23 with ReLU, epochs 81 to 100
    hide 1.1 and 1.7: less as training goes on, so that pooling makes no compression phase of its own.

    Attributes
    ----------
    epochs
        Of the trainings.
    late
        Epochs that are pooled.
    replicates
        Networks.
    seed
        The first of their seeds.
    activations
        tanh, relu or both.
    """

    epochs: Annotated[int, AtLeast(1)] = 1000
    late: Annotated[int, AtLeast(1)] = 20
    replicates: Annotated[int, AtLeast(1)] = 4
    seed: Annotated[int, AtLeast(0)] = 0
    activations: tuple[Literal["tanh", "relu"], ...] = ("tanh", "relu")

    paper: ClassVar[Mapping[str, Any]] = {"epochs": 10_000, "replicates": 20}

    def __post_init__(self) -> None:
        check_fields(self)

    def stages(self, device: str = "cpu") -> Stages[StudyAnswer]:
        """The trainings, which the other studies of this network share, and what is pooled of them."""
        return (yield Doing(self._study))

    def _study(self, context: RunContext) -> StudyAnswer:
        ends = tuple(e for e in (100, 1000, self.epochs) if self.late <= e <= self.epochs)
        told, falls = about(self), {}
        lines = [f"{self.late} epochs hide at most {math.log2(self.late):.4f} bits"]
        rows: list[Row] = []
        for activation in self.activations:
            trained = replicated(Training(activation, self.epochs), self, context)
            looks = [Look(pooled, (t, self.late, ends), Numbers) for t in trained]
            found = look(looks, context.store, jobs=context.jobs, on_done=context.on_done)
            values = np.array([one["windows"] for one in found])
            mean, error = values.mean(0), standard_error(values)
            networks = across(trained)
            told[activation] = {"ends": ends, "mean": mean.tolist(), "stderr": error.tolist(), "networks": networks}
            for window, end in enumerate(ends):
                for layer, (m, e) in enumerate(zip(mean[window], error[window], strict=True), start=1):
                    informations = (
                        f"{name} {m[k]:.4f} ± {e[k]:.4f} -> {m[k + 2]:.4f} ± {e[k + 2]:.4f}"
                        for k, name in enumerate(("I(X;T)", "I(T;Y)"))
                    )
                    lines.append(f"{activation} epochs to {end} act{layer}: {'   '.join(informations)}")
                    rows += _rows(values[:, window, layer - 1], self, activation, end, f"act{layer}")
            falls[activation] = values[..., -1, 0] - values[..., -1, 2]
            for layer, row in enumerate(networks, start=1):
                lines.append(
                    f"{activation} {len(trained)} networks act{layer}: I(X;T) -> {row[2]:.4f}   I(T;Y) -> {row[3]:.4f}"
                )
        files = {"as_if_random.json": json.dumps(told, indent=1)}
        claims = [_claim(activation, hidden, ends) for activation, hidden in falls.items()]
        return StudyAnswer("As if random: late epochs pooled", rows, claims=claims, lines=lines, files=files)


def _rows(values: np.ndarray, study: AsIfRandom, activation: str, end: int, layer: str) -> list[Row]:
    """What a layer (seeds, 4) shows after the last epoch and over the window, as measurements."""
    names = (("I(X;T)", 1), ("I(T;Y)", 1), ("I(X;T)", study.late), ("I(T;Y)", study.late))
    at = {"activation": activation, "epoch": end, "layer": layer}
    return [
        Row({**at, "pooled": pooled}, in_bits(quantity, values[:, k], study, repr(BINS)))
        for k, (quantity, pooled) in enumerate(names)
    ]


def _claim(activation: str, hidden: np.ndarray, ends: Sequence[int]) -> Claim:
    """That wandering late in training hides more of the last layer than early: hidden (seeds, windows), bits."""
    more = hidden[:, -1] - hidden[:, 0]
    error = float(standard_error(more))
    why = f"epochs to {ends[-1]} hide {more.mean():.3f} ± {error:.3f} bits more of act5 than those to {ends[0]}"
    text = f"{activation}: pooling late epochs makes a compression phase (Grabauskas 2019)"
    return Claim(text, judged(float(more.mean()), error), why)


def looked(trajectory: Trajectory, epoch: int) -> Activations:
    """The hidden layers after this epoch."""
    layers = trajectory.layers(epoch, tishby().x)[:-1]
    return Activations({f"act{i}": t for i, t in enumerate(layers, start=1)})


def pooled(trajectory: Trajectory, late: int, ends: Sequence[int]) -> Numbers:
    """For each window's end: H(T) and I(T;Y) of its last epoch, I(X;T) and I(T;Y) of the window."""
    rows = []
    for end in ends:
        looks = [looked(trajectory, e) for e in range(end - late + 1, end + 1)]
        rows.append(_both(looks))
    return Numbers({"windows": rows})


def across(trained: Sequence[Trajectory]) -> list[list[float]]:
    """The same over the last epochs of several networks."""
    return _both([looked(t, len(t.weights) - 1) for t in trained])


def _both(looks: Sequence[Activations]) -> list[list[float]]:
    task = tishby()
    pairs = zip(as_if_random(looks[-1:], task, BINS), as_if_random(looks, task, BINS), strict=True)
    return [[a.x_t.bits, a.t_y.bits, b.x_t.bits, b.t_y.bits] for a, b in pairs]
