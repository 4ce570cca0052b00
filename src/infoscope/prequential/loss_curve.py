"""The look of this room: what every example cost, one by one, while its predictor learned."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from infoscope.measurement import Receipt
from infoscope.run.look import pack, unpack

Code = Generator[np.ndarray, int, None]
"""Yields the probabilities of the next symbol, (alphabet,), and is then sent the symbol."""


@dataclass(frozen=True, eq=False)
class LossCurve:
    """Code length of every example in coding order, nats; `index` is each one's place in the task it came from.

    `uniform` is what all cost one who knows only what may occur, nats, and `symbols` how many labels, digits or tokens
    were sent. For one class an example, `classes` is the size of the alphabet, `correct` says whether the most probable
    class was the true one and `margin` how far it led the second (eq. 9-11 of "Model Information as an Analysis Tool"),
    both before the label was seen; for other targets they are None. `seed` drew the order. `payload`, where it was
    kept, is all that was sent, as bytes.
    """

    nats: Float[np.ndarray, " n"]
    index: Int[np.ndarray, " n"]
    uniform: float
    symbols: int
    classes: int | None = None
    correct: Bool[np.ndarray, " n"] | None = None
    margin: Float[np.ndarray, " n"] | None = None
    seed: int = 0
    receipt: Receipt = dataclasses.field(default_factory=lambda: Receipt("probabilities of the caller"))
    payload: bytes | None = None

    @classmethod
    def from_probabilities(cls, p: Any, y: Any, *, seed: int = 0, receipt: Receipt | None = None) -> LossCurve:
        """The curve of anyone's own loop: row i of `p` (n, classes) was predicted before `y[i]` was seen.

        >>> LossCurve.from_probabilities([[0.5, 0.5], [0.25, 0.75]], [0, 1]).nats.round(3).tolist()
        [0.693, 0.288]
        """
        p, y = np.asarray(p, dtype=np.float64), np.asarray(y)
        _check_probabilities(p, y)
        rows, classes = np.arange(len(y)), p.shape[1]
        with np.errstate(divide="ignore"):
            nats = -np.log(p[rows, y.astype(np.int64)])
        correct, margin = lead(p, y)
        return cls(
            nats, rows, len(y) * math.log(classes), len(y), classes, correct, margin, seed,
            receipt or Receipt("probabilities", n=len(y)),
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.nats)

    @property
    def total(self) -> float:
        """L(y|x), the sum of all code lengths, in nats."""
        return math.fsum(self.nats.tolist())

    def to_bytes(self) -> bytes:
        """As one safetensors file."""
        arrays = {k: getattr(self, k) for k in _ARRAYS if getattr(self, k) is not None}
        if self.payload is not None:
            arrays["payload"] = np.frombuffer(self.payload, dtype=np.uint8)
        tensors = {k: torch.from_numpy(np.array(array)) for k, array in arrays.items()}
        facts = {k: getattr(self, k) for k in ("uniform", "symbols", "classes", "seed")}
        return pack(tensors, **facts, receipt=dataclasses.asdict(self.receipt))

    @classmethod
    def from_bytes(cls, data: bytes) -> LossCurve:
        """The curve that `to_bytes` wrote, also of the first form, which was for classes alone."""
        tensors, facts = unpack(data)
        receipt = facts.pop("receipt")
        receipt |= {k: tuple(receipt[k]) for k in ("seeds", "notes")}
        values: dict[str, Any] = {k: tensors[k].numpy() for k in _ARRAYS if k in tensors}
        n = len(values["nats"])
        first = {"uniform": n * math.log(facts["classes"]), "symbols": n} if "uniform" not in facts else {}
        payload = tensors["payload"].numpy().tobytes() if "payload" in tensors else None
        return cls(**values, **first, **facts, receipt=Receipt(**receipt), payload=payload)


_ARRAYS = ("nats", "correct", "margin", "index")


def predictions(code: Code, symbols: Int[np.ndarray, " n"]) -> Iterator[np.ndarray]:
    """What a code predicts of each symbol, before it is told it.

    This is the whole of the encoder's side: a code cannot use a symbol that it has not been sent.
    """
    if len(symbols):
        yield next(code)
    for symbol in symbols[:-1].tolist():
        yield code.send(symbol)
    code.close()


def lead(p: Float[np.ndarray, "n classes"], y: Int[np.ndarray, " n"]) -> tuple[np.ndarray, np.ndarray]:
    """Whether the most probable class is the true one, and its lead over the second most probable."""
    if p.shape[1] == 1:
        return np.ones(len(y), dtype=bool), np.ones(len(y))
    second, first = np.partition(p, -2, axis=1)[:, -2:].T
    return p.argmax(1) == y, first - second


def is_curves(what: object) -> bool:
    """Whether this is a loss curve or a sequence of them.

    >>> is_curves([LossCurve.from_probabilities([[1.0]], [0])]), is_curves([]), is_curves("digits")
    (True, False, False)
    """
    if isinstance(what, LossCurve):
        return True
    return isinstance(what, list | tuple) and bool(what) and all(isinstance(one, LossCurve) for one in what)


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
