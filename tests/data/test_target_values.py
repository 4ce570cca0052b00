from __future__ import annotations

import numpy as np
import pytest
import torch

from infoscope.data.target_values import as_values, target_of
from infoscope.data.targets import Boxes, Classes, Labels, Real, Tokens
from infoscope.data.task import Task


@pytest.mark.parametrize(
    ("y", "target", "values", "note"),
    [
        ([0, 1, 2, 1], Classes(("0", "1", "2")), [0, 1, 2, 1], None),
        ([0, 2], Classes(("0", "1", "2")), [0, 1 + 1], None),
        ([0.0, 1.0], Classes(("0", "1")), [0, 1], None),
        ([False, True], Classes(("0", "1")), [0, 1], None),
        ([1, 1], Classes(("0", "1")), [1, 1], None),
        ([1, 3, 2], Classes(("1", "2", "3")), [0, 2, 1], "y holds 1, 2, 3: taken for 3 classes"),
        ([-1, 1, 1], Classes(("-1", "1")), [0, 1, 1], "y holds -1, 1: taken for 2 classes"),
        ([3, 10, 9], Classes(("3", "9", "10")), [0, 2, 1], "taken for 3 classes"),
        (["dog", "cat", "dog"], Classes(("cat", "dog")), [1, 0, 1], None),
        ([[0, 1], [1, 1]], Labels(("0", "1")), [[0, 1], [1, 1]], None),
        ([[0, 1], [1, -1]], Labels(("0", "1")), [[0, 1], [1, -1]], None),
        ([[0, 1], [1, 0]], Labels(("0", "1")), [[0, 1], [1, 0]], "if these are classes, give"),
        ([0.5, 2.0, 1.75], Real(0.25, 0.5, 2.0), [[0.5], [2.0], [1.75]], "numbers from 0.5 to 2 by 0.25"),
        ([[0.5, 1], [2, 1]], Real(0.5, 0.5, 2.0, 2), [[0.5, 1], [2, 1]], "by 0.5"),
    ],
)
def test_what_y_is_taken_for_where_nothing_is_declared(y, target, values, note):
    found, given, notes = target_of(y)
    assert found == target
    assert as_values(given, found).tolist() == values
    assert (note in " ".join(notes)) if note else not notes


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.arange(40) * 7, "40 different whole numbers in 40 examples; say whether these are amounts"),
        ([0, -2, 1], r"1 of 3 labels lie outside the alphabet 0, 1, …, the first is -2"),
        ([[1, 2], [3, 4]], "say what it is"),
        (np.zeros((2, 2, 2)), "say what it is"),
        ([0.5, np.nan], "NaN or infinity"),
        ([0.5, 0.5], "one number only"),
        (["a", None], "Python objects"),
        (3, "a single int64"),
        (np.array([0.0, 1e-300, 1.0 + 0.5]), "only 1e-300 apart"),
    ],
)
def test_what_cannot_be_guessed_asks_to_be_declared(y, message):
    with pytest.raises(ValueError, match=message):
        target_of(y)


def test_a_kind_leaves_only_its_fields_to_be_found():
    amounts = np.arange(40) * 7
    assert target_of(amounts, kind=Real)[0] == Real(7.0, 0.0, 273.0)
    assert target_of(amounts + 1, kind=Classes)[0].outputs == 40
    assert target_of(np.eye(3), kind=Labels)[0] == Labels(("0", "1", "2"))
    for kind in (Tokens, Boxes):
        with pytest.raises(ValueError, match=f"give target={kind.__name__}"):
            target_of(amounts, kind=kind)
    with pytest.raises(ValueError, match="several labels at once"):
        target_of([0, 1], kind=Labels)


def test_as_many_examples_as_classes_need_are_classes():
    many = np.tile(np.arange(30), 10)
    assert target_of(many)[0].outputs == 30
    with pytest.raises(ValueError, match="say whether"):
        target_of(many[:-1])


