"""From what networks know of each other's tasks to how alike the tasks are: eq. (4) and (5), and what stands beside."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from infoscope.measurement import Bound, Measurement, Receipt, Status
from infoscope.model_information.ratio import Ratio, ratio
from infoscope.model_information.similarity.feature_distance import first_order, second_order, squared_mmd
from infoscope.observation.cka import cka
from infoscope.record import Row

Pair = tuple[str, str]
"""The source, on which a network was trained, and the target, about which it is asked."""

AGAINST = 2.0
"""Errors below nothing at which knowledge is called in conflict."""


@dataclass(frozen=True)
class Similarities:
    """Of every ordered pair what is known, and the ratios of eq. (4) and (5)."""

    known: Mapping[Pair, Measurement]
    s: Mapping[Pair, Ratio]
    s_uni: Mapping[Pair, Ratio]

    def rows(self) -> tuple[Row, ...]:
        """Pair by pair, L(M,D) first."""
        return tuple(
            Row({"source": pair[0], "target": pair[1]}, m)
            for pair, length in self.known.items()
            for m in (length, *self.s[pair].measurements(), *self.s_uni[pair].measurements())
        )


def similarities(known: Mapping[Pair, Measurement]) -> Similarities:
    """S and S_uni of every pair from L(M_source, target), "Model Information as an Analysis Tool", eq. (4) and (5).

        S(A,B) = L(M_A,B) / (L(M_A,A) + L(M_B,B) − L(M_A,B)),    S_uni(A,B) = L(M_A,B) / L(M_B,B)

    Of a task and itself both are 1, by definition and not by measurement. A pair whose L lies over two errors below
    nothing carries the status CONFLICT.

    >>> bits = {("A", "A"): 2.0, ("A", "B"): 1.0, ("B", "B"): 1.0, ("B", "A"): 1.0}  # B is half of A
    >>> found = similarities({pair: Measurement("L(M,D)", value) for pair, value in bits.items()})
    >>> [found.s[pair].measurement.value for pair in bits], [found.s_uni[pair].measurement.value for pair in bits]
    ([1.0, 0.5, 1.0, 0.5], [1.0, 1.0, 1.0, 0.5])
    """
    flagged = {pair: _flagged(length) for pair, length in known.items()}
    s, s_uni = {}, {}
    for (source, target), length in flagged.items():
        own = flagged[target, target]
        s_uni[source, target] = _one_if_same(source, target, ratio(length, own, "S_uni"))
        s[source, target] = _one_if_same(
            source, target, ratio(length, _in_all(flagged[source, source], own, length), "S")
        )
    return Similarities(flagged, s, s_uni)


def _in_all(a: Measurement, b: Measurement, common: Measurement) -> Measurement:
    """L(M_A,A) + L(M_B,B) − L(M_A,B), which eq. (4) takes together although data and networks differ."""
    total = a + b - common
    return dataclasses.replace(total, status=total.status - {Status.INCOMPARABLE})


def _one_if_same(source: str, target: str, found: Ratio) -> Ratio:
    """A task and itself are alike by definition, where there is anything to know of it."""
    known = dataclasses.replace(found.measurement, status=found.measurement.status - {Status.UNBOUNDED})
    if source != target or Status.NO_RATIO in known.status:
        return dataclasses.replace(found, measurement=_plain(found.measurement))
    return Ratio(dataclasses.replace(_plain(known), value=1.0, stderr=0.0, bound=Bound.EXACT))


def _plain(m: Measurement) -> Measurement:
    """Numerator and denominator are of other data and networks by their definition."""
    return dataclasses.replace(m, status=m.status - {Status.INCOMPARABLE})


def _flagged(length: Measurement) -> Measurement:
    if length.value < -AGAINST * length.stderr:
        return dataclasses.replace(length, status=length.status | {Status.CONFLICT})
    return length


@dataclass(frozen=True, eq=False)
class SeenBy:
    """Features of each task's coded examples for one seed: by the one network, by its own, and by every source's."""

    one: Mapping[str, np.ndarray]
    by_source: Mapping[Pair, np.ndarray]


def feature_rows(seen: Mapping[int, SeenBy], names: Sequence[str], receipt: Receipt) -> tuple[Row, ...]:
    """The feature distances and CKA of every ordered pair of different tasks, over the seeds.

    Distances are the same in both directions; CKA is of the target's examples.
    """
    rows = []
    for source in names:
        for target in names:
            if source == target:
                continue
            values: dict[str, dict[int, float]] = {}
            for seed, one in seen.items():
                for quantity, value in _of_pair(one, source, target).items():
                    values.setdefault(quantity, {})[seed] = value
            for quantity, by_seed in values.items():
                m = Measurement.from_replicates(quantity, by_seed, unit="1", receipt=receipt)
                rows.append(Row({"source": source, "target": target}, m))
    return tuple(rows)


def _of_pair(seen: SeenBy, source: str, target: str) -> dict[str, float]:
    a, b = seen.one[source], seen.one[target]
    own_a, own_b = seen.by_source[source, source], seen.by_source[target, target]
    return {
        "d1": first_order(a, b),
        "d2": second_order(a, b),
        "d1, own features": first_order(own_a, own_b),
        "d2, own features": second_order(own_a, own_b),
        "MMD²": squared_mmd(a, b),
        "CKA": cka(seen.by_source[source, target], own_b),
    }
