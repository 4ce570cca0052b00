"""Ranks as quantiles of the normal distribution."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.special import ndtri
from scipy.stats import rankdata

from infoscope.mi.numerics.neighbours import standardised


def normal_scores(points: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n m"]:
    """Each column's ranks as quantiles of the normal distribution, Φ⁻¹(rank / (n + 1)); constant columns dropped."""
    varying = points[:, (points != points[:1]).any(0)]
    return standardised(ndtri(rankdata(varying, axis=0) / (len(points) + 1)))
