"""How many examples a question can afford: sizes from a stated time, the same ones on every machine.

The time is nominal. It is reckoned from what has to be multiplied and added, at the speed of two cores of the machine
that `benchmarks/results` name (`python benchmarks/budget.py` has what it foretells beside what it takes), and not
measured when the question is asked: so the same question has the same sizes, and the same answer, wherever and however
often it is asked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

from infoscope.data.inputs import Inputs
from infoscope.data.task import Task
from infoscope.data.texts import Texts
from infoscope.prequential.encode import Coder
from infoscope.prequential.features import is_images
from infoscope.prequential.replay import Replay
from infoscope.training.isolation import isolated
from infoscope.training.learner import Learner
from infoscope.training.muon import orthogonal_operations
from infoscope.training.operations import operations
from infoscope.training.recipe import Recipe

CORES = 2
SPEED = 6e10
"""Multiplications and additions of a core in a second, at batches of 32."""

PRODUCTS = 1e11
"""The same of large products, such as Muon's."""

STEP = 2e-3
"""Seconds that a step of an optimizer takes beside them."""

LABEL = 1.5e-3
"""Seconds that regressions and mixing take for a label of a network's own code."""

EPOCHS = 30
"""After which early stopping is expected to end a training."""

RUNGS = (50_000, 20_000, 10_000, 5_000, 2_000, 1_000, 500, 200)
"""Sizes that are tried, the largest first; before them, all that there is."""


@dataclass(frozen=True)
class Sizes:
    """How many labels of the data are sent, examples trained on, and labels sent by networks; None is all of them."""

    examples: int | None = None
    train: int | None = None
    k: int | None = None

    def told(self) -> str:
        """In words.

        >>> Sizes(train=2000, k=1000).told()
        'all labels sent, at most 2000 examples trained on and 1000 coded'
        """
        most = ["all" if n is None else f"at most {n}" for n in (self.examples, self.train, self.k)]
        return f"{most[0]} labels sent, {most[1]} examples trained on and {most[2].removeprefix('at most ')} coded"


@dataclass(frozen=True)
class Work:
    """What a question does with a task: `coded`, `pool` and `labels` are as many as there are for each."""

    task: Task
    learner: Learner
    coded: int
    pool: int
    labels: int


def duration(text: str) -> float:
    """Seconds in a time such as 90s, 5m or 2h.

    >>> duration("5m"), duration("1.5h")
    (300.0, 5400.0)
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh])", text.strip())
    if found is None or not float(found[1]) > 0:
        raise ValueError(f"{text!r} is no time; write it as 90s, 5m or 2h")
    return float(found[1]) * {"s": 1, "m": 60, "h": 3600}[found[2]]


def affordable(works: Sequence[Work], coder: Coder, replicates: int, seconds: float) -> Sizes:
    """The largest sizes for which all tasks together take no longer, and the same for all of them.

    Half of the time is for training, a third for the networks' own codes, a sixth for the code of the labels.
    """
    share = seconds * CORES / replicates
    costs = [(one, flops_of(one.learner, one.task)) for one in works]

    def labels(n: int) -> float:
        return sum(label_seconds(one.task, min(n, one.labels)) for one in works)

    def training(n: int) -> float:
        return sum(fit_seconds(flops, one.learner.recipe, min(n, one.pool)) for one, flops in costs)

    def codes(n: int) -> float:
        return sum(2 * own_seconds(coder, flops, one.task.x, min(n, one.coded)) for one, flops in costs)

    return Sizes(
        _largest(labels, max(one.labels for one in works), share / 6),
        _largest(training, max(one.pool for one in works), share / 2),
        _largest(codes, max(one.coded for one in works), share / 3),
    )


def _largest(cost: Callable[[int], float], most: int, allowed: float) -> int | None:
    """None where everything is allowed; else the largest rung that is, or the least of all."""
    if cost(most) <= allowed:
        return None
    return next((rung for rung in RUNGS if rung < most and cost(rung) <= allowed), min(RUNGS[-1], most))


@dataclass(frozen=True)
class Flops:
    """Of a network: one example forward, and what Muon does with the weights in a step."""

    forward: float
    step: float


def flops_of(learner: Learner, task: Task) -> Flops:
    """Counted in one pass over one example; by the weights where a network can't be counted."""
    with isolated(0):
        network = learner.network(task.shape, task.target.outputs, 0)
        weights = [p.flatten(1).shape for p in network.parameters() if p.ndim > 1]
        forward = operations(network, task) or 2.0 * sum(map(prod, weights))
        return Flops(forward, sum(orthogonal_operations(*shape) for shape in weights))


def fit_seconds(flops: Flops, recipe: Recipe, n: int) -> float:
    """One training on n examples, which early stopping ends."""
    epochs = recipe.epochs if recipe.patience is None else min(recipe.epochs, EPOCHS)
    return epochs * n * (3 * flops.forward / SPEED + STEP / recipe.batch)


def own_seconds(coder: Coder, flops: Flops, x: Inputs, n: int) -> float:
    """One term of eq. (2) by a network's own code for n of x; coders that are not replay are taken to cost as much.

    After the last label nothing is learned.
    """
    preset = coder if isinstance(coder, Replay) else Replay()
    gradients = preset.gradients(max(0, n - 1))
    looked = (3 * gradients + preset.passes(x, n)) * flops.forward / SPEED
    return looked + gradients / preset.batch * (flops.step / PRODUCTS + STEP) + LABEL * n


def label_seconds(task: Task, n: int) -> float:
    """One order of the default code of labels: images n and n³, texts and tables n, the more the wider they are."""
    shape = task.shape
    if is_images(task.x) and isinstance(shape, tuple):
        return 1e-3 * n * max(1.0, (prod(shape) / 784) ** 0.5) + 2e-11 * n**3
    if isinstance(task.x, Texts):
        return 8e-3 * n
    width = sum(map(prod, [shape] if isinstance(shape, tuple) else shape.values()))
    return 8e-3 * n * max(0.25, width / 50) ** 0.5
