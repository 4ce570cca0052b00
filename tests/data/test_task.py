from __future__ import annotations

import dataclasses
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch

from infoscope.data.combine import like, union
from infoscope.data.corruption import Massart, MissingObjects, MissingPixels, ShuffledLabels
from infoscope.data.task import Task, coding_order


@pytest.fixture
def images() -> Task:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.rand(200, 1, 10, 10, generator=generator) + 0.5, torch.arange(200) % 4
    return Task.from_arrays(x, y, name="images", splits={"train": (0, 150), "test": (150, 200)})


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.full((3, 2), np.nan), [0, 1, 0], "3 of 3 rows with NaN"),
        (np.zeros((3, 2)), [0, 1], "x has 3 rows and y has 2"),
        (np.zeros((3, 2)), [0.5, np.nan, 0], "NaN"),
        (np.zeros((3, 2)), [0, -1, -2], "outside the alphabet"),
        (np.zeros((0, 2)), [], "n ≥ 1"),
        (np.zeros((2, 2, 2, 2, 2)), [0, 1], "shape"),
        (np.array([["a"], ["b"]]), [0, 1], "not numbers"),
        (np.zeros((2, 2)), np.full((2, 3), 7), "say what it is"),
    ],
)
def test_bad_arrays_get_one_clear_sentence(x, y, message):
    with pytest.raises(ValueError, match=message):
        Task.from_arrays(x, y)


def test_the_declared_alphabet_counts_not_the_largest_label():
    assert Task.from_arrays(np.zeros((2, 1)), [0, 1], alphabet="abc").classes == 3
    with pytest.raises(ValueError, match="outside the alphabet of 2"):
        Task.from_arrays(np.zeros((2, 1)), [0, 2], alphabet="ab")


def test_inputs_come_in_one_form():
    assert Task.from_arrays(np.zeros((2, 6, 5, 3), dtype=np.uint8), [0, 1]).shape == (3, 6, 5)
    assert Task.from_arrays(np.zeros((2, 4, 5)), [0, 1]).shape == (1, 4, 5)
    assert Task.from_arrays(np.zeros(2), [0, 1]).shape == (1,)
    assert Task.from_arrays(np.full((1, 2), 255, dtype=np.uint8), [0]).x.tolist() == [[1.0, 1.0]]


def test_slices_shuffles_and_unions_keep_identities(images):
    assert np.array_equal(images["test"].ids, images.ids[150:])
    assert np.array_equal(images[::-1].ids, images.ids[::-1])
    assert np.array_equal(images.shuffled(3).ids, images.ids[coding_order(200, 3)])
    assert np.array_equal(images[[5, 3]].ids, images.ids[[5, 3]])
    assert np.array_equal(union(images[:3], images[3:5]).ids, images.ids[:5])
    with pytest.raises(ValueError, match="no split 'dev'"):
        images["dev"]
    with pytest.raises(IndexError, match="200 examples"):
        images[[200]]


def test_union_joins_alphabets_by_name():
    a = Task.from_arrays(torch.zeros(2, 3), [0, 1], alphabet=["cat", "dog"], name="a")
    b = Task.from_arrays(torch.ones(2, 3), [0, 1], alphabet=["dog", "eel"], name="b")
    both = union(a, b)
    assert (both.alphabet, both.y.tolist()) == (("cat", "dog", "eel"), [0, 1, 1, 2])
    assert union(a, b, disjoint=True).classes == 4


@pytest.mark.parametrize("corruption", [MissingPixels(0.1), MissingObjects(0.3), Massart(0.2), ShuffledLabels()])
def test_a_corruption_is_a_new_task_that_repeats_itself(images, corruption):
    once, twice = images.corrupted(corruption, seed=1), images.corrupted(corruption, seed=1)
    assert once.fingerprint == twice.fingerprint != images.fingerprint
    assert np.array_equal(once.ids, images.ids)
    assert str(once.origin.arguments)
    assert once.origin.parents == (images.origin,)
    assert images.corrupted(corruption, seed=2).fingerprint != once.fingerprint


