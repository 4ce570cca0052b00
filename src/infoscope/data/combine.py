"""Bringing data sets together: one image size, one number of channels, one alphabet."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor
from torch.nn import functional as F

from infoscope.data.task import Task


def like(task: Task, name: str, shape: tuple[int, ...], alphabet: tuple[str, ...]) -> Task:
    """`task` with images of `shape` and labels in `alphabet`, which must name all of its classes.

    Sizes by area-aware bilinear scaling, colour to grey by the mean over channels, grey to colour by repetition.
    """
    x = task.x if task.shape == shape else _images_like(task, name, shape)
    missing = [w for w in task.alphabet if w not in alphabet]
    if missing:
        raise ValueError(
            f"{task.name!r} has classes that {name!r} does not have ({', '.join(missing[:5])}); "
            "only tasks over one alphabet meet: rename the classes, or unite them with union(..., disjoint=True)"
        )
    place = torch.tensor([alphabet.index(w) for w in task.alphabet])
    return dataclasses.replace(task, name=f"{task.name} as {name}", x=x, y=place[task.labels], alphabet=alphabet)


def _images_like(task: Task, name: str, shape: tuple[int, ...]) -> Tensor:
    if len(shape) != 3 or len(task.shape) != 3:
        raise ValueError(
            f"{task.name!r} has examples of shape {task.shape}, {name!r} of {shape}; only images are scaled"
        )
    x, (channels, height, width) = task.x, shape
    if x.shape[1] != channels:
        x = x.mean(1, keepdim=True).expand(-1, channels, -1, -1)
    if x.shape[2:] != (height, width):
        x = F.interpolate(x, (height, width), mode="bilinear", antialias=True)
    return x.contiguous()
