"""A mixture of Gaussians in place of the marginal of a code: what Z costs who has seen codes of other examples."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from torch import Tensor

SIZES = (1, 5, 10, 20)
"""Components that are tried."""

_ROWS = 4096  # draws of Z that a mixture is fitted to
_TIMES = 4  # draws an example at most
_MOST_FULL = 32  # units, up to which components have whole covariances
_LEAST = 1e-4  # added to the variances, of units of variance 1


@dataclass(frozen=True, eq=False)
class Mixture:
    """r(z) = Σ_k w_k N(z; m_k, C_k), with C_k⁻¹ = A_k A_kᵀ."""

    weights: Float[Tensor, " k"]
    means: Float[Tensor, "k d"]
    roots: Float[Tensor, "k d d"]

    @classmethod
    def normal(cls, d: int) -> Mixture:
        """N(0, 1) alone.

        >>> Mixture.normal(2).log_density(torch.zeros(1, 2)).exp() * 2 * math.pi
        tensor([1.], dtype=torch.float64)
        """
        return cls(
            torch.ones(1).double(), torch.zeros(1, d, dtype=torch.float64), torch.eye(d, dtype=torch.float64)[None]
        )

    @classmethod
    def fitted(cls, seen: Float[Tensor, "n d"], held_out: Float[Tensor, "m d"], seed: int = 0) -> Mixture:
        """By expectation maximisation on codes, with as many components as make others likeliest."""
        scale = seen.std(0).clamp(min=1e-12) if len(seen) > 1 else torch.ones(seen.shape[1])
        kind = "full" if seen.shape[1] <= _MOST_FULL else "diag"
        x, other = (np.asarray(t / scale) for t in (seen, held_out))
        found = []
        for k in (k for k in SIZES if k == 1 or 2 * k <= len(x)):
            mixture = GaussianMixture(k, covariance_type=kind, reg_covar=_LEAST, random_state=seed)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                found.append(mixture.fit(x if len(x) > 1 else np.concatenate([x, x])))
        best = max(found, key=lambda mixture: mixture.score(other))
        roots = torch.from_numpy(best.precisions_cholesky_)
        roots = roots if kind == "full" else torch.diag_embed(roots)
        return cls(torch.from_numpy(best.weights_), torch.from_numpy(best.means_) * scale, roots / scale[:, None])

    def log_density(self, z: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        """Log r(z), nats."""
        parts = []
        for weight, mean, root in zip(self.weights, self.means, self.roots, strict=True):
            squares = ((z.double() - mean) @ root).square().sum(1)
            parts.append(weight.log() + root.diagonal().log().sum() - squares / 2)
        return torch.stack(parts).logsumexp(0) - z.shape[1] / 2 * math.log(2 * math.pi)


def drawn(mean: Float[Tensor, "n d"], sd: Float[Tensor, "n d"], *seeds: int) -> Float[Tensor, "rows d"]:
    """Draws of Z of some examples, a few of each; no seeds share noise, nor do these with those of one number."""
    mean, sd = (t[:_ROWS].double().cpu() for t in (mean, sd))
    times = min(_TIMES, -(-_ROWS // len(mean)))
    noise = torch.from_numpy(np.random.default_rng(seeds).standard_normal((times, *mean.shape)))
    return (mean + sd * noise).flatten(0, 1)[:_ROWS]
