from __future__ import annotations

import numpy as np
import pytest
import torch

from infoscope.data.partition import partition, without_overlap
from infoscope.data.task import Task


def numbered(n: int, **options: object) -> Task:
    return Task.from_arrays(torch.arange(n * 2.0).reshape(n, 2), [i % 3 for i in range(n)], **options)  # type: ignore[arg-type]


def test_the_three_parts_share_no_example():
    parts = partition(numbered(300))
    sets = [set(part.ids.tolist()) for part in (parts.train, parts.validation, parts.coded)]
    assert [len(s) for s in sets] == [180, 20, 100]
    assert len(set.union(*sets)) == 300


def test_a_task_s_own_splits_are_used():
    task = numbered(100, splits={"train": (0, 70), "test": (70, 100)})
    parts = partition(task, train=50)
    assert (len(parts.train), len(parts.coded)) == (50, 30)
    assert set(parts.coded.ids) == set(task["test"].ids)


def test_a_validation_split_is_kept_out_of_the_others():
    parts = partition(numbered(100, splits={"train": (0, 80), "validation": (80, 100)}))
    assert (len(parts.train), len(parts.validation), len(parts.coded)) == (54, 20, 26)
    assert set(parts.validation.ids).isdisjoint([*parts.train.ids, *parts.coded.ids])


def test_what_stops_a_small_training_is_small_too():
    parts = partition(numbered(300), train=18)
    assert (len(parts.train), len(parts.validation)) == (18, 2)


def test_the_same_index_on_both_sides_is_refused():
    task = numbered(10)
    with pytest.raises(ValueError, match=r"3 examples of .* are also in"):
        without_overlap(task[:5], task[2:])


def test_equal_content_is_dropped_from_the_coded_side_and_counted():
    x = torch.tensor([[0.0], [1.0], [2.0], [1.0], [3.0]])
    task = Task.from_arrays(x, [0, 1, 0, 1, 0])
    kept, dropped = without_overlap(task[3:], task[:3])
    assert (dropped, kept.x.tolist()) == (1, [[3.0]])
    with pytest.raises(ValueError, match="nothing is left"):
        without_overlap(task[3:4], task[:3])


def test_what_was_dropped_stands_in_the_notes():
    x = torch.arange(60.0).remainder(30)[:, None]
    notes = partition(Task.from_arrays(x, np.zeros(60, dtype=int), alphabet="ab")).notes
    assert any("were not coded" in note for note in notes)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"k": 300}, "leaves none to train on"), ({"train": 500}, "500 were asked for"), ({"k": -1}, "k is -1")],
)
def test_sizes_that_cannot_be_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        partition(numbered(300), **options)


def test_two_examples_cannot_be_cut_in_three():
    with pytest.raises(ValueError, match="need 3 or more"):
        partition(numbered(2))
