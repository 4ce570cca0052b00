from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from infoscope.data.readers import inputs
from infoscope.data.targets import Classes, Real
from infoscope.data.task import Task
from infoscope.data.text import hashed_words
from infoscope.data.texts import Texts

pandas = pytest.importorskip("pandas")

TABLE = """age,colour,flag,note,label
1,red,True,?,yes
2,,False,a,no
?,blue,True,a,yes
3,red,True,a,no
"""


@pytest.fixture
def table(tmp_path):
    file = tmp_path / "table.csv"
    file.write_text(TABLE)
    return file


def test_columns_become_numbers_by_the_rule(table):
    task = Task.from_dataset(table)
    assert (task.name, task.alphabet, task.y.tolist()) == ("table", ("no", "yes"), [1, 0, 1, 0])
    age = np.array([1, 2, 2, 3]) - 2
    deviation = np.std([1, 2, 3])
    wanted = [age / deviation, [0, 0, 1, 0], [0, 0, 1, 0], [1, 0, 0, 1], [0, 1, 0, 0]]
    wanted += [[0, 1, 0, 0], [1, 0, 1, 1], [0, 1, 1, 1], [1, 0, 0, 0]]
    np.testing.assert_allclose(task.x.numpy(), np.array(wanted).T, atol=1e-7)
    assert task.notes[0] == "the column 'label' is predicted"


def test_any_column_may_be_predicted(table):
    with pytest.raises(ValueError, match=r"'colour', which is to be predicted, is missing in 1 of 4 rows, .* is row 1"):
        Task.from_dataset(table, label="colour")
    with pytest.raises(ValueError, match="has no column 'size'; it has: age, colour, flag, note, label"):
        Task.from_dataset(table, label="size")
    assert Task.from_dataset(table, label="flag").y.tolist() == [1, 0, 1, 1]


def test_without_a_known_name_the_last_column_is_predicted():
    frame = pandas.DataFrame({"a": [1.0, 2, 4], "b": [0.5, 1.5, 1.0]})
    task = Task.of(frame)
    assert (task.name, task.target, task.shape) == ("DataFrame", Real(0.5, 0.5, 1.5), (1,))
    named = frame.rename(columns={"a": "target"})
    assert Task.of(named, target=Classes).alphabet == ("1", "2", "4")


def test_a_frame_of_inputs_goes_with_a_series_of_labels():
    frame = pandas.DataFrame({"a": [1.0, 2, 4], "b": ["u", "v", "u"]})
    task = Task.of(frame, pandas.Series(["x", "y", "x"]), name="pair")
    assert (task.name, task.shape, task.alphabet) == ("pair", (3,), ("x", "y"))


def test_a_decoder_reads_no_label(table):
    assert np.array_equal(inputs(str(table)), Task.from_dataset(table).x)
    table.write_text(TABLE.replace("yes", "").replace("no", ""))
    assert inputs(str(table)).shape == (4, 9)


@pytest.mark.parametrize("suffix", ["parquet", "feather", "json", "jsonl", "tsv"])
def test_every_format_of_a_table_gives_the_same(tmp_path, suffix):
    frame = pandas.DataFrame({"a": [1.0, 2, 4], "b": ["u", "v", "u"], "y": [0, 1, 0]})
    file = tmp_path / f"t.{suffix}"
    match suffix:
        case "json" | "jsonl":
            frame.to_json(file, orient="records", lines=suffix == "jsonl")
        case "tsv":
            frame.to_csv(file, sep="\t", index=False)
        case _:
            pytest.importorskip("pyarrow")
            getattr(frame, f"to_{suffix}")(file)
    assert Task.from_dataset(file).fingerprint == Task.of(frame).fingerprint


def test_a_table_of_one_column_of_texts_can_be_read(tmp_path):
    texts = [f"the {i} cats" for i in range(80)]
    rows = [f"{text},{i % 2}" for i, text in enumerate(texts)]
    (tmp_path / "texts.csv").write_text("\n".join(["text,label", *rows]))
    task = Task.from_dataset(str(tmp_path / "texts.csv"))
    assert isinstance(task.x, Texts)
    assert task[[3, 1]].x.words() == ["the 3 cats", "the 1 cats"]
    assert np.array_equal(task.x[:].numpy(), hashed_words(texts))


