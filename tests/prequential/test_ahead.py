from __future__ import annotations

import numpy as np
import torch

from infoscope.prequential import ahead
from infoscope.prequential.ahead import Ahead
from infoscope.prequential.gaussian_process import Ridge


def test_blocks_of_any_size_are_those_of_a_regression_that_is_factored_for_each(monkeypatch):
    """With what is factored together shorter than a block, and longer than many, and a past to begin with."""
    torch.manual_seed(0)
    phi, targets = torch.randn(60, 7, dtype=torch.float64), np.random.default_rng(0).normal(size=(60, 2))
    for size in (1, 4, 25, 100):
        monkeypatch.setattr(ahead, "AT_ONCE", size)
        plain, known = Ridge(7, 2, 0.3), Ahead(phi, 0.3, 2)
        plain.learn(phi[:5], torch.from_numpy(targets[:5]))
        known.begin(targets[:5])
        for start, stop in ((5, 6), (6, 9), (9, 20), (20, 21), (21, 60)):
            factor, mean = plain.block(phi[start:stop])
            own, told = known.block(start, stop)
            np.testing.assert_allclose(own, factor, atol=1e-12)
            np.testing.assert_allclose(told, mean, atol=1e-12)
            plain.learn(phi[start:stop], torch.from_numpy(targets[start:stop]))
            known.learn(start, told, targets[start:stop])
