"""Sums over examples of the squared rows of a network's parameters, and how far they are off."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from infoscope.observation.forms import Forms, squares


@dataclass
class Squares:
    """Σ_i Σ_c r_ic² of every parameter, batch by batch, in double precision.

    `add` takes the rows of some columns, `end` closes a batch of n examples. What batches differ by gives the errors.
    """

    shapes: Mapping[str, tuple[int, ...]]
    sums: dict[str, Tensor] = field(default_factory=dict)
    second: dict[str, Tensor] = field(default_factory=dict)
    examples: list[int] = field(default_factory=list)
    totals: list[dict[str, list[float]]] = field(default_factory=list)
    _now: dict[str, Tensor] = field(default_factory=dict)
    _columns: dict[str, list[float]] = field(default_factory=dict)

    def add(self, forms: Forms, *, by_column: bool) -> None:
        """The rows of some columns of this batch; `by_column` keeps the total of each apart."""
        found: dict[str, Tensor] = {}
        for slot, uses in forms.items():
            part = squares(uses, apart=by_column)
            if slot.whole:
                found[slot.name] = part
            else:
                found.setdefault(slot.name, part.new_zeros(len(part), *self.shapes[slot.name]))[:, *slot.index] = part
        for name, each in found.items():
            if by_column:
                self._columns[name] = (
                    self._columns.get(name, []) + each.reshape(len(each), -1).sum(1, dtype=torch.float64).tolist()
                )
            total = each[0] if len(each) == 1 else each.sum(0)
            self._now[name] = self._now[name] + total if name in self._now else total

    def end(self, n: int) -> None:
        """No more columns come for these n examples."""
        for name, now in self._now.items():
            wide = now.cpu().double() if now.device.type == "mps" else now.double()
            if name not in self.sums:
                self.sums[name], self.second[name] = torch.zeros_like(wide), torch.zeros_like(wide)
            self.sums[name] += wide
            self.second[name].addcmul_(wide, wide, value=1 / n)
            if name not in self._columns:
                self._columns[name] = [float(wide.sum())]
        self.examples.append(n)
        self.totals.append(dict(self._columns))
        self._now, self._columns = {}, {}

    def mean(self, name: str, draws: int) -> Tensor:
        """The mean over examples, and over draws if there are any."""
        return self.sums[name].cpu() / (sum(self.examples) * max(1, draws))

    def stderr(self, name: str, draws: int) -> Tensor:
        """Standard error of that mean over examples and draws, from how batches differ; NaN for a single batch."""
        n, batches = sum(self.examples), len(self.examples)
        if batches < 2:
            return torch.full_like(self.sums[name], math.nan).cpu()
        spread = self.second[name].cpu() - self.sums[name].cpu().square() / n
        return (spread.clamp(min=0) / ((batches - 1) * n)).sqrt() / max(1, draws)

    def traces(self) -> dict[str, Float[Tensor, "batches columns"]]:
        """The sum of each parameter's entries in each batch; a column for each draw, or one."""
        return {name: torch.tensor([batch[name] for batch in self.totals], dtype=torch.float64) for name in self.sums}


@dataclass(frozen=True)
class Total:
    """A trace: its standard error over examples (with their draws), and over draws for these examples alone."""

    value: float
    stderr: float
    stderr_of_draws: float


def total(columns: Float[Tensor, "batches columns"], sizes: Float[Tensor, " batches"], draws: int) -> Total:
    """The mean over examples of sums over batches of these sizes, NaN for an error that one batch or draw can't tell.

    >>> total(torch.tensor([[2.0], [4.0]]), torch.tensor([1.0, 1.0]), 0)
    Total(value=3.0, stderr=1.0, stderr_of_draws=nan)
    """
    n, k = float(sizes.sum()), max(1, draws)
    batches, by_draw = columns.sum(1) / k, columns.sum(0) / n
    mean = float(batches.sum()) / n
    over = float(((batches / sizes - mean).square() * sizes).sum()) / n
    return Total(
        mean,
        math.sqrt(over / (len(sizes) - 1)) if len(sizes) > 1 else math.nan,
        float(by_draw.std()) / math.sqrt(k) if draws > 1 else math.nan,
    )
