"""What is trained on, what stops the training, and what is coded: three sets without a common example."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from infoscope.data.near_duplicates import near_duplicates
from infoscope.data.shared_passages import shared_passages
from infoscope.data.task import Task

MOST_CODED = 10_000
"""k of "Model Information as an Analysis Tool", §2."""


@dataclass(frozen=True)
class Partition:
    """A task in three disjoint parts, and in words how they were chosen."""

    train: Task
    validation: Task
    coded: Task
    notes: tuple[str, ...]

    def coding(self, k: int) -> Partition:
        """The same partition with only the first `k` examples to code."""
        if k > len(self.coded):
            raise ValueError(f"{self.coded.name!r} has {len(self.coded)} examples to code, and k = {k} were asked for")
        if k == len(self.coded):
            return self
        return dataclasses.replace(self, coded=self.coded[:k], notes=(*self.notes, f"k = {k} examples are coded"))


def partition(task: Task, *, k: int | None = None, train: int | None = None, seed: int = 0) -> Partition:
    """Cut a task into train, validation and coded parts.

    The coded part is the task's own `test` split, else a third of the examples, at most 10,000; the validation part
    is the task's own `validation` split, else one example for nine that are trained on, at most 5,000. A coded example
    whose input is equal to one that is trained or validated on is dropped, and counted in the notes.
    """
    if len(task) < 3:
        raise ValueError(f"{task.name!r} has {len(task)} examples; training, stopping and coding need 3 or more")
    if k is not None and k < 0:
        raise ValueError(f"k is {k}; it counts the examples to code, 0 or more")
    pool, held_out = _pool_and_held_out(task, k, seed)
    pool, validation = _train_and_validation(task, pool, train)
    coded, dropped = without_overlap(held_out, pool, validation)
    coded = coded[: min(len(coded), MOST_CODED if k is None else k)]
    notes = [f"trained on {len(pool)}, stopped by {len(validation)}, coded {len(coded)} other examples"]
    notes += task.notes
    if dropped:
        notes.append(f"{dropped} examples equal to trained ones were not coded")
    return Partition(pool, validation, coded, tuple(notes))


def room(task: Task, k: int | None = None) -> tuple[int, int]:
    """How many examples `partition` codes and trains on if nothing is asked for but perhaps k, duplicates included.

    >>> room(Task.from_dataset("digits"))
    (599, 1079)
    """
    pool = len(task["train"]) if "train" in task.splits else len(task)
    if "test" in task.splits and "train" in task.splits:
        coded = min(len(task["test"]), MOST_CODED)
    else:
        coded = min(MOST_CODED, max(1, pool // 3)) if k is None else k
        pool -= coded
    trained = pool if "validation" in task.splits else pool - min(5_000, max(1, pool // 10))
    return (coded if k is None else k), max(1, trained)


def _pool_and_held_out(task: Task, k: int | None, seed: int) -> tuple[Task, Task]:
    """What may be trained on, and what is coded: the test split, or a part of the rest."""
    pool = task["train"] if "train" in task.splits else task
    if "test" in task.splits and "train" in task.splits:
        held_out = task["test"]
        if k is not None and k > len(held_out):
            raise ValueError(f"{held_out.name!r} has {len(held_out)} examples to code, and k = {k} were asked for")
        return pool.shuffled(seed), held_out.shuffled(seed)
    mixed = pool.shuffled(seed)
    size = min(MOST_CODED, max(1, len(pool) // 3)) if k is None else k
    if size > len(pool) - 2:
        raise ValueError(f"{task.name!r} has {len(pool)} examples; coding k = {k} of them leaves none to train on")
    return mixed[size:], mixed[:size]


def _train_and_validation(task: Task, pool: Task, train: int | None) -> tuple[Task, Task]:
    """The pool, or `train` of it, and what stops the training: the validation split, or one for nine trained on."""
    own = task["validation"] if "validation" in task.splits else None
    size = 0 if own is not None else min(5_000, max(1, len(pool) // 10 if train is None else train // 9))
    if train is not None and not 1 <= train <= len(pool) - size:
        raise ValueError(f"{task.name!r} has {len(pool) - size} examples to train on; {train} were asked for")
    rest = pool[size:] if train is None else pool[size : size + train]
    return rest, pool[:size] if own is None else own


def without_overlap(coded: Task, *trained_on: Task) -> tuple[Task, int]:
    """`coded` without the examples whose input equals one that was trained on, and how many these were.

    The same example on both sides (the same place in the same source) is a mistake in the caller's split and is
    refused; an equal input under another index is a duplicate that real data sets hold, and is dropped.
    """
    for other in trained_on:
        same = np.intersect1d(coded.ids, other.ids)
        if len(same):
            raise ValueError(
                f"{len(same)} examples of {coded.name!r} are also in {other.name!r}, which was trained on; "
                "code examples that were not trained on"
            )
    alike = [other.content_hashes for other in trained_on if other.shape == coded.shape]
    keep = np.flatnonzero(~np.isin(coded.content_hashes, np.concatenate(alike))) if alike else np.arange(len(coded))
    if len(coded) and not len(keep):
        raise ValueError(f"every example of {coded.name!r} equals one that was trained on; nothing is left to code")
    return (coded, 0) if len(keep) == len(coded) else (coded[keep], len(coded) - len(keep))


@dataclass(frozen=True)
class Unseen:
    """What of a task was not trained on, as far as could be checked: whether all was, and what was found, in words."""

    task: Task
    verified: bool
    notes: tuple[str, ...]


def unseen(coded: Task, trained_on: Task) -> Unseen:
    """`coded` without the examples that were trained on, equal ones and nearly equal ones, which are counted.

    What is nearly equal depends on the inputs: see `near_duplicates`, and `shared_passages` for sequences of tokens. It
    is not verified where neither can tell, and where what is left is still nearer to the trained examples than these
    are to each other.
    """
    coded, equal = without_overlap(coded, trained_on)
    notes = [f"{equal} examples equal to trained ones were not coded"] if equal else []
    found = near_duplicates(coded.x, trained_on.x) or shared_passages(coded, trained_on)
    if found is None:
        what = "equal inputs" if coded.shape == trained_on.shape else "nothing"
        return Unseen(coded, False, (*notes, f"against {len(trained_on)} trained examples {what} could be checked"))
    keep = np.flatnonzero(~found.near)
    if len(coded) and not len(keep):
        raise ValueError(
            f"every example of {coded.name!r} is one that was trained on, but for {found.looked_for}; nothing is left "
            "to code: give examples that were not trained on"
        )
    if len(keep) < len(coded):
        notes.append(f"{len(coded) - len(keep)} examples nearly equal to trained ones were not coded")
        coded = coded[keep]
    notes.append(f"checked against {len(trained_on)} trained examples: equal inputs, and {found.looked_for}")
    if found.crowded:
        notes.append("what is left lies nearer to the trained examples than these do to each other")
    return Unseen(coded, not found.crowded, tuple(notes))
