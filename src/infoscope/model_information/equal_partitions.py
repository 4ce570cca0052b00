"""Tasks that are compared: trained on equally much, and nothing that is coded for one is trained on for another."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from infoscope.data.partition import Partition
from infoscope.data.task import Task


def equal_partitions(parts: Sequence[Partition], train: int | None = None) -> list[Partition]:
    """The partitions coding as many examples as the smallest does, and training on `train`, or as many as it can.

    What is coded for any of them, the same example or an equal input, is left out of all that is trained on.
    """
    k = min(len(part.coded) for part in parts)
    cut = [part.coding(k) for part in parts]
    cut = [_without_coded(part, cut) for part in cut]
    size = min(len(part.train) for part in cut) if train is None else train
    for part in cut:
        if size > len(part.train):
            raise ValueError(
                f"{part.train.name!r} has {len(part.train)} examples to train on; {size} were asked for, of every task"
            )
    return [_training_on(part, size) for part in cut]


def _without_coded(part: Partition, all_parts: Sequence[Partition]) -> Partition:
    """A partition that trains on nothing that is coded for any task: neither the same example nor an equal input."""
    ids = np.concatenate([other.coded.ids for other in all_parts])
    alike = [other.coded.content_hashes for other in all_parts if other.coded.shape == part.train.shape]
    hashes = np.concatenate(alike)

    def rest(task: Task) -> Task:
        keep = np.flatnonzero(~(np.isin(task.ids, ids) | np.isin(task.content_hashes, hashes)))
        return task if len(keep) == len(task) else task[keep]

    train, validation = rest(part.train), rest(part.validation)
    dropped = len(part.train) + len(part.validation) - len(train) - len(validation)
    if not dropped:
        return part
    if not (len(train) and len(validation)):
        raise ValueError(
            f"all of {part.train.name!r} is coded for one of the tasks, or its inputs equal such; code fewer by k, or "
            "give tasks with examples of their own"
        )
    note = f"{dropped} examples that are coded for another task were not trained on"
    return Partition(train, validation, part.coded, (*part.notes, note))


def _training_on(part: Partition, size: int) -> Partition:
    if len(part.train) == size:
        return part
    return dataclasses.replace(part, train=part.train[:size], notes=(*part.notes, f"trained on {size}, as all are"))
