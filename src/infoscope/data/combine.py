"""Bringing tasks together: examples of several in one, or one with another's image size, channels and alphabet."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from infoscope.data.inputs import Array, Inputs, Shape, one_array
from infoscope.data.origin import derive
from infoscope.data.targets import Classes, Target
from infoscope.data.task import Task


def union(*tasks: Task, disjoint: bool = False) -> Task:
    """All examples of several tasks of one input shape; inputs mapped from disk are read into memory.

    Classes of one name are one class; with `disjoint=True` every task keeps its own classes apart. Tasks of another
    target must have the same one, and `y` of one shape.

    >>> a, b = (Task.from_arrays(torch.zeros(2, 3), [0, 1], name=name) for name in "ab")
    >>> union(a, b).classes, union(a, b, disjoint=True).alphabet
    (2, ('a:0', 'a:1', 'b:0', 'b:1'))
    """
    if not tasks:
        raise TypeError("union() takes at least one task")
    return derive(_union, *tasks, disjoint=disjoint)


def like(task: Task, other: Task) -> Task:
    """`task` with `other`'s image size, channels and alphabet, so that one network can meet both.

    Sizes by area-aware bilinear scaling, colour to grey by the mean over channels, grey to colour by repetition. The
    alphabet of `other` must name all classes of `task`. Inputs by name must have the same shapes already.
    """
    shape = None if task.shape == other.shape else other.shape
    return derive(_like, task, name=other.name, shape=shape, alphabet=other.alphabet)


def resized(task: Task, shape: Shape) -> Task:
    """The task's images in this shape (channels, height, width), scaled as by `like`; its classes stay its own."""
    return task if task.shape == shape else derive(_resized, task, shape=shape)


def first_classes(task: Task, count: int) -> Task:
    """The examples of the first so many classes of the alphabet, which becomes theirs.

    >>> first_classes(Task.from_arrays(torch.zeros(4, 1), [0, 2, 1, 0]), 2).classes
    2
    """
    if not 1 <= count <= task.classes:
        raise ValueError(f"{task.name!r} has {task.classes} classes; {count} were asked for")
    return derive(_first_classes, task, count=count)


def occurring_classes(task: Task) -> Task:
    """The same examples, with an alphabet of the classes that occur among them; another target stays as it is.

    >>> occurring_classes(Task.from_arrays(torch.zeros(2, 1), [2, 0], alphabet="abc")).alphabet
    ('a', 'c')
    """
    if not isinstance(task.target, Classes) or len(task.labels.unique()) == task.classes:
        return task
    return derive(_occurring, task)


def _occurring(task: Task) -> Task:
    present, labels = task.labels.unique(return_inverse=True)
    return dataclasses.replace(task, y=labels, target=Classes(tuple(task.alphabet[i] for i in present.tolist())))


def _resized(task: Task, shape: Shape) -> Task:
    return dataclasses.replace(task, x=_images_like(task, "what it is to be united with", shape), splits={})


def _first_classes(task: Task, count: int) -> Task:
    some = task[np.flatnonzero(task.labels.numpy() < count)]
    return dataclasses.replace(some, name=f"{count} classes of {task.name}", target=Classes(task.alphabet[:count]))


def _union(*tasks: Task, disjoint: bool) -> Task:
    first = tasks[0]
    if any(task.shape != first.shape for task in tasks):
        named = ", ".join(f"{t.name!r} {t.shape}" for t in tasks)
        raise ValueError(f"a union takes examples of one shape: {named}; bring them together with like(task, other)")
    y, target = _classes(tasks, disjoint) if isinstance(first.target, Classes) or disjoint else _same(tasks)
    ids = np.concatenate([t.ids for t in tasks])
    return Task("+".join(t.name for t in tasks), _together([t.x for t in tasks]), y, target, ids, first.origin)


def _classes(tasks: tuple[Task, ...], disjoint: bool) -> tuple[Tensor, Classes]:
    labels = [t.labels for t in tasks]
    words = [tuple(f"{t.name}:{w}" if disjoint else w for w in t.alphabet) for t in tasks]
    alphabet = tuple(dict.fromkeys(w for ws in words for w in ws))
    place = {w: i for i, w in enumerate(alphabet)}
    moved = [torch.tensor([place[w] for w in ws])[y] for y, ws in zip(labels, words, strict=True)]
    return torch.cat(moved), Classes(alphabet)


def _same(tasks: tuple[Task, ...]) -> tuple[Tensor, Target]:
    first = tasks[0]
    for task in tasks:
        if task.target != first.target or task.y.shape[1:] != first.y.shape[1:]:
            raise ValueError(
                f"{first.name!r} asks for {first.target}, {tuple(first.y.shape)}, and {task.name!r} for {task.target}, "
                f"{tuple(task.y.shape)}; a union takes tasks of one target"
            )
    return torch.cat([task.y for task in tasks]), first.target


def _together(inputs: list[Inputs]) -> Inputs:
    if isinstance(inputs[0], Array):
        return torch.cat([one_array(x, "x") for x in inputs])
    return {name: torch.cat([x[name][:] for x in inputs if not isinstance(x, Array)]) for name in inputs[0]}


def _like(task: Task, name: str, shape: Shape | None, alphabet: tuple[str, ...]) -> Task:
    labels = task.labels
    x = task.x if shape is None else _images_like(task, name, shape)
    missing = [w for w in task.alphabet if w not in alphabet]
    if missing:
        raise ValueError(
            f"{task.name!r} has classes that {name!r} does not have ({', '.join(missing[:5])}); "
            "only tasks over one alphabet meet: rename the classes, or unite them with union(..., disjoint=True)"
        )
    place = torch.tensor([alphabet.index(w) for w in task.alphabet])
    title = f"{task.name} as {name}"
    return dataclasses.replace(task, name=title, x=x, y=place[labels], target=Classes(alphabet))


def _images_like(task: Task, name: str, shape: Shape) -> Tensor:
    if len(shape) != 3 or len(task.shape) != 3 or isinstance(shape, dict):
        raise ValueError(
            f"{task.name!r} has examples of shape {task.shape}, {name!r} of {shape}; only images are scaled"
        )
    x, (channels, height, width) = task.array, shape
    if x.shape[1] != channels:
        x = x.mean(1, keepdim=True).expand(-1, channels, -1, -1)
    if x.shape[2:] != (height, width):
        x = F.interpolate(x, (height, width), mode="bilinear", antialias=True)
    return x.contiguous()