@pytest.mark.parametrize(
    ("y", "target", "message"),
    [
        ([0, 2], Classes(("a", "b")), "outside the alphabet"),
        (["a", "c"], Classes(("a", "b")), "1 of 2 classes are not in the alphabet of 2, the first is 'c'"),
        ([0.5, 1], Classes(("a", "b")), "fractions"),
        ([[0, 2]], Labels(("a", "b")), "outside 0 and 1"),
        ([[0, 1]], Labels(("a",)), "shape"),
        ([1.0, 9.0], Real(1, 0, 8), "outside 0 to 8"),
        ([1.0, np.inf], Real(1, 0, 8), "NaN or infinity"),
        ([[1, 4]], Tokens(4), "outside the vocabulary of 4"),
    ],
)
def test_values_that_a_declared_target_does_not_take_are_refused(y, target, message):
    with pytest.raises(ValueError, match=message):
        as_values(y, target)


def test_a_declared_target_is_taken_at_its_word():
    x = np.zeros((4, 2))
    assert Task.from_arrays(x, [1, 3, 5, 7], target=Real(1, 0, 10)).y.tolist() == [[1], [3], [5], [7]]
    assert Task.from_arrays(x, [0, 1, 1, 0], target=Real).target == Real(1, 0, 1)
    assert Task.from_arrays(x, ["b", "a", "b", "a"], alphabet="cab").y.tolist() == [2, 1, 2, 1]
    with pytest.raises(TypeError, match="not both"):
        Task.from_arrays(x, [0, 1, 1, 0], alphabet="ab", target=Classes(("a", "b")))
    with pytest.raises(ValueError, match="names a class twice"):
        Task.from_arrays(x, [0, 1, 1, 0], target=Classes(("a", "a")))


def test_what_is_for_one_class_an_example_says_so():
    x = np.zeros((3, 2))
    for task, what in [
        (Task.from_arrays(x, [0.5, 1, 2]), "real numbers"),
        (Task.from_arrays(x, [[0, 1], [1, 1], [0, 0]]), "several labels at once"),
        (Task.from_arrays(np.zeros((3, 2), int), [[0, 1], [1, 1], [0, 0]], target=Tokens(2)), "sequences of tokens"),
    ]:
        for ask in (lambda task=task: task.labels, lambda task=task: task.label_entropy):
            with pytest.raises(ValueError, match=f"'arrays' has {what}, .* not one label an example"):
                ask()
        with pytest.raises(ValueError, match=f"{what}, which have no alphabet"):
            _ = task.classes


def test_notes_travel_with_a_task_into_its_partition():
    from infoscope.data.partition import partition

    task = Task.from_arrays(torch.rand(30, 2), [1, 2, 3] * 10)
    assert task[:20].notes == task.notes != ()
    assert task.notes[0] in partition(task).notes


def test_a_few_whole_numbers_far_apart_are_names_of_classes():
    """As places in an alphabet of 1001, most of which never occurs, they would inflate every number."""
    target, values, notes = target_of([0, 7, 1000] * 20)
    assert target == Classes(("0", "7", "1000"))
    assert values.tolist()[:3] == ["0", "7", "1000"]
    assert "taken for 3 classes" in notes[0]
    assert target_of([0, 9, 0, 9])[0] == Classes(tuple(map(str, range(10))))


def test_labels_used_as_ids_are_asked_about():
    ids = [f"patient {i}" for i in range(300)]
    with pytest.raises(ValueError, match="300 different words in 300 examples, as ids do"):
        target_of(ids)
    assert target_of(ids, kind=Classes)[0].outputs == 300
    assert target_of(ids * 2)[0].outputs == 300


def test_an_alphabet_far_beyond_what_occurs_is_asked_about():
    with pytest.raises(ValueError, match="would take an alphabet of 100001; say how many classes there are"):
        target_of(np.full(50, 100_000))
    assert target_of(np.full(50, 7))[0].outputs == 8
