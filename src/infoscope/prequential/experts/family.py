"""What a family of experts is, and how one that must be fitted learns: anew whenever what is known has grown enough."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float, Shaped
from threadpoolctl import ThreadpoolController

from infoscope.data.targets import Classes, Labels, Real
from infoscope.prequential.blocks import boundaries, ignorant
from infoscope.prequential.mixture import Experts
from infoscope.training.isolation import isolated

ExampleTarget = Classes | Labels | Real
"""A target that is predicted an example at a time."""


class Family(Protocol):
    """Experts of one kind: a frozen value, whose fields are its options."""

    def experts(self, x: Float[np.ndarray, "n d"], target: ExampleTarget, seed: int) -> Experts:
        """What they predict of the next example, which is then sent."""
        ...

    def memory(self, n: int, d: int, target: ExampleTarget) -> int:
        """How many bytes they fill at most for a table of n rows and d columns, told before they begin."""
        ...


Predict = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""From the inputs (past, d) and targets of the past and the inputs (b, d) of a block: what every expert predicts of it,
(b, experts, …)."""


def refitted(
    predict: Predict,
    size: int,
    x: Shaped[np.ndarray, "n d"],
    target: ExampleTarget,
    seed: int,
    first: int,
    growth: float,
) -> Experts:
    """Experts that are fitted anew whenever the past is `growth` times (or `first`) longer: all rows share the cost.

    A block is predicted from what came before it alone, in one thread and from one seed, and the decoder, who has all
    inputs, computes the same block by the same call. The first block gets what one who knows nothing says.
    """
    sent: list[Any] = []
    for start, stop in boundaries(len(x), first, growth):
        if start:
            with isolated(seed, threads=1), single_threaded(), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # few labels, and classes with one, are the rule at the beginning
                rows = predict(x[:start], np.array(sent), x[start:stop])
        else:
            rows = ignorant(target, stop - start, size)
        for row in rows:
            sent.append((yield row))


@contextmanager
def single_threaded() -> Iterator[None]:
    """One OpenMP thread for scikit-learn, whose sums would otherwise depend on how many there are."""
    import sklearn.utils._openmp_helpers  # noqa: F401 - so that its runtime is loaded

    with _openmp().limit(limits=1, user_api="openmp"):
        yield


@cache
def _openmp() -> ThreadpoolController:
    return ThreadpoolController()
