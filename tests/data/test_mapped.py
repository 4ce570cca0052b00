from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from infoscope.data import array_file
from infoscope.data.inputs import as_inputs, select, take
from infoscope.data.mapped import Mapped
from infoscope.data.partition import partition
from infoscope.data.readers import inputs
from infoscope.data.task import Task


@pytest.fixture
def small(tmp_path):
    """Random numbers in memory, and a map of the file that holds them."""

    def make(dtype, *shape):
        x = np.random.default_rng(0).integers(0, 255, shape).astype(dtype)
        np.save(tmp_path / "x.npy", x)
        return x, np.load(tmp_path / "x.npy", mmap_mode="r")

    return make


@pytest.mark.parametrize(
    ("dtype", "shape"),
    [
        (np.float32, (20, 3)),
        (np.float64, (20,)),
        (np.uint8, (20, 5, 4)),
        (np.uint8, (20, 5, 4, 3)),
        (np.int16, (20, 1, 4, 4)),
    ],
)
def test_a_map_gives_what_memory_gives(small, dtype, shape):
    x, there = small(dtype, *shape)
    y = np.arange(20) % 2
    read, mapped = Task.from_arrays(x, y), Task.from_arrays(there, y)
    assert isinstance(mapped.x, Mapped)
    assert (mapped.shape, mapped.x.dtype, mapped.x.ndim) == (read.shape, read.x.dtype, read.x.ndim)
    assert mapped.fingerprint == read.fingerprint
    assert np.array_equal(mapped.content_hashes, read.content_hashes)
    assert torch.equal(mapped.array, read.array)
    for step in (
        lambda task: task.shuffled(3),
        lambda task: task[::-2],
        lambda task: task.shuffled(1)[5:15].shuffled(2)[[3, -1, 0]],
        lambda task: partition(task).coded,
    ):
        assert isinstance(step(mapped).x, Mapped)
        assert step(mapped).fingerprint == step(read).fingerprint
        assert np.array_equal(step(mapped).ids, step(read).ids)


def test_only_the_rows_asked_for_are_read(small):
    x, there = small(np.float32, 20, 3)
    mapped = as_inputs(there)
    for rows in (3, slice(2, 9, 3), [5, 0, 5], torch.tensor([1, 19]), np.arange(20) % 3 == 0):
        wanted = x[rows.numpy() if isinstance(rows, torch.Tensor) else rows]
        assert torch.equal(take(mapped, rows), torch.from_numpy(np.asarray(wanted)))
        if not isinstance(rows, int):
            assert torch.equal(select(mapped, rows)[:], torch.from_numpy(wanted))
    assert torch.equal(torch.cat([*mapped.split(7)]), torch.from_numpy(x))
    with pytest.raises(IndexError):
        mapped[[20]]


@pytest.mark.parametrize("mode", ["r", "r+", "c"])
def test_nothing_writes_to_the_file(tmp_path, mode):
    np.save(tmp_path / "x.npy", np.ones((4, 2), np.float32))
    task = Task.from_arrays(np.load(tmp_path / "x.npy", mmap_mode=mode)[1:], [0, 1, 0])
    for part in (task.x[:], task.x[[0, 1]], task.x[0]):
        part.add_(1)
    assert (np.load(tmp_path / "x.npy") == 1).all()
    assert (task.array == 1).all()


def test_a_part_of_a_map_keeps_its_place(small):
    x, there = small(np.float32, 20, 6)
    part = as_inputs(there[4:16:2, 1:4])
    assert isinstance(part, Mapped)
    assert torch.equal(part[:], torch.from_numpy(x[4:16:2, 1:4]))
    backwards = as_inputs(there[::-1])
    assert torch.equal(backwards, torch.from_numpy(x[::-1].copy()))


def test_rows_that_are_not_finite_are_found_in_a_map(tmp_path):
    x = np.zeros((5, 2))
    x[3, 1] = np.inf
    np.save(tmp_path / "x.npy", x)
    with pytest.raises(ValueError, match="1 of 5 rows with NaN or infinity, the first is row 3"):
        as_inputs(np.load(tmp_path / "x.npy", mmap_mode="r"))


