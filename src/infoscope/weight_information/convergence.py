"""Whether chains have come together: R̂, drift, and the error of a mean of what is correlated."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

_BATCHES = 8  # a chain


def split_r_hat(x: Float[Tensor, "scans rungs chains"]) -> Float[Tensor, " rungs"]:
    """R̂ of each rung, every chain split in two: √(((n − 1)/n W + B/n)/W); 1 where all halves agree.

    Gelman et al., "Bayesian Data Analysis", 3rd ed., §11.4.

    >>> round(float(split_r_hat(torch.tensor([0.0, 1.0, 0.0, 1.0])[:, None, None])), 2)
    0.71
    """
    n = len(x) // 2
    halves = torch.cat([x[:n], x[-n:]], 2)
    within = halves.var(0).mean(1)
    between = halves.mean(0).var(1)
    return ((n - 1) / n + between / within).sqrt()


def drift(x: Float[Tensor, "scans rungs chains"]) -> Float[Tensor, " rungs"]:
    """Mean of the second half less that of the first, in standard errors (Geweke 1992), a rung."""
    n = len(x) // 2
    first, second = x[:n], x[-n:]
    error = (standard_error(first).square() + standard_error(second).square()).sqrt()
    return (second.mean((0, 2)) - first.mean((0, 2))) / error


def standard_error(x: Float[Tensor, "scans rungs chains"]) -> Float[Tensor, " rungs"]:
    """Of the mean, from the spread of the means of eight batches a chain."""
    size = max(1, len(x) // _BATCHES)
    batches = x[-size * (len(x) // size) :].unflatten(0, (-1, size)).mean(1)
    means = batches.permute(1, 0, 2).flatten(1)
    return means.std(1) / means.shape[1] ** 0.5
