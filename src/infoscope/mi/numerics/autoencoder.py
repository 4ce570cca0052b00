"""An autoencoder as a look: it learns to bring points down to a few numbers and back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from infoscope.data.task import Task
from infoscope.training.fit import fit
from infoscope.training.learner import Learner
from infoscope.training.recipe import Adam, Recipe

RECIPE = Recipe(Adam(1e-3), batch=128, epochs=200, patience=10)

SMALLEST = 1e-6
"""Squared errors below this count as this: the logit that stands for the loss is finite."""


@dataclass(frozen=True)
class Factory:
    """Factory of an autoencoder with one hidden layer on either side of the code."""

    dims: int
    width: int = 128

    def __call__(self, shape: tuple[int, ...], classes: int) -> Autoencoder:
        """The network for examples of this shape."""
        return Autoencoder(shape[0], self.dims, self.width)


class Autoencoder(nn.Module):
    """Logits (log(e^ℓ − 1), 0), whose cross-entropy with class 1 is ℓ, the mean squared error of the reconstruction."""

    def __init__(self, d: int, dims: int, width: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(d, width), nn.SiLU(), nn.Linear(width, dims))
        self.decoder = nn.Sequential(nn.Linear(dims, width), nn.SiLU(), nn.Linear(width, d))

    def forward(self, x: Tensor) -> Tensor:
        """Two logits a row."""
        loss = (self.decoder(self.encoder(x)) - x).square().mean(1)
        # Above 20 the two sides agree to nine digits, and e^ℓ would overflow further on.
        z = torch.where(loss > 20, loss, loss.clamp(SMALLEST, 20).expm1().log())
        return torch.stack([z, torch.zeros_like(z)], 1)


def encode(points: Float[np.ndarray, "n d"], dims: int, seed: int) -> Float[np.ndarray, "n dims"]:
    """Train an autoencoder on the points, a fifth of them to stop by, and code them."""
    order = np.random.default_rng(seed).permutation(len(points))
    validation, training = (
        Task.from_arrays(points[rows], np.ones(len(rows), dtype=np.int64), alphabet=("", "reconstructed"))
        for rows in np.split(order, [max(1, len(points) // 5)])
    )
    learner = Learner(Factory(dims), RECIPE)
    trained = fit(learner, training, validation, seed=seed)
    network = learner.starting_from(trained.weights).network(training.shape, training.classes, seed)
    assert isinstance(network, Autoencoder)  # what the factory gives
    with torch.no_grad():
        return network.encoder(torch.as_tensor(points, dtype=torch.float32)).double().numpy()
