from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest
import torch

import infoscope.data
from infoscope.data import parquet_folder
from infoscope.data.readers import inputs
from infoscope.data.sources import EMBEDDED
from infoscope.data.task import Task


@pytest.mark.parametrize("name", EMBEDDED)
def test_embedded_data_need_nothing(name):
    task = Task.from_dataset(name)
    assert len(task) > 100
    assert set(task.y.tolist()) == set(range(task.classes))


def test_npz_files(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, x=np.zeros((3, 2)), y=[0, 1, 1], classes=["no", "yes", "never"])
    assert Task.from_dataset(str(path)).alphabet == ("no", "yes", "never")
    np.savez(path, x=np.zeros((3, 2)), y=[0, 1, 1])
    assert Task.from_dataset(str(path), classes=5).classes == 5
    with pytest.raises(ValueError, match="outside the alphabet of 1"):
        Task.from_dataset(str(path), classes=1)


def test_inputs_are_read_without_a_label(tmp_path):
    path = tmp_path / "unlabelled.npz"
    np.savez(path, x=np.ones((3, 2)))
    assert inputs(str(path)).shape == (3, 2)
    with pytest.raises(ValueError, match="has no labels"):
        Task.from_dataset(str(path))


def test_unreadable_sources_get_one_clear_sentence(tmp_path):
    (tmp_path / "broken.npz").write_bytes(b"not a zip file")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    for name, message in {
        "broken.npz": "not a readable .npz",
        "other.npz": "has no array 'x'",
        "missing.npz": "no such file",
        "table.xlsx": "no such file",
    }.items():
        with pytest.raises(ValueError, match=message):
            Task.from_dataset(str(tmp_path / name))


def test_an_unknown_hub_name_says_what_to_do(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ValueError, match="download it and give the folder"):
        Task.from_dataset("no-such-owner/no-such-data")


def test_a_folder_in_hub_layout(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    from PIL import Image

    monkeypatch.setenv("INFOSCOPE_CACHE", str(tmp_path / "cache"))
    pictures = [Image.fromarray(np.full((4, 4), 10 * i, dtype=np.uint8)) for i in range(6)]
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])})
    folder = tmp_path / "pets"
    folder.mkdir()
    for split, rows in (("train", range(4)), ("test", range(4, 6))):
        part = {"image": [pictures[i] for i in rows], "label": [i % 2 for i in rows]}
        datasets.Dataset.from_dict(part, features=features).to_parquet(folder / f"{split}-00000-of-00001.parquet")
    task = Task.from_dataset(str(folder))
    assert (task.name, task.shape, task.alphabet, len(task["train"]), len(task["test"])) == (
        "pets", (1, 4, 4), ("cat", "dog"), 4, 2,
    )  # fmt: skip
    assert torch.allclose(task.x[:, 0, 0, 0], torch.arange(6) * 10 / 255)
    assert Task.from_dataset(f"{folder}:test").y.tolist() == [0, 1]
    assert torch.equal(inputs(f"{folder}:test"), task["test"].x)
    assert Task.from_dataset(str(folder), size=8).shape == (1, 8, 8)


KINDS = {
    "pictures": {"image": "Image", "label": "ClassLabel"},
    "films": {"text": "Value", "label": "ClassLabel"},
    "numbers": {"a": "Value", "b": "Value", "label": "ClassLabel"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_parquet_files_are_read_as_datasets_reads_them(kind, tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    from PIL import Image

    monkeypatch.setenv("INFOSCOPE_CACHE", str(tmp_path / "cache"))
    columns = {
        "image": (datasets.Image(), [Image.fromarray(np.full((4, 4), 9 * i, dtype=np.uint8)) for i in range(6)]),
        "text": (datasets.Value("string"), ["good film", "bad", "", "good", "bad film", "film"]),
        "a": (datasets.Value("float32"), [0.5, 1.0, None, 2.0, 3.0, -1.0]),
        "b": (datasets.Value("int64"), [1, 2, 3, 4, 5, 6]),
        "label": (datasets.ClassLabel(names=["no", "yes"]), [0, 1, 1, 0, 1, 0]),
    }
    features = datasets.Features({name: columns[name][0] for name in KINDS[kind]})
    folder = tmp_path / kind
    folder.mkdir()
    whole = datasets.Dataset.from_dict({name: columns[name][1] for name in KINDS[kind]}, features=features)
    for name, rows in (("test-00000-of-00001", [5]), ("train-00000-of-00002", [0, 1]), ("train-00001-of-00002", [2, 3]),
                       ("validation-00000-of-00001", [4])):  # fmt: skip
        whole.select(rows).to_parquet(folder / f"{name}.parquet")
    assert parquet_folder.splits(folder) is not None
    task = Task.from_dataset(folder)
    theirs = Task.of(datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "theirs")))
    assert (task.fingerprint, task.splits) == (theirs.fingerprint, theirs.splits)
    (folder / "train-00001-of-00002.parquet").unlink()
    assert parquet_folder.splits(folder) is None


def test_what_else_lies_in_a_folder_is_left_to_datasets(tmp_path):
    datasets = pytest.importorskip("datasets")
    datasets.Dataset.from_dict({"label": [[0], [1]]}).to_parquet(tmp_path / "train-00000-of-00001.parquet")
    assert parquet_folder.splits(tmp_path) is None  # a column of lists
    datasets.Dataset.from_dict({"label": [0, 1]}).to_parquet(tmp_path / "train-00000-of-00001.parquet")
    assert parquet_folder.splits(tmp_path) is not None
    (tmp_path / "README.md").write_text("configs: …")
    assert parquet_folder.splits(tmp_path) is None
    (tmp_path / "README.md").unlink()
    (tmp_path / "train-00000-of-00001.parquet").write_bytes(b"PAR1")
    assert parquet_folder.splits(tmp_path) is None
    assert parquet_folder.splits("no-such-owner/no-such-data") is None


@pytest.mark.parametrize(
    ("name", "shape", "n"),
    [("usps", (1, 16, 16), 9298), ("mnist_m", (3, 32, 32), 3000), ("trec", (1024,), 5952)],
)
def test_real_data_sets(shared_data, name, shape, n):
    task = Task.from_dataset(str(shared_data(name)))
    assert (task.shape, len(task)) == (shape, n)


def test_no_circle_of_files():
    """Imports inside functions counted: what reads data lies below what holds them, steps on tasks above."""
    room = Path(infoscope.data.__file__).parent
    needs = {file.stem: imported(file) for file in room.glob("*.py")}
    while free := {name for name, others in needs.items() if not others & needs.keys()}:
        needs = {name: others for name, others in needs.items() if name not in free}
    assert not needs


def imported(file: Path) -> set[str]:
    """The files of the room that a file imports."""
    nodes = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.ImportFrom)]
    rooms = {name for node in nodes if node.module == "infoscope.data" for name in (alias.name for alias in node.names)}
    return rooms | {node.module.split(".")[2] for node in nodes if (node.module or "").startswith("infoscope.data.")}
