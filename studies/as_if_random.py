"""The as-if-random experiment on the 12-bit task: late epochs pooled, tanh against ReLU.

    python studies/as_if_random.py --epochs 2000 --late 20 --seeds 0 1 2

After training, the weights of the last epochs are pooled, so that the layer given the input is a distribution. For
each layer it prints I(X;T) of the last epoch alone, H(T), and of the pool, and how much of the difference the
epochs could hide at most (log2 of their number). Values in bits, by 30 bins over the layer's range.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import dataclass
from pathlib import Path

from infoscope.dynamics.as_if_random import LateWeights, activations_of, as_if_random
from infoscope.learn.fit import fit
from infoscope.learn.learner import Adam, Learner, Recipe
from infoscope.learn.look import Look, look
from infoscope.learn.task import coding_order
from infoscope.learn.tishby import tishby
from infoscope.mi.binning import Uniform
from infoscope.models import MLP
from infoscope.run import Store


@dataclass(frozen=True)
class Pooled:
    """A row a layer: its name, I(X;T) and I(T;Y) of the last epoch and of the pool, bits."""

    rows: tuple[tuple[str, float, float, float, float], ...]

    def to_bytes(self) -> bytes:
        """As JSON."""
        return json.dumps(self.rows).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Pooled:
        """The value that `to_bytes` wrote."""
        return cls(tuple(map(tuple, json.loads(data))))


def train(activation: str, epochs: int, late: int, seed: int) -> Pooled:
    """One training, its last epoch and its late epochs."""
    task, watched, bins = tishby(), LateWeights(late), Uniform(30, "layer")
    network = MLP((10, 7, 5, 4, 3), activation)  # pyright: ignore[reportArgumentType]
    learner = Learner(network, Recipe(Adam(4e-4), batch=512, epochs=epochs, patience=None))
    fit(learner, task[coding_order(len(task), seed)[:3277]], seed=seed, observers=[watched])
    looks = activations_of(learner.network(task.shape, task.classes, seed), watched.weights, task, ["act*"])
    last, pooled = as_if_random(looks[-1:], task, bins), as_if_random(looks, task, bins)
    return Pooled(
        tuple((a.layer, a.x_t.bits, a.t_y.bits, b.x_t.bits, b.t_y.bits) for a, b in zip(last, pooled, strict=True))
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=2000)
    parser.add_argument("--late", type=int, default=20)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("infoscope-runs/as-if-random"))
    given = parser.parse_args()
    asked = [(activation, seed) for activation in ("tanh", "relu") for seed in given.seeds]
    looks = [Look(train, (a, given.epochs, given.late, s), Pooled, label=f"{a}-seed-{s}") for a, s in asked]
    print(f"{given.late} late epochs can hide at most {math.log2(given.late):.4f} bits")
    for (activation, seed), found in zip(asked, look(looks, Store(given.out), jobs=given.jobs), strict=True):
        for layer, x_t, t_y, pooled_x_t, pooled_t_y in found.rows:
            print(
                f"{activation} seed {seed} {layer}: I(X;T) {x_t:.4f} -> {pooled_x_t:.4f}   "
                f"I(T;Y) {t_y:.4f} -> {pooled_t_y:.4f}"
            )


if __name__ == "__main__":
    main()
