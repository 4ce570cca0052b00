"""Whether weights can be a minimum of a loss: by its gradient, against what examples' own add up to by chance, and by
what an answer costs that is the same for all. An untrained network that answers all alike has hardly a gradient.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from infoscope.data.inputs import take
from infoscope.data.targets import MASKED, Classes, Labels, Real, Tokens
from infoscope.data.task import Task
from infoscope.observation.estimators import Empirical
from infoscope.observation.example_traces import example_traces
from infoscope.observation.likelihoods import as_given, likelihood_of
from infoscope.observation.rows import Differentiated

FAR = 9.0
"""Of `gradient_ratio`: three standard deviations of one direction, which no sum over directions exceeds oftener."""

_BATCH = 64


def gradient_ratio(network: nn.Module, task: Task, slope: Float[Tensor, " d"]) -> float:
    """|g|² in units of E|g|² were g = Σ g_i but noise: n/(n − 1) Σ |g_i − g/n|²; `slope` is g, of the summed loss.

    1 on average where the population's loss has no slope, and 0 at a minimum of the examples' own. Whatever the
    directions, a value beyond `FAR` then has a probability below .003: among weighted sums of χ² of one mean a single
    χ² has the heaviest tail (Székely & Bakirov 2003). In eval mode, of the trainable parameters.

    >>> from infoscope.data.targets import Real
    >>> y = torch.tensor([[0.0], [1.0], [2.0]]).double()
    >>> task = Task.from_arrays(torch.ones(3, 1), y, target=Real(1, -9.0, 9.0, centre=1.0, scale=1.0))
    >>> line = nn.Linear(1, 1, bias=False)
    >>> _ = nn.init.zeros_(line.weight)
    >>> gradient_ratio(line, task, torch.tensor([0.0]))
    0.0
    """
    of, n = Differentiated(network, task.x), len(task)
    likelihood, y = likelihood_of(task.target), as_given(task.target, task.y)
    squares = 0.0
    for start in range(0, n, _BATCH):
        rows = slice(start, start + _BATCH)
        found = example_traces(of, take(task.x, rows), likelihood, y[rows], Empirical(), torch.Generator())
        squares += sum(float(t.sum()) for t in found.traces.values())
    whole = float(slope.double().square().sum())
    noise = (squares - whole / n) * n / max(1, n - 1)
    return whole / noise if noise > 0 else math.inf if whole > 0 else 0.0


def constant_loss(task: Task) -> float:
    """What the best answer that is the same for all examples costs, summed over them, as the target has it; nats.

    Infinite for a target of which that is not known. A network with a bias at its end can do as well, so that weights
    which cost as much are no minimum, or have learned nothing.

    >>> task = Task.from_arrays(torch.ones(4, 1), torch.tensor([0, 1, 0, 1]))
    >>> round(constant_loss(task), 6)
    2.772589
    """
    y = task.y
    match task.target:
        case Classes():
            return _entropy(y)
        case Tokens():
            return _entropy(y[y != MASKED])
        case Labels():
            return sum(_entropy(one[one >= 0]) for one in y.T)
        case Real():
            wanted = task.target.standard(y.double())
            return 0.5 * float((wanted - wanted.mean(0)).square().sum())
    return math.inf


def _entropy(y: Tensor) -> float:
    """That of how often each value occurs, times how many there are."""
    counts = torch.unique(y, return_counts=True)[1].double()
    return float(-(counts * (counts / counts.sum()).log()).sum())
