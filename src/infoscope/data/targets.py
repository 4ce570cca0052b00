"""What a network is asked to say of an example: what a prediction is, and how many nats it costs.

A target knows what a network must give (`outputs`, `shape`), the `loss` that a network is trained with, the `uniform`
code, and the **symbols** into which an example's target is cut, to be sent one after another (`cut`, `join`). What is
masked is known to both sides: it is neither sent nor learned.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

Symbols = tuple[Int[np.ndarray, " symbols"], Int[np.ndarray, " n"]]
"""All symbols in the order in which they are sent, and how many of them each example has."""

MASKED = -100
"""A token that is neither sent nor learned."""

MOST = 64
"""A number among more bins than this is sent digit by digit, the highest first."""

FINEST = 2.0**53
"""Values of a number, fewer than which can be told apart in double precision."""

MOST_PLACES = 1 << 16
"""Values of a box's coordinate, at most."""


@dataclass(frozen=True)
class Classes:
    """One class an example: `y` (n,) counts into the declared `alphabet`. A network gives logits (n, classes).

    >>> Classes(("cat", "dog")).loss(torch.zeros(1, 2), torch.tensor([1]))
    tensor(0.6931)
    """

    alphabet: tuple[str, ...]

    @property
    def outputs(self) -> int:
        """How many numbers a network gives for an example."""
        return len(self.alphabet)

    def __str__(self) -> str:
        return f"{self.outputs} classes"

    def shape(self, y: Tensor) -> tuple[int, ...]:
        """The shape of what a network gives for these examples."""
        return (len(y), self.outputs)

    def check(self, y: Tensor, name: str = "y") -> None:
        """ValueError unless these are such targets."""
        _check_shape(y, 1, "one class an example: (n,)", name)
        _check_range(y, 0, self.outputs, f"the alphabet of {self}", name)

    def loss(self, outputs: Tensor, y: Int[Tensor, " n"]) -> Tensor:
        """Mean cross-entropy, nats an example."""
        return F.cross_entropy(_wide(outputs), y)

    def uniform(self, y: Tensor) -> Float[np.ndarray, " n"]:
        """Log C, what each example costs one who knows the alphabet only; nats."""
        return np.full(len(y), math.log(max(self.outputs, 1)))

    def mask(self, y: Tensor) -> Bool[np.ndarray, " n"]:
        """Every example is sent."""
        return np.ones(len(y), dtype=bool)

    def cut(self, y: Tensor) -> Symbols:
        """One symbol an example: its class."""
        return y.numpy().astype(np.int64), np.ones(len(y), dtype=np.int64)

    def join(self, symbols: Int[np.ndarray, " symbols"], mask: Bool[np.ndarray, " n"]) -> Int[Tensor, " n"]:
        """The targets that `cut` took apart."""
        return torch.from_numpy(symbols.astype(np.int64).reshape(mask.shape))


@dataclass(frozen=True)
class Labels:
    """Several yes-or-no labels at once, sent in this order: `y` (n, names) of 0 and 1; −1 is masked.

    A network gives one logit a label, (n, names). The empty set is allowed.

    >>> Labels(("red", "round")).loss(torch.zeros(1, 2), torch.tensor([[1, -1]]))
    tensor(0.6931)
    """

    names: tuple[str, ...]

    @property
    def outputs(self) -> int:
        """How many numbers a network gives for an example."""
        return len(self.names)

    def __str__(self) -> str:
        return f"{self.outputs} labels"

    def shape(self, y: Tensor) -> tuple[int, ...]:
        """The shape of what a network gives for these examples."""
        return (len(y), self.outputs)

    def check(self, y: Tensor, name: str = "y") -> None:
        """ValueError unless these are such targets."""
        _check_shape(y, 2, f"0 or 1 for each label, −1 where masked: (n, {self.outputs})", name, self.outputs)
        _check_range(y, -1, 2, "0 and 1 (−1 where masked)", name)

    def loss(self, outputs: Tensor, y: Int[Tensor, "n names"]) -> Tensor:
        """Binary cross-entropy summed over the labels that are not masked, nats an example."""
        wide = _wide(outputs)
        each = F.binary_cross_entropy_with_logits(wide, (y > 0).to(wide), reduction="none")
        return (each * (y >= 0)).sum() / len(y)

    def uniform(self, y: Tensor) -> Float[np.ndarray, " n"]:
        """Log 2 a label, nats."""
        return self.mask(y).sum(1) * math.log(2)

    def mask(self, y: Tensor) -> Bool[np.ndarray, "n names"]:
        """Which labels are sent."""
        return (y >= 0).numpy()

    def cut(self, y: Tensor) -> Symbols:
        """One binary symbol for each label that is not masked."""
        mask = self.mask(y)
        return y.numpy()[mask].astype(np.int64), mask.sum(1)

    def join(self, symbols: Int[np.ndarray, " symbols"], mask: Bool[np.ndarray, "n names"]) -> Int[Tensor, "n names"]:
        """The targets that `cut` took apart."""
        return _filled(symbols, mask, -1)


