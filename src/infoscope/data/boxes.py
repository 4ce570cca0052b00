"""Tasks of finding objects: for every image some boxes, each with its class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from infoscope.data.task import Task, as_inputs, from_content


def from_boxes(x: Any, boxes: Sequence[Any], *, alphabet: Sequence[str], name: str = "boxes") -> Task:
    """A task from images and, for each, its objects as rows of class, centre x, centre y, width and height.

    The last four are relative to the image. The task's `y` is (n, k, 5) float32, where k is the most objects that an
    image has; rows of class −1 and zeros fill up the others.

    >>> task = from_boxes(torch.zeros(2, 3, 8, 8), [[(0, 0.5, 0.5, 1, 1)], []], alphabet=["cat"])
    >>> task.y.tolist()
    [[[0.0, 0.5, 0.5, 1.0, 1.0]], [[-1.0, 0.0, 0.0, 0.0, 0.0]]]
    """
    inputs, words = as_inputs(x, name), tuple(map(str, alphabet))
    if len(inputs) != len(boxes):
        raise ValueError(f"{name}: x has {len(inputs)} images and boxes has {len(boxes)} lists; they must match")
    y = torch.zeros(len(boxes), max((len(rows) for rows in boxes), default=0) or 1, 5)
    y[..., 0] = -1
    for i, rows in enumerate(boxes):
        if len(rows):
            y[i, : len(rows)] = _checked(rows, len(words), f"{name}: image {i}")
    return from_content(name, inputs, y, words)


def _checked(rows: Any, classes: int, where: str) -> Float[Tensor, "k 5"]:
    found = np.asarray(rows, dtype=np.float64)
    if found.ndim != 2 or found.shape[1] != 5:
        raise ValueError(f"{where}: boxes have shape {found.shape}; a box is class, centre x, centre y, width, height")
    kind, centre, size = found[:, 0], found[:, 1:3], found[:, 3:]
    if not ((kind >= 0) & (kind < classes) & (kind == kind.round())).all():
        raise ValueError(f"{where}: classes are {kind.tolist()}; they count into the alphabet of {classes}")
    slack = 1e-6  # sums of rounded numbers
    if not ((size > 0) & (centre - size / 2 >= -slack) & (centre + size / 2 <= 1 + slack)).all():
        raise ValueError(f"{where}: a box lies outside or has no area; give it relative to the image, within 0 … 1")
    return torch.from_numpy(found).float()
