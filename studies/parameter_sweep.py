"""Is the plane robust to its parameters: bins, noise, learning rate, batch?"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

import numpy as np

from infoscope.data.tishby import tishby
from infoscope.mi.estimators.binning import IDNNS, Uniform
from infoscope.mi.estimators.kde import KDE
from infoscope.mi.method import Method
from infoscope.options import AtLeast, check_fields
from infoscope.run import Store
from infoscope.run.context import RunContext
from infoscope.run.look import Look, look
from infoscope.run.question import Stages
from infoscope.run.study import StudyAnswer
from layer_compression import table
from printed import printed
from trajectories import Numbers, Training, Trajectory, about, epochs_between, place, replicated


def curve(trajectory: Trajectory, epochs: Sequence[int], method: Method) -> Numbers:
    """One estimator at these epochs."""
    task = tishby()
    return Numbers({"places": [place(trajectory, epoch, task, method) for epoch in epochs]})


Swept = tuple[str, Training, Method]


def settings(activation: str, epochs: int) -> dict[str, list[Swept]]:
    """What is swept."""
    usual, bins = Training(activation, epochs), IDNNS() if activation == "tanh" else Uniform(30, "layer")
    cut: list[Swept] = [(f"{n} bins, layer's range", usual, Uniform(n, "layer")) for n in (5, 10, 30, 100, 1000)]
    noise: list[Swept] = [(f"kde upper, variance {v:g}", usual, KDE(v, "upper")) for v in (1e-4, 1e-2, 0.1)]
    rate: list[Swept] = [(f"rate {r:g}", replace(usual, rate=r), bins) for r in (1e-4, 4e-4, 1.6e-3, 6.4e-3)]
    batch: list[Swept] = [(f"batch {b}", replace(usual, batch=b), bins) for b in (128, 3277)]
    return {"bins": cut, "noise": noise, "rate": rate, "batch": batch}


@dataclass(frozen=True)
class ParameterSweep:
    """Is the plane robust to its parameters: bins, noise, learning rate, batch?

    One parameter is changed at a time. For each setting it prints by how much I(X;T) of each layer falls from the
    highest epoch of the mean curve, in brackets, to the last, and its value there: mean ± standard error over
    seeds, in bits. Bins and noise are swept on the kept weights of one training (with the `--store` of
    layer_compression, on its weights); learning rates and batches are trainings of their own.

    What to expect: act5 of a tanh network falls with any number of bins, by 1.3 bits with 5 and 7.3 with 1000 (20
    seeds, 10,000 epochs). In 2000 epochs it falls by 0 at rate 0.0001, by 0.5 at 0.0004, by 3.5 at 0.0064, and by
    2.1 with the whole training set in every batch, where gradients have no noise. ReLU (`--activation relu`) hardly
    falls.

    Attributes
    ----------
    epochs
        Of the trainings.
    replicates
        Networks.
    seed
        The first of their seeds.
    activation
        Of the network.
    what
        What is swept: bins, noise, rate, batch.
    """

    epochs: Annotated[int, AtLeast(1)] = 1000
    replicates: Annotated[int, AtLeast(2)] = 2
    seed: Annotated[int, AtLeast(0)] = 0
    activation: Literal["tanh", "relu"] = "tanh"
    what: tuple[Literal["bins", "noise", "rate", "batch"], ...] = ("bins", "noise", "rate", "batch")

    paper: ClassVar[Mapping[str, Any]] = {"epochs": 3000, "replicates": 4}

    def __post_init__(self) -> None:
        check_fields(self)

    def stages(self, device: str = "cpu") -> Stages[StudyAnswer]:
        """What the study prints, and the files that it writes."""
        return (yield from printed("Is the plane robust to its parameters?", study, self))


def study(given: argparse.Namespace) -> None:
    """Measure, print, and write the numbers down."""
    store, told = Store(given.out), {}
    swept = settings(given.activation, given.epochs)
    for name, training, method in (one for what in given.what for one in swept[what]):
        trained = replicated(training, given, RunContext(store, given.jobs))
        epochs = tuple(epochs_between(given.epochs, 4 if isinstance(method, KDE) else 12))
        found = look([Look(curve, (t, epochs, method), Numbers) for t in trained], store, jobs=given.jobs)
        rows = table(name, np.array([one["places"] for one in found]), epochs)
        told[name] = rows
        falls = [row for row in rows if row["quantity"] == "I(X;T)"]
        cells = ("{layer} {fall:.3f} ± {stderr:.3f} ({at}) -> {last:.2f}".format(**row) for row in falls)
        print(f"{name:28}", "  ".join(cells), flush=True)
    summary = about(given) | {"falls": told}
    (given.out / f"sweep-{given.activation}.json").write_text(json.dumps(summary, indent=1))
