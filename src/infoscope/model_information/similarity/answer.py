"""What a question of similarity comes to: its table, its heat maps, its sentence."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from infoscope.data.partition import Partition
from infoscope.figure import Figure, Grid
from infoscope.measurement import NATS_PER_BIT, Measurement
from infoscope.model_information.ratio import Ratio
from infoscope.model_information.similarity.pairs import Pair, Similarities
from infoscope.record import Record, Row

FEW = 3
"""Tasks up to which every pair is told in a sentence."""

MAPS = {
    "L(M,D)": "Bits that a network knows about another task",
    "S": "Similarity S",
    "S_uni": "Unidirectional similarity S_uni",
    "d1": "First-order feature distance",
    "d2": "Second-order feature distance",
    "MMD²": "Maximum mean discrepancy",
    "CKA": "Alignment of the networks' features",
}
"""What is drawn, and under which titles."""


@dataclass(frozen=True)
class SimilarityAnswer:
    """What `Similarity` comes to; `network` and `head` say what it was asked of."""

    parts: Mapping[str, Partition]
    found: Similarities
    beside: tuple[Row, ...]
    network: str
    head: str

    @property
    def title(self) -> str:
        """Similarity of these tasks."""
        return f"Similarity of {', '.join(self.parts)}"

    def record(self) -> Record:
        """L(M,D), S and S_uni of every ordered pair, then the distances of features."""
        return Record.of((*self.found.rows(), *self.beside))

    def figures(self) -> list[Figure]:
        """Heat maps: what is known in bits, S, S_uni, and the distances beside them."""
        rows = list(self.record())
        return [_map(quantity, title, list(self.parts), rows) for quantity, title in MAPS.items()]

    def sentence(self) -> str:
        """Which share of what there is to know about a task is known from another."""
        shares = {pair: one for pair, one in self.found.s_uni.items() if pair[0] != pair[1]}
        told = [pair for pair, one in shares.items() if not math.isnan(one.measurement.value)]
        if not told:
            return "No task was learned well enough for a ratio to be told."
        if len(self.parts) > FEW:
            told.sort(key=lambda pair: shares[pair].measurement.value)
            told = [told[-1], told[0]]
        words = "; ".join(_share(pair, shares[pair]) for pair in told)
        return f"Of what there is to know, a network trained on another task knows: {words}."

    def choices(self) -> Mapping[str, str]:
        """The network, the head's policy, and how each task was parted."""
        told = {"Network": self.network, "Head": self.head}
        return told | {name: "; ".join(part.notes) for name, part in self.parts.items()}

    def write(self, folder: Path) -> Mapping[str, str]:
        """No file but the report."""
        return {}


def _map(quantity: str, title: str, names: list[str], rows: Sequence[Row]) -> Figure:
    by_pair: dict[object, Measurement] = {
        (row.coordinates["source"], row.coordinates["target"]): row.measurement
        for row in rows
        if row.measurement.quantity == quantity
    }
    bits = quantity == "L(M,D)"
    scale = NATS_PER_BIT if bits else 1.0
    values, errors = (
        [[getattr(by_pair[a, b], field) / scale if (a, b) in by_pair else math.nan for b in names] for a in names]
        for field in ("value", "stderr")
    )
    caption = "Trained on the row, asked about the column." if quantity in ("L(M,D)", "S", "S_uni") else ""
    grid = Grid("L(M,D), bit" if bits else quantity, names, names, values, errors)
    return Figure(title, "target", "source", grid=grid, caption=caption)


def _share(pair: Pair, one: Ratio) -> str:
    """One S_uni in words."""
    known = f"{one.measurement.value:.0%} about {pair[1]} from {pair[0]}"
    if math.isnan(one.lower):
        return known
    return f"{known} (95 %: {'no end' if math.isinf(one.upper) else f'{one.lower:.0%} to {one.upper:.0%}'})"
