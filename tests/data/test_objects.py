from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn import datasets as bunches
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from infoscope.data.task import Task


class Pairs(Dataset):
    def __init__(self, examples):
        self.examples = examples

    def __len__(self):
        return len(self.examples)

    def __getitem__(self, i):
        return self.examples[i]


def test_one_call_takes_whatever_holds_examples():
    x, y = torch.rand(6, 3), torch.tensor([0, 1, 0, 1, 0, 1])
    wanted = Task.from_arrays(x, y)
    pairs = Pairs([*zip(x, y.tolist(), strict=True)])
    for data in (
        (x, y),
        {"x": x, "label": y},
        TensorDataset(x, y),
        DataLoader(TensorDataset(x, y), batch_size=4, shuffle=True),
        pairs,
        DataLoader(pairs, batch_size=4),
        Pairs([{"x": a, "y": b} for a, b in zip(x, y, strict=True)]),
        wanted,
    ):
        assert Task.of(data).fingerprint == wanted.fingerprint
    assert Task.of(x, y, name="mine").name == "mine"
    assert Task.of("digits").fingerprint == Task.from_dataset("digits").fingerprint


def test_torch_s_inputs_keep_type_and_axes_but_for_bytes_and_doubles():
    tokens = Task.of(TensorDataset(torch.arange(6).reshape(2, 3), torch.tensor([0, 1])))
    assert (tokens.shape, tokens.x.dtype) == ((3,), torch.int64)
    sequences = Task.of(TensorDataset(torch.zeros(2, 3, 5, dtype=torch.float64), torch.tensor([0, 1])))
    assert (sequences.shape, sequences.x.dtype) == ((3, 5), torch.float32)
    image = pytest.importorskip("PIL.Image")
    pictures = Pairs([(image.new("RGB", (5, 4), (255, 0, 0)), label) for label in ("a", "b")])
    task = Task.of(pictures)
    assert (task.shape, task.alphabet) == ((3, 4, 5), ("a", "b"))
    assert task.x[0].flatten(1).mean(1).tolist() == [1, 0, 0]


def test_mappings_of_several_arrays_go_by_name():
    mask = torch.ones(3, dtype=torch.bool)
    rows = [{"input_ids": torch.arange(3), "attention_mask": mask, "labels": i} for i in (0, 1)]
    task = Task.of(Pairs(rows))
    assert task.shape == {"input_ids": (3,), "attention_mask": (3,)}
    assert Task.of(Pairs(rows), label="labels").labels.tolist() == [0, 1]


class Stream(IterableDataset):
    def __iter__(self):
        return iter([])


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (Stream(), ValueError, "is a stream without a length"),
        (Pairs([]), ValueError, "is empty"),
        (Pairs([1, 2]), ValueError, "an example is a int; give pairs"),
        (Pairs([(torch.zeros(2), 0), (torch.zeros(3), 1)]), ValueError, "input has 2 different shapes"),
        (Pairs([{"a": 1}]), ValueError, "no label or labels or y or target among a"),
        ({"x": [1.0]}, ValueError, "a mapping needs x and y; it has: x"),
        (object(), TypeError, "a object is no data; give a name, a file"),
    ],
)
def test_what_holds_no_examples_says_what_to_give(data, error, message):
    with pytest.raises(error, match=message):
        Task.of(data)


def test_scikit_learn_s_bunches():
    iris = Task.of(bunches.load_iris())
    assert (iris.shape, iris.alphabet) == ((4,), ("setosa", "versicolor", "virginica"))
    pytest.importorskip("pandas")
    framed = Task.of(bunches.load_iris(as_frame=True))
    assert (framed.shape, framed.alphabet) == (iris.shape, iris.alphabet)
    with pytest.raises(ValueError, match="say whether these are amounts"):
        Task.of(bunches.load_diabetes())


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setenv("INFOSCOPE_CACHE", str(tmp_path / "cache"))
    return pytest.importorskip("datasets")


def test_hugging_face_s_data_sets_loaded_and_saved(hub, tmp_path):
    part = hub.Dataset.from_dict({"text": ["good film", "bad film", "good", "bad"], "label": [1, 0, 1, 0]})
    both = hub.DatasetDict({"train": part, "test": part.select([0, 1])})
    task = Task.of(both, name="films")
    assert (task.name, task.shape, task.splits) == ("films", (1024,), {"train": (0, 4), "test": (4, 6)})
    assert Task.of(part).fingerprint == task["train"].fingerprint
    both.save_to_disk(tmp_path / "saved")
    assert Task.from_dataset(tmp_path / "saved").fingerprint == task.fingerprint
    part.save_to_disk(tmp_path / "one")
    assert Task.of(tmp_path / "one").fingerprint == Task.of(part).fingerprint


def test_two_data_sets_in_memory_are_never_taken_for_one(hub):
    first, second = (hub.Dataset.from_dict({"text": [f"{w} film", w], "label": [1, 0]}) for w in ("good", "bad"))
    assert Task.of(first).fingerprint != Task.of(second).fingerprint


def test_hugging_face_s_other_columns(hub):
    tokens = hub.Dataset.from_dict({"input_ids": [[1, 2], [3, 0]], "attention_mask": [[1, 1], [1, 0]], "label": [0, 1]})
    assert Task.of(tokens).shape == {"input_ids": (2,), "attention_mask": (2,)}
    with pytest.raises(ValueError, match="'input_ids' has rows of 2 lengths; pad them"):
        Task.of(hub.Dataset.from_dict({"input_ids": [[1, 2], [3]], "label": [0, 1]}))
    pytest.importorskip("pandas")
    table = hub.Dataset.from_dict({"a": [1.0, 2.0], "b": ["u", "v"], "label": [1, 0]})
    assert Task.of(table).shape == (1024,)  # a column of words is text
    numbers = hub.Dataset.from_dict({"a": [1.0, 2.0], "b": [3.0, 3.0], "quality": [0.5, 1.5]})
    assert (Task.of(numbers).shape, Task.of(numbers).target.outputs) == ((2,), 1)
    lines = hub.Dataset.from_dict({"text": ["ab", "c\n"]})
    assert [bytes(row[row >= 0].tolist()) for row in Task.of(lines).y] == [b"ab\n", b"c\n"]


def test_images_in_a_folder_a_class(hub, tmp_path):
    image = pytest.importorskip("PIL.Image")
    for part in ("train", "test"):
        for i, kind in enumerate(("cat", "dog")):
            folder = tmp_path / "pets" / part / kind
            folder.mkdir(parents=True)
            for k in range(2):
                image.new("RGB", (4, 4), (100 * i, 50 * k, 0)).save(folder / f"{k}.png")
    task = Task.from_dataset(tmp_path / "pets")
    assert (task.alphabet, task.shape) == (("cat", "dog"), (3, 4, 4))
    assert {name: task[name].y.tolist() for name in task.splits} == {"train": [0, 0, 1, 1], "test": [0, 0, 1, 1]}
    assert np.isclose(float(task["train"].x[2, 0, 0, 0]), 100 / 255)
