"""Is a network invertible, so that no layer can lose information (Grabauskas 2019, section 4.0.1)?"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float

from infoscope.data.tishby import tishby
from infoscope.mi.estimate import layer_information
from infoscope.mi.estimators.quantised import Quantised
from infoscope.options import AtLeast, check_fields
from infoscope.run import Store
from infoscope.run.context import RunContext
from infoscope.run.look import Look, look
from infoscope.run.question import Stages
from infoscope.run.study import StudyAnswer
from printed import printed
from trajectories import Numbers, Training, Trajectory, about, replicated


def distinct(trajectory: Trajectory, epochs: Sequence[int]) -> Numbers:
    """Distinct rows and exact I(X;T) of every layer after these epochs, in double and in single precision."""
    task, held = tishby(), {}
    for dtype in (torch.float64, torch.float32):
        rows = []
        for epoch in epochs:
            layers = trajectory.layers(epoch, task.x.to(dtype))
            exact = [layer_information(t, task.y, Quantised()).x_t.bits for t in layers]
            rows.append([(len(torch.unique(t, dim=0)), bits) for t, bits in zip(layers, exact, strict=True)])
        held[str(dtype).removeprefix("torch.")] = rows
    return Numbers(held)


def losses(bits: Float[np.ndarray, "seeds epochs"]) -> str:
    """How exact I(X;T) of a layer changes from the first epoch to the last, and what is lost in the end.

    >>> losses(np.array([[12.0, 12.0], [11.0, 10.0], [12.0, 9.0]]))
    'changes by -1.33 ± 0.88 bits; 1 of 3 networks lose nothing, the others 2.50 bits on average'
    """
    change, lost = bits[:, -1] - bits[:, 0], 12 - bits[:, -1]
    some = lost > 1e-9  # twelve bits up to rounding
    error = change.std(ddof=1) / math.sqrt(len(change)) if len(change) > 1 else math.nan
    told = f"changes by {change.mean():.2f} ± {error:.2f} bits; {(~some).sum()} of {len(lost)} networks lose nothing"
    return told + (f", the others {lost[some].mean():.2f} bits on average" if some.any() else "")


@dataclass(frozen=True)
class Invertibility:
    """Is a network invertible, so that no layer can lose information (Grabauskas 2019, section 4.0.1)?

    Weight matrices "are all random (at least at the start of training) and hence probability of them being
    invertible is 100%". I(X;T) is H(X) = 12 bits as long as no two of the 4096 patterns give the same activations,
    so the claim is put to the test by counting distinct rows: in double precision, in single precision, before
    training and after, without bins and without noise. It prints the mean number of distinct rows over seeds, the
    mean exact I(X;T) in bits, and in how many networks the layer is injective; at the end, how I(X;T) of the last
    hidden layer changed and what was lost by how many.

    What to expect: tanh layers are injective in double precision, but for one network of twenty at the end; in
    single precision the last one is not once it has saturated; ReLU layers are not, even before training.

    Attributes
    ----------
    epochs
        Of the trainings.
    replicates
        Networks.
    seed
        The first of their seeds.
    activations
        tanh, relu or both.
    """

    epochs: Annotated[int, AtLeast(1)] = 1000
    replicates: Annotated[int, AtLeast(2)] = 4
    seed: Annotated[int, AtLeast(0)] = 0
    activations: tuple[Literal["tanh", "relu"], ...] = ("tanh", "relu")

    paper: ClassVar[Mapping[str, Any]] = {"epochs": 10_000, "replicates": 20}

    def __post_init__(self) -> None:
        check_fields(self)

    def stages(self, device: str = "cpu") -> Stages[StudyAnswer]:
        """What the study prints, and the files that it writes."""
        return (yield from printed("Is a network invertible?", study, self))


def study(given: argparse.Namespace) -> None:
    """Measure, print, and write the numbers down."""
    store, told = Store(given.out), about(given)
    epochs = tuple(e for e in (0, 1000, given.epochs) if e <= given.epochs)
    for activation in given.activations:
        trained = replicated(Training(activation, given.epochs), given, RunContext(store, given.jobs))
        found = look([Look(distinct, (t, epochs), Numbers) for t in trained], store, jobs=given.jobs)
        for precision in ("float64", "float32"):
            values = np.array([one[precision] for one in found])
            told[f"{activation} {precision}"] = {"epochs": epochs, "values": values.tolist()}
            for i, epoch in enumerate(epochs):
                for layer in range(values.shape[2]):
                    name = f"act{layer + 1}" if layer < values.shape[2] - 1 else "logits"
                    count, bits = values[:, i, layer].T
                    print(
                        f"{activation} {precision} epoch {epoch} {name}: {count.mean():.1f} distinct of 4096, I(X;T) "
                        f"{bits.mean():.4f} bits, injective in {(count == 4096).sum()} of {len(count)}"
                    )
            print(f"{activation} {precision} act5, epoch {epochs[0]} to {epochs[-1]}: {losses(values[:, :, 4, 1])}")
    (given.out / "invertibility.json").write_text(json.dumps(told, indent=1))
