"""The figures of a codelength: what labels cost as more of them are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from infoscope.measurement import NATS_PER_BIT
from infoscope.prequential.codelength import smooth
from infoscope.prequential.loss_curve import LossCurve
from infoscope.report import Figure, Line


@dataclass(frozen=True)
class Coded:
    """The loss curves of one task or network, under one name."""

    name: str
    curves: Sequence[LossCurve]


def of(coded: Sequence[Coded]) -> list[Figure]:
    """Bits sent against labels sent, and the cost of a label against the number already known."""
    return [_cumulative(coded), _cost(coded)]


def _cumulative(coded: Sequence[Coded]) -> Figure:
    lines = []
    for one in coded:
        n = np.arange(1, len(one.curves[0]) + 1)
        for curve in one.curves:
            label = one.name if len(one.curves) == 1 else f"{one.name}, order {curve.seed}"
            lines.append(Line(label, n, np.cumsum(curve.nats) / NATS_PER_BIT))
    first = max((one.curves[0] for one in coded), key=len)
    n = np.arange(1, len(first) + 1)
    lines.append(Line("uniform code", n, n * first.uniform / len(first) / NATS_PER_BIT, dash=True))
    return Figure(
        "What the labels cost", "labels sent", "bits sent", lines,
        caption="A line that stays far below the dashed one was predicted from the inputs; where it goes flat, "
        "nothing more is to be learned.",
    )  # fmt: skip


def _cost(coded: Sequence[Coded]) -> Figure:
    lines = []
    for one in coded:
        costs = np.stack([smooth(curve.nats) for curve in one.curves]) / NATS_PER_BIT
        mean, n = costs.mean(0), np.arange(1, costs.shape[1] + 1)
        band = (costs.min(0), costs.max(0)) if len(costs) > 1 else (None, None)
        lines.append(Line(one.name, n, mean, *band))
    return Figure(
        "What the next label costs", "labels already sent", "bits a label", lines, log_x=True,
        caption="Mean over orders, the band from the smallest to the largest; each point is a mean over the next "
        "quarter of the prefix.",
    )  # fmt: skip
