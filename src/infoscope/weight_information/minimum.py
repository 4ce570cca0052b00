"""The minimum of a loss with a Gaussian prior's term, reached from given weights, and the curvature there."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import minimize
from torch import Tensor

from infoscope.weight_information.chains import Energy

ROWS = 64
"""Of weights that are moved, up and down, whose gradients are taken at once."""

_DESCENT = {"maxiter": 1000, "maxfun": 2000, "ftol": 1e-14, "gtol": 1e-7}
_STEP = 1e-4
_A_STEP = 1e-4  # of the rest: what a step gains at least, relative to the loss


@dataclass(frozen=True, eq=False)
class Pull:
    """A prior's term ½ `strength` |w − centre|²; of N(m0, λ²) at the price β its strength is β/λ²."""

    centre: Float[Tensor, " d"]
    strength: float

    def at(self, w: Float[Tensor, " d"]) -> tuple[float, Float[Tensor, " d"]]:
        """Its value, and its gradient."""
        away = w - self.centre
        return self.strength * float(away @ away) / 2, self.strength * away


def settled(loss: Energy, weights: Float[Tensor, " d"], pull: Pull, rest: float = 0.0) -> Float[Tensor, " d"]:
    """The minimum of L + the prior's term from these weights on, over all examples, by L-BFGS.

    It ends where a Newton step promises no more than `rest` nats if the loss is nowhere curved less than the prior; or
    where steps gain next to nothing, as they do along the kinks of a ReLU.
    """
    slope = max(_DESCENT["gtol"], math.sqrt(2 * rest * pull.strength / len(weights)))
    options = {**_DESCENT, "gtol": slope, "ftol": max(_DESCENT["ftol"], rest * _A_STEP)}

    def both(at: np.ndarray) -> tuple[float, np.ndarray]:
        w = torch.from_numpy(at)
        (value, slope), (price, back) = loss(w[None]), pull.at(w)
        return float(value[0]) + price, (slope[0] + back).numpy()

    return torch.from_numpy(minimize(both, weights.numpy(), jac=True, method="L-BFGS-B", options=options).x)


def hessian(loss: Energy, w: Float[Tensor, " d"]) -> Float[Tensor, "d d"]:
    """∂²L/∂w² by central differences of gradients in double precision: 2 d of them, of any network.

    >>> loss = lambda rows: (rows.pow(4).sum(1), 4 * rows.pow(3))
    >>> hessian(loss, torch.tensor([1.0, 2.0], dtype=torch.float64)).round(decimals=4)
    tensor([[12.,  0.],
            [ 0., 48.]], dtype=torch.float64)
    """
    rows = []
    for part in (_STEP * torch.eye(len(w), dtype=torch.float64)).split(ROWS):
        up, down = loss(torch.cat([w + part, w - part]))[1].split(len(part))
        rows.append((up - down) / (2 * _STEP))
    found = torch.cat(rows)
    return (found + found.T) / 2