@dataclass(frozen=True)
class Real:
    """Numbers at a declared resolution δ and range: `y` (n, dim); a prediction is a distribution over the bins.

    Bins are centred on low, low + δ, … high; the end bins take the tails of a distribution. A network gives (n, dim)
    in standard units, (y − centre) / scale, both declared and never fitted: by default the middle of the range and a
    quarter of it. For a network that speaks the units of `y`, declare centre=0 and scale=1.

    >>> target = Real(resolution=1.0, low=0.0, high=400.0)
    >>> target.bins, target.centre, target.scale
    (401, 200.0, 100.0)
    >>> target.loss(torch.tensor([[1.0]]), torch.tensor([[200.0]]))
    tensor(0.5000)
    """

    resolution: float
    low: float
    high: float
    dim: int = 1
    centre: float = math.nan
    scale: float = math.nan

    def __post_init__(self) -> None:
        if not (self.resolution > 0 and 0 < self.high - self.low < math.inf and self.dim >= 1):
            raise ValueError(f"{self}: the resolution is above 0, low below high, both finite, dim at least 1")
        if math.isnan(self.centre):
            object.__setattr__(self, "centre", (self.low + self.high) / 2)
        if math.isnan(self.scale):
            object.__setattr__(self, "scale", (self.high - self.low) / 4)
        if not (0 < self.scale < math.inf and math.isfinite(self.centre)):
            raise ValueError(f"{self}: the scale is above 0 and finite, and so is the centre")
        if not (self.high - self.low) / self.resolution < FINEST:
            raise ValueError(f"{self}: these are more than 2^53 values; declare a coarser resolution")

    @property
    def outputs(self) -> int:
        """How many numbers a network gives for an example."""
        return self.dim

    def __str__(self) -> str:
        return f"{self.dim} number{'s' * (self.dim > 1)} from {self.low:g} to {self.high:g} by {self.resolution:g}"

    @property
    def bins(self) -> int:
        """How many values a number may have: (high − low) / δ + 1."""
        return round((self.high - self.low) / self.resolution) + 1

    @property
    def digits(self) -> int:
        """How many symbols a number is sent in."""
        return next(k for k in range(1, 64) if MOST**k >= self.bins)

    @property
    def base(self) -> int:
        """How many values a digit may have, but for those that would lead beyond the last bin."""
        return next(b for b in range(1, MOST + 1) if b**self.digits >= self.bins)

    def shape(self, y: Tensor) -> tuple[int, ...]:
        """The shape of what a network gives for these examples."""
        return (len(y), self.dim)

    def check(self, y: Tensor, name: str = "y") -> None:
        """ValueError unless these are such targets."""
        _check_shape(y, 2, f"numbers: (n, {self.dim})", name, self.dim)
        half = self.resolution / 2 * (1 + 1e-9)
        bad = ~((y >= self.low - half) & (y <= self.high + half)).all(1)
        if bad.any():
            first = int(bad.nonzero()[0])
            raise ValueError(
                f"{name}: {int(bad.sum())} of {len(y)} rows are NaN or outside {self.low:g} to {self.high:g}, the "
                f"first is row {first}; declare the range that the numbers may have"
            )

    def standard(self, y: Tensor) -> Tensor:
        """(y − centre) / scale."""
        return (y - self.centre) / self.scale

    def loss(self, outputs: Tensor, y: Float[Tensor, "n dim"]) -> Tensor:
        """Of a Gaussian with the declared scale, ½ Σ_dim (f − (y − centre)/scale)²; nats an example but a constant."""
        wide = _wide(outputs)
        return 0.5 * (wide - self.standard(y).to(wide)).square().sum() / len(y)

    def uniform(self, y: Tensor) -> Float[np.ndarray, " n"]:
        """Dim · log bins, nats."""
        return np.full(len(y), self.dim * math.log(self.bins))

    def mask(self, y: Tensor) -> Bool[np.ndarray, "n dim"]:
        """Every number is sent."""
        return np.ones(tuple(y.shape), dtype=bool)

    def bin(self, y: Tensor) -> Int[np.ndarray, "n dim"]:
        """The bin of each number."""
        index = np.rint((y.double().numpy() - self.low) / self.resolution).astype(np.int64)
        return index.clip(0, self.bins - 1)

    def value(self, index: Int[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """The middle of each bin."""
        return np.asarray(self.low + self.resolution * index)

    def cut(self, y: Tensor) -> Symbols:
        """The digits of the bin of each number, the highest first."""
        powers = self.base ** np.arange(self.digits - 1, -1, -1)
        digits = self.bin(y)[..., None] // powers % self.base
        return digits.reshape(-1), np.full(len(y), self.dim * self.digits)

    def join(self, symbols: Int[np.ndarray, " symbols"], mask: Bool[np.ndarray, "n dim"]) -> Float[Tensor, "n dim"]:
        """The targets that `cut` took apart, at the resolution."""
        powers = self.base ** np.arange(self.digits - 1, -1, -1)
        return torch.from_numpy(self.value((symbols.reshape(*mask.shape, self.digits) * powers).sum(-1)))


@dataclass(frozen=True)
class Tokens:
    """What comes next in a sequence: `y` (n, length) counts into the vocabulary; −100 is neither coded nor learned.

    The inputs are the same sequence, one place behind: `x[:, t + 1]` is `y[:, t]` wherever that is coded, and `x[:, 0]`
    is free, the mark of a beginning. So a document w_1 … w_k goes in as (BOS, w_1, … w_k) and is asked for as
    (w_1, … w_k, EOS), and what a network gives at place t, (n, length, vocabulary), is its prediction of `y[:, t]`.

    >>> Tokens(4).loss(torch.zeros(1, 2, 4), torch.tensor([[3, -100]]))
    tensor(1.3863)
    """

    vocabulary: int

    @property
    def outputs(self) -> int:
        """How many numbers a network gives for a place."""
        return self.vocabulary

    def __str__(self) -> str:
        return f"tokens of {self.vocabulary}"

    def shape(self, y: Tensor) -> tuple[int, ...]:
        """The shape of what a network gives for these examples."""
        return (*y.shape, self.vocabulary)

    def check(self, y: Tensor, name: str = "y") -> None:
        """ValueError unless these are such targets."""
        _check_shape(y, 2, "tokens, −100 where masked: (n, length)", name)
        _check_range(
            y[y != MASKED], 0, self.vocabulary, f"the vocabulary of {self.vocabulary} (−100 where masked)", name
        )

    def loss(self, outputs: Tensor, y: Int[Tensor, "n length"]) -> Tensor:
        """Mean cross-entropy over the tokens that are not masked: nats a token, the measure of this field."""
        total = F.cross_entropy(_wide(outputs).flatten(0, 1), y.flatten().long(), ignore_index=MASKED, reduction="sum")
        return total / (y != MASKED).sum().clamp(min=1)

    def uniform(self, y: Tensor) -> Float[np.ndarray, " n"]:
        """Log V a token, nats."""
        return self.mask(y).sum(1) * math.log(self.vocabulary)

    def mask(self, y: Tensor) -> Bool[np.ndarray, "n length"]:
        """Which tokens are sent."""
        return (y != MASKED).numpy()

    def cut(self, y: Tensor) -> Symbols:
        """One symbol for each token that is not masked."""
        mask = self.mask(y)
        return y.numpy()[mask].astype(np.int64), mask.sum(1)

    def join(self, symbols: Int[np.ndarray, " symbols"], mask: Bool[np.ndarray, "n length"]) -> Int[Tensor, "n length"]:
        """The targets that `cut` took apart."""
        return _filled(symbols, mask, MASKED)


@dataclass(frozen=True)
class Boxes:
    """Objects in an image: `y` (n, k, 5), rows of class, centre x, centre y, width, height; class −1 fills up.

    The last four are relative to the image, and sent at a `resolution`. What a network gives, and its loss, are its
    own (see `infoscope.models.detection`).
    """

    alphabet: tuple[str, ...]
    resolution: float = 1 / 64

    def __post_init__(self) -> None:
        if not 1 / MOST_PLACES <= self.resolution <= 1:
            raise ValueError(
                f"Boxes(resolution={self.resolution}): the resolution is a share of the image, 1/{MOST_PLACES} to 1"
            )

    @property
    def outputs(self) -> int:
        """How many classes a network tells apart."""
        return len(self.alphabet)

    def __str__(self) -> str:
        return f"boxes of {len(self.alphabet)} classes"

    @property
    def bins(self) -> int:
        """How many values a coordinate may have."""
        return round(1 / self.resolution) + 1

    def shape(self, y: Tensor) -> tuple[int, ...]:
        """ValueError: it is the network's own."""
        raise ValueError(_OWN_LOSS)

    def check(self, y: Tensor, name: str = "y") -> None:
        """ValueError unless these are such targets."""
        if y.ndim != 3 or y.shape[-1] != 5:
            raise ValueError(f"{name}: y has shape {tuple(y.shape)}; boxes are (n, k, 5): class, centre, width, height")
        _check_range(y[..., 0], -1, len(self.alphabet), f"the alphabet of {len(self.alphabet)} classes", name)

    def loss(self, outputs: Any, y: Float[Tensor, "n k 5"]) -> Tensor:
        """ValueError: it is the network's own."""
        raise ValueError(_OWN_LOSS)

    def uniform(self, y: Tensor) -> Float[np.ndarray, " n"]:
        """Log (k + 1) for the number of objects, log C for the class of each and 4 log bins for its place; nats."""
        box = math.log(len(self.alphabet)) + 4 * math.log(self.bins)
        return math.log(y.shape[1] + 1) + (y[..., 0] >= 0).sum(1).double().numpy() * box

    def mask(self, y: Tensor) -> Bool[np.ndarray, "n k"]:
        """Room for k objects an image."""
        return np.ones((len(y), y.shape[1]), dtype=bool)

    def cut(self, y: Tensor) -> Symbols:
        """For each image the number of objects, then class and four coordinates of each."""
        parts = [self._image(image[image[:, 0] >= 0].double().numpy()) for image in y]
        return np.array(list(chain(*parts)), dtype=np.int64), np.array([len(part) for part in parts], dtype=np.int64)

    def _image(self, objects: Float[np.ndarray, "objects 5"]) -> list[int]:
        grid = np.rint(objects[:, 1:] / self.resolution).clip(0, self.bins - 1)
        return [len(objects), *np.column_stack([objects[:, :1], grid]).astype(np.int64).ravel().tolist()]

    def join(self, symbols: Int[np.ndarray, " symbols"], mask: Bool[np.ndarray, "n k"]) -> Float[Tensor, "n k 5"]:
        """The targets that `cut` took apart, at the resolution."""
        y, start = torch.zeros(*mask.shape, 5), 0
        y[..., 0] = -1
        for image in y:
            count = int(symbols[start])
            objects = torch.from_numpy(symbols[start + 1 : start + 1 + 5 * count].reshape(count, 5)).float()
            objects[:, 1:] *= self.resolution
            image[:count] = objects
            start += 1 + 5 * count
        return y


Target = Classes | Labels | Real | Tokens | Boxes


def check_outputs(outputs: Any, target: Target, y: Tensor, network: object) -> None:
    """ValueError unless a network gave what this target asks for."""
    if isinstance(target, Boxes):
        return
    wanted, shape = target.shape(y), tuple(outputs.shape) if isinstance(outputs, Tensor) else None
    if shape != wanted:
        given = f"a {type(outputs).__name__}" if shape is None else f"an output of shape {shape}"
        raise ValueError(
            f"{type(network).__name__} gave {given} for {len(y)} examples of {target}; "
            f"it must give {_KINDS[type(target)]} of shape {wanted}"
        )


_KINDS = {Classes: "logits", Labels: "logits", Real: "numbers", Tokens: "logits"}

_OWN_LOSS = "a network that finds boxes brings its own loss; give it: Recipe(loss=DetectionLoss())"


def _wide(outputs: Tensor) -> Tensor:
    """Outputs of half precision as float32, in which losses are summed."""
    return outputs.float() if outputs.dtype in (torch.float16, torch.bfloat16) else outputs


def _filled(symbols: np.ndarray, mask: np.ndarray, masked: int) -> Tensor:
    y = np.full(mask.shape, masked, dtype=np.int64)
    y[mask] = symbols
    return torch.from_numpy(y)


def _check_shape(y: Tensor, ndim: int, wanted: str, name: str, width: int | None = None) -> None:
    if y.ndim != ndim or (width is not None and y.shape[1] != width):
        raise ValueError(f"{name}: y has shape {tuple(y.shape)}; give {wanted}")


def _check_range(y: Tensor, low: int, stop: int, what: str, name: str) -> None:
    outside = ~((y >= low) & (y < stop) & (y == y.round() if y.is_floating_point() else True))
    if outside.any():
        first = tuple(outside.nonzero()[0].tolist())
        raise ValueError(
            f"{name}: {int(outside.sum())} of {y.numel()} targets lie outside {what}, the first is {y[first].item()} "
            f"in row {first[0]}; declare what may occur, or fix the targets"
        )
