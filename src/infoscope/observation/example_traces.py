"""The trace of the Fisher information, example by example: a sum of squares over all weights needs no more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice

import torch
from jaxtyping import Float
from torch import Tensor

from infoscope.data.inputs import Batch
from infoscope.observation.estimators import Estimator
from infoscope.observation.forms import norms
from infoscope.observation.likelihoods import Likelihood
from infoscope.observation.rows import Differentiated
from infoscope.training.isolation import subnormals_as_zero


@dataclass(frozen=True, eq=False)
class ExampleTraces:
    """tr J_iᵀ H_i J_i of each of n examples, by parameter, and the mean of the diagonal of H_i over their outputs.

    The latter is p (1 − p) of classes, and 1 of numbers: what a network's confidence alone does to the former.
    """

    traces: Mapping[str, Float[Tensor, " n"]]
    variances: Float[Tensor, " n"]


def example_traces(
    of: Differentiated,
    x: Batch,
    likelihood: Likelihood,
    y: Tensor | None,
    estimator: Estimator,
    draws: torch.Generator,
) -> ExampleTraces:
    """By one forward pass over these examples, and a reverse pass for each of the estimator's columns; float64.

    >>> from torch import nn
    >>> from infoscope.observation.estimators import Exact
    >>> from infoscope.observation.likelihoods import GAUSSIAN
    >>> x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> found = example_traces(Differentiated(nn.Linear(2, 1), x), x, GAUSSIAN, None, Exact(), torch.Generator())
    >>> found.traces["weight"].tolist(), found.variances.tolist()
    ([5.0, 25.0], [1.0, 1.0])
    """
    passed = of.at(x)
    outputs = passed.outputs.detach()
    if not bool(outputs.isfinite().all()):
        raise ValueError("the network gives NaN or infinity for some examples; check its weights and its inputs")
    columns = estimator.columns(likelihood, outputs, y, draws)
    found = {name: torch.zeros(passed.n, dtype=torch.float64, device=outputs.device) for name in of.parameters}
    while some := list(islice(columns, passed.together)):
        with subnormals_as_zero():
            for slot, forms in passed.rows(some).items():
                found[slot.name] += norms(forms).double().sum(1)
    k = max(1, estimator.draws)
    variances = likelihood.variance(outputs, y).flatten(1).mean(1)
    return ExampleTraces({name: t.cpu() / k for name, t in found.items()}, variances.cpu())
