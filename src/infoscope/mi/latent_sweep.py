"""How an estimate between compressed sides grows with the size of the code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from infoscope.measurement import Measurement
from infoscope.mi.estimate import mutual_information
from infoscope.mi.estimators.compressed import Compressed


def latent_sweep(
    x: Any, y: Any, method: Compressed, dims: Sequence[int] = (1, 2, 3, 4, 6, 8), **options: Any
) -> dict[int, Measurement]:
    """The compressed estimate at each size of the code; where it stops growing the code holds what there is to hold."""
    settings: dict[str, Any] = {"strict": False} | options
    return {size: mutual_information(x, y, replace(method, dims=size), **settings) for size in dims}
