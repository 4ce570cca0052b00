"""The weights of many networks: how far training carries them, their pictures, their symmetries.

Names are imported when they are first used.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOME = {
    "QMCM": "qmcm",
    "Alignment": "alignment",
    "Distances": "distance",
    "Group": "groups",
    "Groups": "groups",
    "Nearest": "nearest",
    "Networks": "stacked",
    "Picture": "mds",
    "Reached": "along_training",
    "Scales": "invariance",
    "Shortest": "shortest",
    "SubsetScale": "qmcm",
    "align": "alignment",
    "align_all": "alignment",
    "aligned_ends": "alignment",
    "at_matched_loss": "along_training",
    "balance": "invariance",
    "balance_all": "invariance",
    "classical_mds": "mds",
    "distance_curve": "along_training",
    "function_distances": "function_distance",
    "gaussian_codelength": "distance",
    "landmark_mds": "landmarks",
    "matched_distances": "along_training",
    "mds_of_distances": "mds",
    "nearest_ends": "nearest",
    "permutation_groups": "groups",
    "scale_groups": "invariance",
    "shortest_distances": "shortest",
    "sphere_simulation": "shortest",
    "stack": "stacked",
    "support_information": "shortest",
    "weight_distances": "distance",
}

__all__ = [*_HOME]  # pyright: ignore[reportUnsupportedDunderAll] - the stub lists the names


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"infoscope.weights has no {name!r}; it has: {', '.join(_HOME)}")
    return getattr(importlib.import_module(f"infoscope.weights.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
