"""The data processing inequality along the layers of a network: the one rule, for every way in which layers come."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

from infoscope.measurement import NATS_PER_BIT, Measurement, Status

DEVIATIONS = 2.0
"""Standard errors of the difference that a later layer may stand above an earlier one by chance."""

ROUNDING = 1e-9
"""Nats by which estimates that are equal in exact arithmetic may differ."""


def data_processing(layers: Mapping[str, Measurement], chain: bool = True) -> dict[str, Measurement]:
    """These measurements of I(X;T) or I(T;Y) by layer, first layer first; one above an earlier layer is noted.

    If X → T_1 → T_2 → … is a Markov chain, I(X;T_k) and I(T_k;Y) cannot grow along it. A value that is above the least
    one before it by more than two standard errors is then no true information: it is flagged
    `DATA_PROCESSING_VIOLATED`, as the bins or the kernel see the layers unequally. Without a chain (connections that
    skip layers, arrays of unknown origin) a rise may be true, and gets the note alone. A layer whose value is NaN is
    passed over, an unknown error counts as 0.

    >>> found = data_processing({"T1": Measurement("I(X;T)", 1.0), "T2": Measurement("I(X;T)", 2.0)})
    >>> found["T2"].status, found["T2"].receipt.notes
    (frozenset({<Status.DATA_PROCESSING_VIOLATED: ...>}), ('I(X;T) is 1.4427 bit above that of T1, an earlier layer',))
    """
    checked: dict[str, Measurement] = {}
    least: tuple[str, Measurement] | None = None
    for layer, m in layers.items():
        checked[layer] = m if least is None else _against(m, *least, chain)
        if not math.isnan(m.value) and (least is None or m.value < least[1].value):
            least = layer, m
    return checked


def _against(m: Measurement, layer: str, least: Measurement, chain: bool) -> Measurement:
    """The measurement, noted if it is above the least one before it."""
    rise = m.value - least.value
    errors = (one.stderr for one in (m, least) if not math.isnan(one.stderr))
    if not rise > max(DEVIATIONS * math.hypot(*errors), ROUNDING):
        return m
    note = f"{m.quantity} is {rise / NATS_PER_BIT:.4f} bit above that of {layer}, an earlier layer"
    receipt = dataclasses.replace(m.receipt, notes=(*m.receipt.notes, note))
    status = m.status | ({Status.DATA_PROCESSING_VIOLATED} if chain else set())
    return dataclasses.replace(m, receipt=receipt, status=status)