def test_corruptions_do_what_they_say(images):
    blank = float(images.x.min())
    pixels = images.corrupted(MissingPixels(0.25)).x == blank
    assert (pixels.flatten(1).sum(1) >= 25).all()
    assert (pixels.flatten(1).sum(1) <= 26).all()
    objects = images.corrupted(MissingObjects(0.3, portion=0.6)).x != images.x
    assert 0.15 < objects.flatten(1).any(1).double().mean() < 0.45
    noisy = images.corrupted(Massart(0.5))
    assert 0.25 < (noisy.y != images.y).double().mean() < 0.5  # a quarter of the draws hit the true label
    assert torch.equal(images.corrupted(Massart(0.0)).y, images.y)
    shuffled = images.corrupted(ShuffledLabels())
    assert torch.equal(shuffled.y.bincount(), images.y.bincount())
    with pytest.raises(ValueError, match="fraction from 0 to 1"):
        images.corrupted(Massart(1.5))
    with pytest.raises(ValueError, match="needs images"):
        Task.from_arrays(np.zeros((4, 3)), [0, 1, 0, 1]).corrupted(MissingPixels(0.1))


def test_more_noise_hits_the_same_labels_and_more(images):
    few, many = (images.corrupted(Massart(level)).y != images.y for level in (0.1, 0.6))
    assert few.sum() < many.sum()


def test_like_brings_data_sets_together(images):
    colour = Task.from_arrays(torch.rand(5, 3, 16, 16), [0, 1, 2, 3, 0], name="colour")
    small = like(colour, images)
    assert (small.shape, small.alphabet) == (images.shape, images.alphabet)
    assert like(images, colour).shape == (3, 16, 16)
    flat = Task.from_arrays(torch.zeros(2, 3), [0, 1], name="flat")
    with pytest.raises(ValueError, match="only images are scaled"):
        like(flat, images)
    other = Task.from_arrays(images.x, images.y, alphabet=["A", "B", "C", "D"], name="letters")
    with pytest.raises(ValueError, match="only tasks over one alphabet meet"):
        like(other, images)


def test_a_task_travels_by_its_description(tmp_path, monkeypatch):
    monkeypatch.setenv("INFOSCOPE_CACHE", str(tmp_path))
    derived = Task.from_dataset("digits").corrupted(Massart(0.1)).shuffled(1)[:100]
    data = pickle.dumps(derived)
    assert len(data) < 2000
    code = "import pickle, sys; print(pickle.load(sys.stdin.buffer).fingerprint)"
    found = subprocess.run([sys.executable, "-c", code], input=data, capture_output=True, check=True)
    assert found.stdout.decode().strip() == derived.fingerprint


def test_a_caller_s_arrays_travel_through_the_cache(tmp_path, monkeypatch, images):
    monkeypatch.setenv("INFOSCOPE_CACHE", str(tmp_path))
    back = pickle.loads(pickle.dumps(images[:50]))
    assert back.fingerprint == images[:50].fingerprint
    assert np.array_equal(back.ids, images.ids[:50])


def test_equal_inputs_have_equal_hashes():
    task = Task.from_arrays(torch.tensor([[1.0], [2.0], [1.0]]), [0, 1, 1])
    hashes = task.content_hashes
    assert hashes[0] == hashes[2] != hashes[1]


def test_label_entropy_is_shannon_s():
    task = Task.from_arrays(torch.zeros(4, 1), [0, 0, 1, 1], alphabet="abc")
    assert task.label_entropy == pytest.approx(np.log(2))


def test_a_notebook_shows_what_a_task_holds():
    task = Task.from_arrays(np.zeros((4, 2)), [0, 1, 1, 0], alphabet=["no", "yes", "unseen"], name="<mine>")
    shown = task._repr_html_()
    assert "<caption>&lt;mine&gt;</caption>" in shown
    assert "<th>an example</th><td>(2,)</td>" in shown
    assert "one class an example, 3 in all" in shown
    assert "real numbers" in Task.from_arrays(np.zeros((2, 2)), [0.5, 1.5])._repr_html_()


def test_replaced_labels_travel_as_they_are():
    """A task goes to a worker by how it was made; one whose labels were replaced was not made so, nor was its part."""
    iris = Task.from_dataset("iris")
    other = dataclasses.replace(iris, y=iris.y.flip(0))
    for task in (iris, other, other[:100], other.shuffled(0)):
        back = pickle.loads(pickle.dumps(task))
        assert back.fingerprint == task.fingerprint
        assert torch.equal(back.y, task.y)
