"""Options that make no sense are refused when a coder is made, by name."""

from __future__ import annotations

import pytest

from infoscope.prequential.blocks import Blocks
from infoscope.prequential.entk import NTK
from infoscope.prequential.kernel import Kernel
from infoscope.prequential.replay import Replay


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (Kernel, {"landmarks": -3}), (Kernel, {"alpha": 1.5}), (Kernel, {"neighbours": 0}), (Kernel, {"block": 0}),
        (Kernel, {"noises": (0.03, -0.1, 0.1)}), (Replay, {"batch": 0}), (Replay, {"growth": 1.0}),
        (Replay, {"lr": -0.1}), (Replay, {"momentum": 1.0}), (Replay, {"temperatures": (0.0,)}),
        (Replay, {"replays": -1}), (NTK, {"block": 0}), (NTK, {"noises": (0.0,)}), (NTK, {"temperatures": (-1.0,)}),
        (Blocks, {"first": 0}), (Blocks, {"growth": 0.5}), (Blocks, {"held_out": 1.0}),
    ],
)  # fmt: skip
def test_an_option_out_of_range_is_named(kind, options):
    (name,) = options
    with pytest.raises(ValueError, match=rf"{kind.__name__}\(.*{name}"):
        kind(**options)
