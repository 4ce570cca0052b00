"""The plane of a small network on images, MNIST or notMNIST: which layers compress, by which estimator."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np

from infoscope import __version__
from infoscope.data.task import Task, coding_order
from infoscope.mi.estimate import layer_bracket, layer_information
from infoscope.mi.estimators.binning import IDNNS, Saxe, Uniform
from infoscope.mi.sample import read_labels
from infoscope.models import MLP
from infoscope.observation.activations import activations
from infoscope.observation.architecture import Architecture
from infoscope.options import AtLeast, check_fields
from infoscope.run import Store
from infoscope.run.look import Look, look
from infoscope.run.question import Stages
from infoscope.run.study import StudyAnswer
from infoscope.training.fit import Moment, fit
from infoscope.training.learner import Learner, Weights, copy_weights
from infoscope.training.predict import probabilities
from infoscope.training.recipe import Adam, Recipe
from layer_compression import VARIANCE, table
from printed import printed
from trajectories import Numbers, epochs_between

BATCH = 128


def halves(path: str, seed: int) -> tuple[Task, Task]:
    """What is trained on and what is held out."""
    task = Task.from_dataset(path)
    if "test" in task.splits:
        return task["train"], task["test"]
    order = coding_order(len(task), seed)
    return task[order[len(task) // 10 :]], task[order[: len(task) // 10]]


class Kept:
    """An observer that keeps the weights after these steps and after every epoch."""

    def __init__(self, steps: Sequence[int]):
        self.steps: Sequence[int] = steps
        self.weights: dict[int, Weights] = {}

    def observe(self, moment: Moment) -> None:
        """See one moment of `fit`."""
        if moment.end_of_epoch or moment.step in self.steps:
            self.weights[moment.step] = copy_weights(moment.network)


def train(path: str, activation: str, epochs: int, per_decade: int, examples: int, seed: int) -> Numbers:
    """One training and the places of its layers, at so many steps a decade in the first epoch and after every epoch."""
    task, test = halves(path, seed)
    an_epoch = math.ceil(len(task) / BATCH)
    seen = task[coding_order(len(task), 0)[:examples]]
    learner = Learner(
        MLP((64, 32, 16, 8, 4), activation),  # pyright: ignore[reportArgumentType]
        Recipe(Adam(1e-3), batch=BATCH, epochs=epochs, patience=None),
    )
    kept = Kept(epochs_between(an_epoch, per_decade))
    trained = fit(learner, task, seed=seed, observers=[kept])
    architecture = Architecture.of(learner.network(task.shape, task.classes, seed))
    held: dict[str, list] = {"idnns 30": [], "uniform 30, layer": [], "saxe": [], "kde lower": [], "kde upper": []}
    rules = {"uniform 30, layer": Uniform(30, "layer"), "saxe": Saxe(0.07 if activation == "tanh" else 0.5)}
    rules |= {"idnns 30": IDNNS()} if activation == "tanh" else {}
    for weights in (trained.initial, *kept.weights.values()):
        layers = activations(architecture.with_weights(weights), seen.x, ["act*"]).layers.values()
        for name, rule in rules.items():
            both = [layer_information(t, seen.y, rule) for t in layers]
            held[name].append([(one.x_t.bits, one.t_y.bits) for one in both])
        pairs = [layer_bracket(t, seen.y, VARIANCE) for t in layers]
        for i, name in enumerate(("kde lower", "kde upper")):
            held[name].append([(pair[i].x_t.bits, pair[i].t_y.bits) for pair in pairs])
    at = [step / an_epoch for step in (0, *kept.weights)]
    network = architecture.with_weights(trained.weights)
    right = float((probabilities(network, test.x).argmax(1) == test.y).double().mean())
    limit = read_labels(seen.content_hashes, "x").entropy() / math.log(2)
    told = {"test accuracy": right, "train loss": trained.losses[-1], "H(X)": limit}
    return Numbers({"epochs": at, "told": told, "places": {k: v for k, v in held.items() if v}})


def rows(found: Sequence[Numbers]) -> list[dict]:
    """The falls by every estimator, from all points and from those after whole epochs alone."""
    epochs = np.array(found[0]["epochs"])
    told = []
    for estimator in found[0]["places"]:
        curves = np.array([one["places"][estimator] for one in found])
        whole = epochs % 1 == 0
        told += table(estimator, curves, epochs.tolist())
        told += table(f"{estimator}, whole epochs", curves[:, whole], epochs[whole].tolist())
    return told


@dataclass(frozen=True)
class Images:
    """The plane of a small network on images, MNIST or notMNIST: which layers compress, by which estimator.

    The folder is in Hub layout (parquet files). The network is fully connected, 784-64-32-16-8-4-10, tanh and ReLU,
    trained by Adam, rate 0.001, batches of 128, on all but a tenth of the examples (the split `test`, if there is
    one, is held out instead). The weights of every epoch are kept, and in the first those after 1, 3, 10, 32, …
    steps; `--examples` of the examples that were trained on are measured. A layer compresses by as much as the mean
    curve over seeds falls from its highest point, in epochs, to the last, in bits.

    What to expect: wide layers sit at log2 of the number of examples measured. The narrowest tanh layer falls by
    2.5 to 3.8 bits on notMNIST, 1.9 to 3.4 on MNIST, by bins or noise of a fixed scale, from a maximum within the
    first two epochs; ReLU layers do not.

    Attributes
    ----------
    data
        A data set by name, or a folder in Hub layout.
    epochs
        Of the trainings.
    replicates
        Networks.
    seed
        The first of their seeds.
    per_decade
        Points a decade.
    examples
        Examples that are measured.
    activations
        tanh, relu or both.
    """

    data: str
    epochs: Annotated[int, AtLeast(1)] = 2
    replicates: Annotated[int, AtLeast(2)] = 2
    seed: Annotated[int, AtLeast(0)] = 0
    per_decade: Annotated[int, AtLeast(1)] = 2
    examples: Annotated[int, AtLeast(1)] = 500
    activations: tuple[Literal["tanh", "relu"], ...] = ("tanh", "relu")

    paper: ClassVar[Mapping[str, Any]] = {"epochs": 8, "replicates": 4, "examples": 4000}

    def __post_init__(self) -> None:
        check_fields(self)

    def stages(self, device: str = "cpu") -> Stages[StudyAnswer]:
        """What the study prints, and the files that it writes."""
        return (yield from printed("The plane of a small network on images", study, self))


def study(given: argparse.Namespace) -> None:
    """Measure, print, and write the numbers down."""
    store, name = Store(given.out), Path(given.data).name
    seeds = range(given.seed, given.seed + given.replicates)
    told = {"version": __version__, "data": name, "epochs": given.epochs, "seeds": list(seeds)}
    for activation in given.activations:
        shape = (activation, given.epochs, given.per_decade, given.examples)
        found = look([Look(train, (given.data, *shape, seed), Numbers) for seed in seeds], store,
                     jobs=given.jobs)  # fmt: skip
        told[activation] = [one.held for one in found]
        for fact in found[0]["told"]:
            values = [one["told"][fact] for one in found]
            print(f"{name} {activation} {fact}: {np.mean(values):.4f}, from {min(values):.4f} to {max(values):.4f}")
        for row in rows(found):
            print(f"{name} {activation} "
                  "{estimator:32} {quantity} {layer}: {highest:8.4f} at {at:6.3f} -> {last:8.4f}  "
                  "fall {fall:8.4f} ± {stderr:.4f}, {seeds} seeds".format(**row), flush=True)  # fmt: skip
    (given.out / f"{name}.json").write_text(json.dumps(told, indent=1))
