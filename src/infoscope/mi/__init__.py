"""Mutual information from samples: the front door, and one file an estimator.

Names are imported when they are first used: most estimators need no torch, and start without it.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOME = {
    "Adaptive": "binning",
    "Compressed": "compressed",
    "CopulaCritic": "copula_critic",
    "Critic": "critic",
    "GKNN": "gknn",
    "Gaussian": "gaussian",
    "IDNNS": "binning",
    "InfoNCE": "neural",
    "KDE": "kde",
    "KSG": "ksg",
    "LNN": "lnn",
    "Largest": "largest",
    "LayerInformation": "estimate",
    "LocalGaussian": "local_gaussian",
    "METHODS": "methods",
    "MINE": "neural",
    "NWJ": "neural",
    "Noisy": "noisy",
    "Probe": "probe",
    "Quantised": "quantised",
    "Ross": "ross",
    "SMILE": "neural",
    "Saxe": "binning",
    "Uniform": "binning",
    "data_processing": "processing",
    "latent_sweep": "compressed",
    "layer_bracket": "estimate",
    "layer_information": "estimate",
    "mutual_information": "estimate",
    "extrapolated": "extrapolation",
}

__all__ = [*_HOME]  # pyright: ignore[reportUnsupportedDunderAll] - the stub lists the names


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"infoscope.mi has no {name!r}; it has: {', '.join(_HOME)}")
    return getattr(importlib.import_module(f"infoscope.mi.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