def test_a_map_travels_through_the_cache_and_stays_a_map(small, tmp_path, monkeypatch):
    monkeypatch.setenv("INFOSCOPE_CACHE", str(tmp_path / "cache"))
    _, there = small(np.uint8, 30, 4, 4)
    task = Task.from_arrays({"image": there, "place": np.arange(30)}, np.arange(30) % 2).shuffled(1)[:20]
    back = pickle.loads(pickle.dumps(task))
    assert isinstance(back.x["image"], Mapped)
    assert isinstance(back.x["place"], torch.Tensor)
    assert (back.fingerprint, back.x["image"].dtype) == (task.fingerprint, torch.uint8)


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Files of arrays, none of which is small enough to be read as a whole."""
    monkeypatch.setattr(array_file, "MAPPED_FROM", 0)
    x, y = np.arange(24, dtype=np.float32).reshape(8, 3), np.arange(8) % 2
    np.savez(tmp_path / "plain.npz", x=x, y=y)
    np.savez(tmp_path / "fortran.npz", x=np.asfortranarray(x), y=y)
    np.savez_compressed(tmp_path / "packed.npz", x=x, y=y)
    np.save(tmp_path / "one.npy", x)
    np.save(tmp_path / "one.y.npy", y)
    save_file({"x": torch.from_numpy(x), "y": torch.from_numpy(y)}, tmp_path / "tensors.safetensors")
    two = {"x/a": torch.zeros(8, 3), "x/b": torch.ones(8), "y": torch.from_numpy(y)}
    save_file(two, tmp_path / "two.safetensors")
    return tmp_path


@pytest.mark.parametrize("name", ["plain.npz", "fortran.npz", "one.npy", "tensors.safetensors"])
def test_large_files_are_mapped(files, name):
    task = Task.from_dataset(files / name)
    assert isinstance(task.x, Mapped)
    assert torch.equal(task.array, torch.arange(24.0).reshape(8, 3))
    assert task.labels.tolist() == [0, 1] * 4
    assert torch.equal(inputs(str(files / name))[:], task.array)
    assert pickle.loads(pickle.dumps(task.shuffled(1))).fingerprint == task.shuffled(1).fingerprint


def test_names_with_a_slash_make_a_mapping(files):
    assert Task.from_dataset(files / "two.safetensors").shape == {"a": (3,), "b": ()}


def test_what_cannot_be_mapped_says_what_to_write_instead(files):
    with pytest.raises(ValueError, match=r"is compressed, .* write it with numpy.savez instead"):
        Task.from_dataset(files / "packed.npz")
    (files / "one.y.npy").unlink()
    with pytest.raises(ValueError, match=r"has inputs only; put what is to be predicted into one\.y\.npy"):
        Task.from_dataset(files / "one.npy")
    assert inputs(str(files / "one.npy")).shape == (8, 3)
    (files / "broken.safetensors").write_bytes(b"short")
    with pytest.raises(ValueError, match=r"not a readable \.safetensors file"):
        Task.from_dataset(files / "broken.safetensors")
    save_file({"x": torch.zeros(2, 2, dtype=torch.bfloat16)}, files / "half.safetensors")
    with pytest.raises(ValueError, match="'x' holds 'BF16'; write it as one of F64"):
        Task.from_dataset(files / "half.safetensors")


PROGRAM = """
import sys, threading
import numpy as np, torch
from infoscope import Learner, Recipe, Task, fit
from infoscope.data.partition import partition
from infoscope.models import MLP
from infoscope.training.predict import probabilities

def private():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon")) / 1024

def watch():
    while not done.wait(0.005):
        most[0] = max(most[0], private())

torch.set_num_threads(1)
fit(Learner(MLP((4,)), Recipe(epochs=1)), Task.from_arrays(np.zeros((4, 2048)), [0, 1, 0, 1]))  # warm
done, most, start = threading.Event(), [0], private()
watcher = threading.Thread(target=watch)
watcher.start()
x = np.memmap(sys.argv[1], np.float32, "r", shape=(25000, 2048))
task = Task.from_arrays(x, np.arange(25000) % 2)
parts = partition(task.shuffled(0), k=1000)
learner = Learner(MLP((4,)), Recipe(epochs=1, batch=512))
trained = fit(learner, parts.train, parts.validation)
probabilities(learner.starting_from(trained.weights).network(task.shape, 2, 0), parts.train.x)
task.fingerprint
done.set()
watcher.join()
print(most[0] - start)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_two_hundred_megabytes_are_trained_on_measured_and_hashed_in_sixty(tmp_path):
    """Private memory: pages of the file itself the kernel takes back when it needs them."""
    with (tmp_path / "x").open("wb") as file:
        for seed in range(25):
            file.write(np.random.default_rng(seed).random((1000, 2048), dtype=np.float32).data)
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "x")]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert float(found.stdout) < 60