def test_words_of_many_kinds_are_text():
    frame = pandas.DataFrame({"words": [f"word{i} of {i % 7}" for i in range(60)], "y": [0, 1] * 30})
    task = Task.of(frame)
    assert task.shape == (1024,)
    np.testing.assert_allclose(task.x[:].norm(dim=1), 1, rtol=1e-6)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ({"y": [1, 2]}, "has 2 rows and 0 columns beside 'y'"),
        ({"a": [], "y": []}, "has 0 rows"),
        ({"a": [1.0, np.inf], "y": [0, 1]}, "'a' has 1 infinite values"),
        ({"a": pandas.to_datetime(["2020-01-01", "2021-01-01"]), "y": [0, 1]}, "'a' holds datetime64"),
    ],
)
def test_tables_that_cannot_be_are_refused(frame, message):
    with pytest.raises(ValueError, match=message):
        Task.of(pandas.DataFrame(frame))


def test_files_that_are_no_table_say_so(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"no table")
    (tmp_path / "a.csv").write_text("")
    for name in ("a.parquet", "a.csv"):
        with pytest.raises(ValueError, match="cannot be read as a table"):
            Task.from_dataset(tmp_path / name)
    with pytest.raises(ValueError, match="no such file"):
        Task.from_dataset(tmp_path / "b.csv")


def test_what_is_missing_is_named_with_its_pip_line(table):
    code = f"""
import sys
sys.modules["pandas"] = None
from infoscope import Task
try:
    Task.from_dataset({str(table)!r})
except ValueError as error:
    print(error)
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip().endswith("tables need pandas: pip install 'infoscope[frame]'")


@pytest.mark.parametrize(
    ("name", "n", "d", "classes"),
    [
        ("german_credit", 1000, 61, 2),
        ("phoneme", 5404, 5, 2),
        ("wine_quality_red", 1599, 11, 6),
        ("ionosphere", 351, 34, 2),
        ("abalone", 4177, 10, 28),
        ("banknote", 1372, 4, 2),
        ("pima_diabetes", 768, 8, 2),
    ],
)
def test_real_tables(shared_data, name, n, d, classes):
    task = Task.from_dataset(shared_data("tables") / f"{name}.csv")
    assert (len(task), task.shape, task.classes) == (n, (d,), classes)


def test_real_amounts(shared_data):
    tables = shared_data("tables")
    with pytest.raises(ValueError, match="186 different whole numbers in 201 examples; say whether"):
        Task.from_dataset(tables / "auto_imports.csv")
    price = Task.from_dataset(tables / "auto_imports.csv", target=Real)
    assert (price.target, price.y.shape) == (Real(1.0, 5118.0, 45400.0), (201, 1))
    assert Task.from_dataset(tables / "abalone.csv", target=Real(1, 0, 30)).y[:2].tolist() == [[15], [7]]


def test_missing_marks_are_counted_and_words_among_numbers_are_named(tmp_path):
    (tmp_path / "a.csv").write_text("age,size,label\n1, ?,yes\n2,3,no\nold,4,yes\n4,5,no\n")
    task = Task.from_dataset(tmp_path / "a.csv")
    assert task.notes == (
        "the column 'label' is predicted",
        "'age' is taken for words, as 1 of its 4 cells are no numbers, the first 'old'; leave these empty to have "
        "numbers",
        "'size' is missing in 1 of 4 rows",
    )
    assert task.shape == (6,)  # four words; a number, and whether it is missing


def test_a_decoder_s_table_may_lack_the_column_that_comes_back(tmp_path):
    (tmp_path / "whole.csv").write_text("a,b,kind\n1,2,x\n2,4,y\n3,5,x\n")
    (tmp_path / "rest.csv").write_text("a,b\n1,2\n2,4\n3,5\n")
    whole, rest = str(tmp_path / "whole.csv"), str(tmp_path / "rest.csv")
    for asked in ("kind", ""):
        assert torch.equal(inputs(rest, label=asked), inputs(whole, label="kind"))
