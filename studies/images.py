"""The plane of a small network on images, MNIST or notMNIST: which layers compress, by which estimator.

    python studies/images.py path/to/mnist --epochs 8 --seeds 4
    python studies/images.py path/to/notmnist --epochs 20 --seeds 2

The folder is in Hub layout (parquet files). The network is fully connected, 784-64-32-16-8-4-10, tanh and ReLU, trained
by Adam, rate 0.001, batches of 128, on all but a tenth of the examples (the split `test`, if there is one, is held out
instead). The weights of every epoch are kept, and `--measured` of the examples that were trained on are measured. A
layer compresses by as much as the mean curve over seeds falls from its highest epoch to the last, in bits.

What to expect: wide layers sit at log2 of the number of examples measured. Of the narrow ones, those with tanh fall
(act5 by 2.9 to 4.1 bits on notMNIST, 0.4 to 1.3 on MNIST, by bins or noise of a fixed scale), those with ReLU do not.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import numpy as np

from infoscope import __version__
from infoscope.dynamics.as_if_random import LateWeights
from infoscope.learn.activations import Architecture, activations
from infoscope.learn.fit import fit
from infoscope.learn.learner import Adam, Learner, Recipe
from infoscope.learn.look import Look, look
from infoscope.learn.predict import probabilities
from infoscope.learn.task import Task, coding_order
from infoscope.mi.binning import IDNNS, Saxe, Uniform
from infoscope.mi.estimate import layer_bracket, layer_information
from infoscope.models import MLP
from infoscope.run import Store
from layer_compression import VARIANCE, table
from trajectories import Numbers


def halves(path: str, seed: int) -> tuple[Task, Task]:
    """What is trained on and what is held out."""
    task = Task.from_dataset(path)
    if "test" in task.splits:
        return task["train"], task["test"]
    order = coding_order(len(task), seed)
    return task[order[len(task) // 10 :]], task[order[: len(task) // 10]]


def train(path: str, activation: str, epochs: int, measured: int, seed: int) -> Numbers:
    """One training and the places of its layers after every epoch."""
    task, test = halves(path, seed)
    seen = task[coding_order(len(task), 0)[:measured]]
    learner = Learner(
        MLP((64, 32, 16, 8, 4), activation),  # pyright: ignore[reportArgumentType]
        Recipe(Adam(1e-3), batch=128, epochs=epochs, patience=None),
    )
    kept = LateWeights(epochs)
    trained = fit(learner, task, seed=seed, observers=[kept])
    architecture = Architecture.of(learner.network(task.shape, task.classes, seed))
    held: dict[str, list] = {"idnns 30": [], "uniform 30, layer": [], "saxe": [], "kde lower": [], "kde upper": []}
    rules = {"uniform 30, layer": Uniform(30, "layer"), "saxe": Saxe(0.07 if activation == "tanh" else 0.5)}
    rules |= {"idnns 30": IDNNS()} if activation == "tanh" else {}
    for weights in (trained.initial, *kept.weights):
        layers = activations(architecture.with_weights(weights), seen.x, ["act*"]).layers.values()
        for name, rule in rules.items():
            both = [layer_information(t, seen.y, rule) for t in layers]
            held[name].append([(one.x_t.bits, one.t_y.bits) for one in both])
        pairs = [layer_bracket(t, seen.y, VARIANCE) for t in layers]
        for i, name in enumerate(("kde lower", "kde upper")):
            held[name].append([(pair[i].x_t.bits, pair[i].t_y.bits) for pair in pairs])
    network = architecture.with_weights(trained.weights)
    right = float((probabilities(network, test.x).argmax(1) == test.y).double().mean())
    return Numbers({k: v for k, v in held.items() if v} | {"test accuracy": right, "train loss": trained.losses[-1]})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="a folder in Hub layout, such as path/to/mnist")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--measured", type=int, default=4000)
    parser.add_argument("--activations", nargs="+", choices=("tanh", "relu"), default=["tanh", "relu"])
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("infoscope-runs/images"))
    given = parser.parse_args()
    store, name = Store(given.out), Path(given.data).name
    told = {"version": __version__, "data": name, "epochs": given.epochs, "seeds": given.seeds}
    print(f"I(X;T) is at most log2 {given.measured} = {math.log2(given.measured):.4f} bits")
    for activation in given.activations:
        asked = [(given.data, activation, given.epochs, given.measured, seed) for seed in range(given.seeds)]
        found = look([Look(train, one, Numbers) for one in asked], store, jobs=given.jobs)
        told[activation] = [one.held for one in found]
        for estimator in found[0].held:
            if estimator in ("test accuracy", "train loss"):
                values = [one[estimator] for one in found]
                spread = f"{np.mean(values):.4f}, from {min(values):.4f} to {max(values):.4f}"
                print(f"{name} {activation} {estimator}: {spread}")
                continue
            for row in table(estimator, np.array([one[estimator] for one in found]), range(given.epochs + 1)):
                print(f"{name} {activation} "
                      "{estimator:18} {quantity} {layer}: {highest:8.4f} at {at:3} -> {last:8.4f}  "
                      "fall {fall:8.4f} ± {stderr:.4f}".format(**row), flush=True)  # fmt: skip
    (given.out / f"{name}.json").write_text(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
