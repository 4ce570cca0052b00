"""Small data sets that scikit-learn brings along."""

from __future__ import annotations

from typing import Any

import numpy as np

from infoscope.data.raw import Raw
from infoscope.data.targets import Classes


def read(name: str) -> Raw:
    """The data set of this name; measurements in unlike units are standardised, pixels lie in 0 … 1."""
    from sklearn import datasets

    bunch: Any = getattr(datasets, f"load_{name}")()
    x = bunch.data.reshape(-1, 1, 8, 8) / 16 if name == "digits" else standardised(bunch.data)
    return Raw(x.astype(np.float32), bunch.target, Classes(tuple(map(str, bunch.target_names))))


def standardised(x: np.ndarray) -> np.ndarray:
    """Columns in unlike units (centimetres, per cent) brought to mean 0 and deviation 1."""
    return (x - x.mean(0)) / np.where(x.std(0) > 0, x.std(0), 1)
