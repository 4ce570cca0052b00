"""The look of this room: what every label cost, one by one, while its predictor learned."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from infoscope.measurement import Receipt
from infoscope.run.look import pack, unpack

Code = Generator[np.ndarray, int, None]
"""Yields the probabilities of the next label, (classes,), and is then sent the label."""


@dataclass(frozen=True, eq=False)
class LossCurve:
    """Code length of every label in coding order, nats; `index` is each example's place in the task it came from.

    `correct` says whether the most probable class was the true one, `margin` how far it led the second (eq. 9-11 of
    "Model Information as an Analysis Tool"), both before the label was seen. `seed` drew the order. `p`, where it was
    kept, is the whole prediction for each label.
    """

    nats: Float[np.ndarray, " n"]
    correct: Bool[np.ndarray, " n"]
    margin: Float[np.ndarray, " n"]
    index: Int[np.ndarray, " n"]
    classes: int
    seed: int = 0
    receipt: Receipt = dataclasses.field(default_factory=lambda: Receipt("probabilities of the caller"))
    p: Float[np.ndarray, "n classes"] | None = None

    @classmethod
    def from_probabilities(cls, p: Any, y: Any, *, seed: int = 0, receipt: Receipt | None = None) -> LossCurve:
        """The curve of anyone's own loop: row i of `p` (n, classes) was predicted before `y[i]` was seen.

        >>> LossCurve.from_probabilities([[0.5, 0.5], [0.25, 0.75]], [0, 1]).nats.round(3).tolist()
        [0.693, 0.288]
        """
        p, y = np.asarray(p, dtype=np.float64), np.asarray(y)
        _check_probabilities(p, y)
        rows = np.arange(len(y))
        with np.errstate(divide="ignore"):
            nats = -np.log(p[rows, y.astype(np.int64)])
        correct, margin = lead(p, y)
        return cls(nats, correct, margin, rows, p.shape[1], seed, receipt or Receipt("probabilities", n=len(y)))

    def __len__(self) -> int:
        return len(self.nats)

    @property
    def total(self) -> float:
        """L(y|x), the sum of all code lengths, in nats."""
        return math.fsum(self.nats.tolist())

    @property
    def uniform(self) -> float:
        """What the labels cost one who knows only their alphabet: n log C, in nats."""
        return len(self) * math.log(self.classes)

    def to_bytes(self) -> bytes:
        """As one safetensors file."""
        kept = (*_ARRAYS, *(("p",) if self.p is not None else ()))
        arrays = {k: torch.from_numpy(np.ascontiguousarray(getattr(self, k))) for k in kept}
        return pack(arrays, classes=self.classes, seed=self.seed, receipt=dataclasses.asdict(self.receipt))

    @classmethod
    def from_bytes(cls, data: bytes) -> LossCurve:
        """The curve that `to_bytes` wrote."""
        arrays, facts = unpack(data)
        receipt = facts["receipt"] | {k: tuple(facts["receipt"][k]) for k in ("seeds", "notes")}
        values = {k: array.numpy() for k, array in arrays.items()}
        return cls(**values, classes=facts["classes"], seed=facts["seed"], receipt=Receipt(**receipt))


_ARRAYS = ("nats", "correct", "margin", "index")


def drive(code: Code, y: Int[np.ndarray, " n"], on_label: Any = None) -> Float[np.ndarray, "n classes"]:
    """Send the labels through a code; what it predicted for each, before it saw it.

    This is the whole of the encoder's side: a code cannot use a label that it has not been sent.
    """
    if not len(y):
        raise ValueError("there is no label to send")
    rows = [next(code)]
    for i, label in enumerate(y[:-1].tolist()):
        rows.append(code.send(label))
        if on_label is not None:
            on_label(i + 1, len(y))
    code.close()
    return np.stack(rows)


def lead(p: Float[np.ndarray, "n classes"], y: Int[np.ndarray, " n"]) -> tuple[np.ndarray, np.ndarray]:
    """Whether the most probable class is the true one, and its lead over the second most probable."""
    if p.shape[1] == 1:
        return np.ones(len(y), dtype=bool), np.ones(len(y))
    second, first = np.partition(p, -2, axis=1)[:, -2:].T
    return p.argmax(1) == y, first - second


def mean_or_nan(values: np.ndarray) -> float:
    """The mean, NaN of nothing."""
    return float(values.mean()) if len(values) else math.nan


def _check_probabilities(p: np.ndarray, y: np.ndarray) -> None:
    if p.ndim != 2 or y.shape != p.shape[:1]:
        raise ValueError(f"p has shape {p.shape} and y {y.shape}; give p (n, classes) and y (n,)")
    if not len(y):
        return
    if y.dtype.kind not in "iu" or y.min() < 0 or y.max() >= p.shape[1]:
        raise ValueError(f"y must hold integers from 0 to {p.shape[1] - 1}, one for each row of p")
    bad = ~np.isfinite(p).all(1) | (p < 0).any(1) | (abs(p.sum(1) - 1) > 1e-4)
    if bad.any():
        raise ValueError(
            f"p has {bad.sum()} of {len(p)} rows that are no probabilities (finite, ≥ 0, sum 1), "
            f"the first is row {int(bad.argmax())}; give softmax outputs, not logits"
        )
