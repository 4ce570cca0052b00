"""Every estimator of the table is held to what it claims; a new one is one more row of `METHODS`."""

from __future__ import annotations

import pytest

from infoscope.mi import KSG, METHODS, Compressed, Gaussian, Quantised, Uniform
from infoscope.testing import parametrize_with_checks

OPTIONS = {
    "ksg-2": KSG(variant=2),
    "gaussian-plain": Gaussian(corrected=False),
    "quantised-corrected": Quantised(corrected=True),
    "uniform-layer": Uniform(8, "layer"),
    "uniform-neuron": Uniform(8, "neuron"),
    "compressed-1": Compressed(1),
}
"""Options that make another estimator of a row."""


@parametrize_with_checks(METHODS | OPTIONS, slow=pytest.mark.long)
def test_contract(check):
    check()
