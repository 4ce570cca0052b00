"""Files that a question is asked to write: checked before anything is computed for them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from infoscope.measurement import NATS_PER_BIT
from infoscope.prequential.loss_curve import LossCurve


def check_writable(*files: Path | None) -> None:
    """ValueError if a file that is to be written could not be."""
    for file in files:
        if file is not None and not (file.parent.is_dir() and os.access(file.parent, os.W_OK)):
            raise ValueError(f"{file}: cannot be written, there is no folder {file.parent} to write to; make it first")


def save_per_example(path: Path, curves: Mapping[str, Sequence[LossCurve]]) -> None:
    """Code lengths in bits, (replicates, n) in coding order, with the row of the data that each belongs to."""
    arrays: dict[str, Any] = {}
    for prefix, several in curves.items():
        arrays[f"{prefix}bits"] = np.stack([curve.nats for curve in several]) / NATS_PER_BIT
        arrays["index"] = np.stack([curve.index for curve in several])
        arrays["seeds"] = np.array([curve.seed for curve in several])
    with path.open("wb") as file:
        np.savez(file, **arrays)
