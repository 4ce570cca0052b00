"""How well a trained network does on examples that it has not seen: accuracy and confidence."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Int

from infoscope.measurement import Measurement, Receipt
from infoscope.prequential.loss_curve import lead, mean_or_nan

Predictions = Mapping[int, Float[np.ndarray, "n classes"]]
"""Probabilities of each replicate's network, by seed."""


def accuracy(p: Predictions, y: Int[np.ndarray, " n"], receipt: Receipt) -> Measurement:
    """Fraction of examples whose most probable class is the true one; the error is over the networks."""
    values = {seed: mean_or_nan(lead(rows, y)[0]) for seed, rows in p.items()}
    return Measurement.from_replicates("accuracy", values, unit="1", receipt=receipt)


def confidence(p: Predictions, y: Int[np.ndarray, " n"], receipt: Receipt) -> Measurement:
    """Mean lead of the most probable class over the second, E_x[p_c1(x) − p_c2(x)].

    Eq. (9)-(11) of "Model Information as an Analysis Tool in Deep Learning".
    """
    values = {seed: mean_or_nan(lead(rows, y)[1]) for seed, rows in p.items()}
    return Measurement.from_replicates("confidence", values, unit="1", receipt=receipt)
