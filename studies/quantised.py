"""Quantised networks on the 12-bit task, whose mutual information is exact: nothing is binned, nothing is noisy."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np

from infoscope.data.tishby import tishby
from infoscope.mi.estimators.quantised import Quantised
from infoscope.models.quantised import QuantisationAware
from infoscope.options import AtLeast, check_fields
from infoscope.run import Store
from infoscope.run.context import RunContext
from infoscope.run.look import Look, look
from infoscope.run.question import Stages
from infoscope.run.study import StudyAnswer
from layer_compression import learned, table
from printed import printed
from trajectories import Numbers, Training, Trajectory, about, epochs_between, place, replicated


def exact(trajectory: Trajectory, epochs: Sequence[int]) -> Numbers:
    """Exact I(X;T) and I(T;Y) of each layer at these epochs, bits."""
    task = tishby()
    return Numbers({"places": [place(trajectory, epoch, task, Quantised()) for epoch in epochs]})


def ends(trajectory: Trajectory, epochs: Sequence[int]) -> Numbers:
    """Share of each layer's activations at the lowest level and at the highest: where it saturates, or is silent."""
    training, rows = trajectory.training, []
    tanh = training.activation == "tanh"
    top = (1.0 if tanh else QuantisationAware.relu_reach) * (1 - 2.0 ** -(training.bits or 0))
    for epoch in epochs:
        layers = trajectory.layers(epoch, tishby().x)[:-1]
        rows.append([[float((t == end).double().mean()) for end in (-top if tanh else 0.0, top)] for t in layers])
    return Numbers({"epochs": list(epochs), "ends": rows})


@dataclass(frozen=True)
class QuantisedStudy:
    """Quantised networks on the 12-bit task, whose mutual information is exact: nothing is binned, nothing is noisy.

    Weights and activations have 2^bits levels while training (the values 1 … 256 of Grabauskas 2019, "Extensions",
    are 8 bits); gradients pass the rounding unchanged inside the range. For every number of bits and both
    activation functions it prints I(X;T) and I(T;Y) of each layer at the highest epoch of the mean curve and at the
    last, and the fall between them, mean ± standard error over seeds, how many activations are at the ends, and the
    accuracies of the networks.

    What to expect after 5000 epochs: with 8 bits the last tanh layer falls by 1.0 ± 0.2 bits; of ReLU, which has a
    ceiling here, the fourth by 0.8 ± 0.2 and the last by 1.6 ± 0.8. With 4 bits no tanh layer falls by more than
    0.2 bit.

    Attributes
    ----------
    bits
        Of weights and activations.
    epochs
        Of the trainings.
    replicates
        Networks.
    seed
        The first of their seeds.
    activations
        tanh, relu or both.
    """

    bits: tuple[int, ...] = (4, 8)
    epochs: Annotated[int, AtLeast(1)] = 500
    replicates: Annotated[int, AtLeast(2)] = 2
    seed: Annotated[int, AtLeast(0)] = 0
    activations: tuple[Literal["tanh", "relu"], ...] = ("tanh", "relu")

    paper: ClassVar[Mapping[str, Any]] = {"bits": (2, 4, 8), "epochs": 3000, "replicates": 10}

    def __post_init__(self) -> None:
        check_fields(self)

    def stages(self, device: str = "cpu") -> Stages[StudyAnswer]:
        """What the study prints, and the files that it writes."""
        return (yield from printed("Quantised networks, whose information is exact", study, self))


def study(given: argparse.Namespace) -> None:
    """Measure, print, and write the numbers down."""
    store, told = Store(given.out), []
    epochs = tuple(epochs_between(given.epochs, 12))
    for activation in given.activations:
        for bits in given.bits:
            training = Training(activation, given.epochs, bits=bits)
            trained = replicated(training, given, RunContext(store, given.jobs))
            found = look([Look(exact, (t, epochs), Numbers) for t in trained], store, jobs=given.jobs)
            rows = table("exact", np.array([one["places"] for one in found]), epochs)
            scores = [learned(t) for t in trained]
            told.append({"activation": activation, "bits": bits, "falls": rows, "learned": scores})
            for row in rows:
                print(f"{activation} {bits} bits "
                      "{quantity} {layer}: {highest:8.4f} at {at:5} -> {last:8.4f}  "
                      "fall {fall:8.4f} ± {stderr:.4f}, {seeds} seeds".format(**row), flush=True)  # fmt: skip
            some = (0, given.epochs // 10, given.epochs)
            shares = look([Look(ends, (t, some), Numbers) for t in trained], store, jobs=given.jobs)
            for epoch, row in zip(some, np.mean([one["ends"] for one in shares], axis=0), strict=True):
                told_by = "  ".join(f"act{i} {low:.2f} {high:.2f}" for i, (low, high) in enumerate(row, start=1))
                print(f"{activation} {bits} bits, share at the lowest and highest level, epoch {epoch}: {told_by}")
            for key in ("train accuracy", "test accuracy"):
                values = [one[key] for one in scores]
                print(f"{activation} {bits} bits {key}: {np.mean(values):.4f} ± "
                      f"{np.std(values, ddof=1) / math.sqrt(len(values)):.4f}", flush=True)  # fmt: skip
    summary = about(given) | {"networks": told}
    (given.out / "quantised.json").write_text(json.dumps(summary, indent=1))
