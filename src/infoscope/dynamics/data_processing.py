"""The data processing inequality along the layers of a network."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from infoscope.measurement import Measurement, Status

DEVIATIONS = 2.0
"""Standard errors of the difference that a later layer may stand above an earlier one by chance."""


def data_processing(layers: Sequence[Measurement]) -> list[Measurement]:
    """These measurements of I(X;T) or I(T;Y), first layer first, with the impossible ones flagged.

    T_1 → T_2 → … is a Markov chain, so information cannot grow along it. An estimate that is above the least one
    before it by more than two standard errors is flagged: the bins or the kernel see the layers unequally. Unknown
    errors count as 0.

    >>> [m.status for m in data_processing([Measurement("I(X;T)", 1.0), Measurement("I(X;T)", 2.0)])][1]
    frozenset({<Status.DATA_PROCESSING_VIOLATED: ...>})
    """
    checked: list[Measurement] = []
    least: Measurement | None = None
    for layer in layers:
        if least is not None and layer.value - least.value > _allowance(layer, least):
            layer = dataclasses.replace(layer, status=layer.status | {Status.DATA_PROCESSING_VIOLATED})
        if least is None or layer.value < least.value:
            least = layer
        checked.append(layer)
    return checked


def _allowance(a: Measurement, b: Measurement) -> float:
    squares = sum(m.stderr**2 for m in (a, b) if m.stderr == m.stderr)
    # Twelve digits: estimates that are equal in exact arithmetic may differ in the last.
    return DEVIATIONS * squares**0.5 + 1e-12 * abs(b.value)
