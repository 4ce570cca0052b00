"""How inputs vary around an example: the covariance of a data set as a root, correlations shrunk."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from sklearn.covariance import ledoit_wolf
from torch import Tensor

Covariance = Literal["data", "independent"]
"""As the data's numbers do together, or each by itself."""

MOST_NUMBERS = 4096
"""Of an input, up to which their correlations are taken."""

MOST_EXAMPLES = 2000
"""From which they are."""


def covariance_root(x: Float[Tensor, "n d"], covariance: Covariance = "data") -> Float[Tensor, "d _r"]:
    """A root R of Cov(x) = R Rᵀ, float64: variances as they are, correlations shrunk towards none.

    By Ledoit & Wolf (2004) in standard units, so that it doesn't matter in which units a number comes. `independent`
    drops the correlations. Numbers that never change have rows of 0.

    >>> covariance_root(torch.tensor([[0.0, 1.0], [4.0, 1.0]]), "independent")
    tensor([[2., 0.],
            [0., 0.]], dtype=torch.float64)
    """
    x = x.double()
    deviation = x.std(0, correction=0)
    if covariance == "independent":
        return torch.diag(deviation)
    moving = deviation > 0
    standard = (x[:, moving] - x[:, moving].mean(0)) / deviation[moving]
    shrunk = torch.from_numpy(ledoit_wolf(standard.numpy(), assume_centered=True)[0])
    root = torch.zeros(x.shape[1], int(moving.sum()), dtype=torch.float64)
    root[moving] = deviation[moving, None] * _root(shrunk)
    return root


def _root(positive: Float[Tensor, "d d"]) -> Float[Tensor, "d d"]:
    """By Cholesky, or where columns depend on each other by eigenvectors, which takes ten times as long."""
    root, failed = torch.linalg.cholesky_ex(positive)
    if not int(failed):
        return root
    values, vectors = torch.linalg.eigh(positive)
    return vectors * values.clamp(min=0).sqrt()
