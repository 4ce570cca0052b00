"""Arrays as a source holds them, and how one asks a source for them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch.nn import functional as F

from infoscope.data.inputs import as_inputs, one_array
from infoscope.data.targets import Target


@dataclass(frozen=True)
class Reading:
    """How to read a source.

    `size` scales images to squares; `label` names the column that is to be predicted; `length` cuts text into blocks,
    `lines` into its lines; `tokenizer` (one, or its folder or name on the Hub) stands in the place of bytes
    and of hashed words; `labels=False` is how a decoder reads: without
    touching a label.
    """

    size: int | None = None
    label: str | None = None
    length: int = 256
    lines: bool = False
    tokenizer: Callable[[str], Any] | str | None = None
    labels: bool = True


@dataclass(frozen=True)
class Raw:
    """Arrays as a source holds them, its splits laid end to end.

    `y` is None where the source has no labels, and `target` where it does not say what they are. `as_is` keeps the
    types and axes of `x`; `notes` tell what was guessed.
    """

    x: Any
    y: Any | None
    target: Target | None = None
    splits: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    as_is: bool = False
    notes: tuple[str, ...] = ()


def scaled(raw: Raw, size: int | None, source: str) -> Raw:
    """The same with its images scaled to squares."""
    if size is None:
        return raw
    images = one_array(as_inputs(raw.x, source), source)
    if images.ndim != 4:
        raise ValueError(f"{source}: only images are scaled, and its examples have shape {tuple(images.shape[1:])}")
    return dataclasses.replace(raw, x=F.interpolate(images, (size, size), mode="bilinear", antialias=True).numpy())
