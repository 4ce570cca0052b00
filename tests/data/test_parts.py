from __future__ import annotations

import pickle

import numpy as np
import pytest

from infoscope.data.task import Task

DIGITS = Task.from_dataset("digits")


def two_splits() -> Task:
    y = [0, 1, 2, 1, 0, 2, 2, 1]
    return Task.from_arrays(
        np.arange(8.0)[:, None], y, alphabet=("a", "b", "c"), splits={"train": (0, 5), "test": (5, 8)}
    )


def test_some_classes_keep_alphabet_and_splits():
    part = two_splits()["classes=b,c"]
    assert part.alphabet == ("a", "b", "c")
    assert part.x[:, 0].tolist() == [1, 2, 3, 5, 6, 7]
    assert (len(part["train"]), len(part["test"])) == (3, 3)
    assert part["test"].x[:, 0].tolist() == [5, 6, 7]
    assert part.name == "arrays:classes=b,c"
    assert two_splits()["train"]["classes=a"].x[:, 0].tolist() == [0, 4]


def test_parts_go_by_name_to_another_process_and_know_their_examples():
    part = Task.from_dataset("digits:classes=0,1")
    assert set(part.y.tolist()) == {0, 1}
    again = pickle.loads(pickle.dumps(part))
    assert (again.name, again.fingerprint) == (part.name, part.fingerprint)
    other = Task.from_dataset("digits:classes=2,3,4,5,6,7,8,9")
    assert sorted([*part.ids, *other.ids]) == sorted(DIGITS.ids)


def test_ranges_and_lists_of_rows(tmp_path):
    assert Task.from_dataset("digits:rows=10..20").fingerprint == DIGITS[10:20].fingerprint
    assert len(Task.from_dataset("digits:rows=1000..")) == 797
    assert Task.from_dataset("digits:classes=3:rows=0..5").y.tolist() == [3] * 5
    np.save(tmp_path / "rows.npy", [5, 2, 9])
    (tmp_path / "rows.txt").write_text("5\n2\n9\n")
    for name in ("rows.npy", "rows.txt"):
        assert DIGITS[f"rows={tmp_path / name}"].fingerprint == DIGITS[[5, 2, 9]].fingerprint


@pytest.mark.parametrize(
    ("part", "told"),
    [
        ("classes=0,ten", "has no class 'ten'; it has: 0, 1, 2"),
        ("rows=5..2", "has 1797 examples; rows=5..2 names none"),
        ("rows=0..5000", "write rows=0..1797"),
        ("rows=nowhere", "the name of a file that lists rows"),
        ("validation", "has no split 'validation'"),
    ],
)
def test_a_part_that_is_not_there_is_told(part, told):
    with pytest.raises(ValueError, match=told):
        Task.from_dataset(f"digits:{part}")


def test_a_file_of_other_things_is_no_list_of_rows(tmp_path):
    np.save(tmp_path / "rows.npy", [0.5])
    with pytest.raises(ValueError, match="holds float64 of shape"):
        DIGITS[f"rows={tmp_path / 'rows.npy'}"]
    (tmp_path / "rows.txt").write_text("2000\n")
    with pytest.raises(ValueError, match="rows run from 2000 to 2000"):
        DIGITS[f"rows={tmp_path / 'rows.txt'}"]
