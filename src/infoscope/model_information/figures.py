"""The figures of a codelength: what labels cost as more of them are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from infoscope.figure import Figure, Line
from infoscope.measurement import NATS_PER_BIT
from infoscope.prequential.codelength import smooth
from infoscope.prequential.loss_curve import LossCurve


@dataclass(frozen=True)
class NamedCurves:
    """The loss curves of one task or network, under one name."""

    name: str
    curves: Sequence[LossCurve]


def codes(named: Sequence[NamedCurves]) -> list[Figure]:
    """Bits sent against labels sent, and the cost of a label against the number already known."""
    return [_cumulative(named), costs(named)]


def saving(name: str, initial: Sequence[LossCurve], trained: Sequence[LossCurve]) -> Figure:
    """Bits that the trained network saves against the untrained one, as labels are sent; it ends at L(M,D)."""
    saved = np.stack([np.cumsum(a.nats - b.nats) for a, b in zip(initial, trained, strict=True)])
    n = range(1, saved.shape[1] + 1)
    band = (_bits(saved.min(0)), _bits(saved.max(0))) if len(saved) > 1 else (None, None)
    caption = "The last value is the model information. Mean over seeds, the band from the smallest to the largest."
    lines = [Line(name, n, _bits(saved.mean(0)), *band)]
    return Figure(f"What training saves on {name}", "labels sent", "bits saved", lines, caption=caption)


def _cumulative(named: Sequence[NamedCurves]) -> Figure:
    lines = []
    for one in named:
        n = range(1, len(one.curves[0]) + 1)
        for curve in one.curves:
            label = one.name if len(one.curves) == 1 else f"{one.name}, order {curve.seed}"
            lines.append(Line(label, n, _bits(np.cumsum(curve.nats))))
    longest = max((one.curves[0] for one in named), key=len)
    n = np.arange(1, len(longest) + 1)
    lines.append(Line("uniform code", n.tolist(), _bits(n * longest.uniform / len(longest)), dash=True))
    caption = (
        "Both axes are logarithmic. A line that leaves the dashed one was predicted from the inputs; where it goes "
        "flat, nothing more is to be learned."
    )
    return Figure("What the labels cost", "labels sent", "bits sent", lines, log_x=True, log_y=True, caption=caption)


def costs(named: Sequence[NamedCurves]) -> Figure:
    """What a label costs against the number already known, one line a task or network."""
    lines = []
    for one in named:
        nats = np.stack([smooth(curve.nats) for curve in one.curves])
        band = (_bits(nats.min(0)), _bits(nats.max(0))) if len(nats) > 1 else (None, None)
        lines.append(Line(one.name, range(1, nats.shape[1] + 1), _bits(nats.mean(0)), *band))
    caption = (
        "Mean over orders, the band from the smallest to the largest; each step is a mean over a quarter of the prefix."
    )
    return Figure(
        "What the next label costs", "labels already sent", "bits a label", lines, log_x=True, caption=caption
    )


def _bits(nats: np.ndarray) -> list[float]:
    return (nats / NATS_PER_BIT).tolist()
