"""How long the looks behind I(w;D) take, from a few of the examples: what a dry run tells."""

from __future__ import annotations

from collections.abc import Callable
from time import process_time

import torch

from infoscope.data.task import Task
from infoscope.training.isolation import isolated
from infoscope.training.learner import Learner, Weights
from infoscope.weight_information.minimum import ROWS
from infoscope.weight_information.weights_and_data.noisy_network import Noise, Settled, form_for, noisy_network

_FEW, _MANY = 16, 64  # examples
_SIDE = 400  # of the matrices by which the speed of this machine is told
_PRODUCTS = 3.0  # of d × d matrices on the way from a minimum to its channel, beside the decompositions


def noisy_seconds(pool: Task, learner: Learner, noise: Noise, device: str) -> float:
    """How long `noisy_network` takes on a processor, from untrained weights."""
    with isolated(noise.seed, threads=1):
        weights = _untrained(pool, learner, noise)
        return _scaled(lambda part: noisy_network(part, part, learner, weights, noise, device), pool)


def following_seconds(pool: Task, learner: Learner, noise: Noise, device: str) -> float:
    """How long `following` takes: to the minimum, the Hessian by its gradients, matrices by their operations."""
    with isolated(noise.seed, threads=1):
        weights = _untrained(pool, learner, noise)
        found = _scaled(lambda part: Settled(part, learner, weights, noise, device), pool)
        n, few = len(pool), pool[:_MANY]
        at = Settled(few, learner, weights, noise, device)
        d, rows = len(at.w), at.w.expand(2 * ROWS, -1)
        if not at.linear:
            found += _took(lambda: at.loss(rows)) * n / len(few) * d / ROWS
        square = torch.randn(_SIDE, _SIDE, dtype=torch.float64)
        square = square + square.T
        decomposed, multiplied = _took(lambda: torch.linalg.eigh(square)), _took(lambda: square @ square)
        times = (2 if form_for(d) == "full" else 1) * (d / _SIDE) ** 3
        outer = n * pool.target.outputs * d**2 / _SIDE**3
        return found + times * decomposed + (_PRODUCTS * (d / _SIDE) ** 3 + outer) * multiplied


def _untrained(pool: Task, learner: Learner, noise: Noise) -> Weights:
    return learner.network(pool.shape, pool.target.outputs, noise.seed).state_dict()


def _scaled(step: Callable[[Task], object], pool: Task) -> float:
    """Seconds for all examples, from those for some and for more."""
    n, few, many = len(pool), min(_FEW, len(pool)), min(_MANY, len(pool))
    step(pool[:few])  # what only the first pays for
    least, most = (_once(lambda part=pool[:count]: step(part)) for count in (few, many))
    return most + max(most - least, 0.0) * (n - many) / max(many - few, 1)


def _took(act: Callable[[], object]) -> float:
    act()
    return _once(act)


def _once(act: Callable[[], object]) -> float:
    begin = process_time()
    act()
    return process_time() - begin
