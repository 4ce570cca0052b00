from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from infoscope.data.combine import like, union
from infoscope.data.corruption import Massart, MissingPixels, ShuffledLabels
from infoscope.data.readers import inputs
from infoscope.data.targets import Boxes
from infoscope.data.task import Task

OBJECT = "<object><name>{}</name><bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox></object>"


def write(folder, name, *objects, size=(20, 10), text=None):
    """One image of this width and height, white in its objects, and its annotation."""
    image = pytest.importorskip("PIL.Image")
    for part in ("Annotations", "JPEGImages"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((size[1], size[0], 3), dtype=np.uint8)
    for _, xmin, ymin, xmax, ymax in objects:
        pixels[int(ymin) - 1 : int(ymax), int(xmin) - 1 : int(xmax)] = 255
    image.fromarray(pixels).save(folder / "JPEGImages" / f"{name}.png")
    (folder / "Annotations" / f"{name}.xml").write_text(text or annotation(*objects))
    return folder


def annotation(*objects):
    return f"<annotation>{''.join(OBJECT.format(*one) for one in objects)}</annotation>"


@pytest.fixture
def pets(tmp_path):
    """Two pets, then none, then one that fills its image."""
    write(tmp_path / "pets", "a", ("dog", 1, 1, 10, 5), ("cat", 11, 6, 20, 10))
    write(tmp_path / "pets", "b")
    return write(tmp_path / "pets", "c", ("cat", 1, 1, 30, 30), size=(30, 30))


def test_boxes_are_relative_and_padded(pets):
    task = Task.from_dataset(pets, size=20)
    assert (task.name, task.shape, task.alphabet, task.classes) == ("pets", (3, 20, 20), ("cat", "dog"), 2)
    padding = [-1, 0, 0, 0, 0]
    wanted = [
        [[1, 0.25, 0.25, 0.5, 0.5], [0, 0.75, 0.75, 0.5, 0.5]],
        [padding, padding],
        [[0, 0.5, 0.5, 1, 1], padding],
    ]
    torch.testing.assert_close(task.y, torch.tensor(wanted, dtype=torch.float32))


def test_the_boxes_lie_where_the_objects_are(pets):
    """Images are white within their boxes: what is scaled and what is counted from 1 must agree."""
    task = Task.from_dataset(pets, size=40)
    for image, boxes in zip(task.x, task.y, strict=True):
        painted = torch.zeros(40, 40)
        for _, x, y, w, h in (box for box in boxes.tolist() if box[0] >= 0):
            left, top, right, bottom = (round(40 * v) for v in (x - w / 2, y - h / 2, x + w / 2, y + h / 2))
            painted[top:bottom, left:right] = 1
        assert (image.mean(0).round() == painted).float().mean() > 0.95  # edges are blurred by scaling


def test_a_folder_is_a_task_by_name(pets):
    task = Task.from_dataset(str(pets), size=20)
    assert task.fingerprint == Task.from_dataset(pets, size=20).fingerprint
    again = pickle.loads(pickle.dumps(task.shuffled(1)[:2]))
    assert torch.equal(again.y, task.shuffled(1)[:2].y)
    assert len(set(task.ids.tolist())) == 3
    assert Task.from_dataset(str(pets), size=20, classes=2).classes == 2
    with pytest.raises(ValueError, match="names 2 classes, and 3 were asked for"):
        Task.from_dataset(str(pets), size=20, classes=3)
    with pytest.raises(ValueError, match="images of 2 different sizes; say which to scale them to"):
        Task.from_dataset(str(pets))
    with pytest.raises(ValueError, match="holds boxes of objects"):
        inputs(str(pets), size=20)


def test_an_alphabet_may_be_given(pets):
    assert Task.from_dataset(pets, size=8, target=Boxes(("bird", "cat", "dog"))).y[:, 0, 0].tolist() == [2, -1, 1]
    with pytest.raises(ValueError, match="1 of 2 classes are not in the alphabet of 1, the first is 'dog'"):
        Task.from_dataset(pets, size=8, target=Boxes(("cat",)))


@pytest.mark.parametrize(
    ("box", "relative"),
    [
        ((0, 0, 20, 10), [0.5, 0.5, 1, 1]),
        ((20, 10, 20, 10), [0.975, 0.95, 0.05, 0.1]),
        ((1.5, 1, 2, 1), [0.0625, 0.05, 0.075, 0.1]),
    ],
)
def test_pixels_count_from_one_and_boxes_include_their_ends(tmp_path, box, relative):
    task = Task.from_dataset(write(tmp_path, "a", text=annotation(("cat", *box))))
    torch.testing.assert_close(task.y[0, 0, 1:], torch.tensor(relative))


DOCTYPE = '<!DOCTYPE a [<!ENTITY x "cat">]>' + annotation(("&x;", 1, 1, 2, 2))
OUTSIDE = "is empty or lies outside the image of 20×10 pixels; correct it"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<annotation><object>", "cannot be read as an annotation: no element found"),
        ("", "cannot be read as an annotation: no element found"),
        (DOCTYPE, "declares a document type.*; delete the declaration"),
        ("<annotation><object><name>cat</name></object></annotation>", "an object lacks its bndbox; add it"),
        (annotation((" ", 1, 1, 2, 2)), "an object lacks its name"),
        (annotation(("cat", 1, 1, "two", 2)), "the box of 'cat' lacks a number"),
        (annotation(("cat", 1, 1, 21, 2)), "x from 1 to 21 .* " + OUTSIDE),
        (annotation(("cat", 1, 1, 2, 11)), "y from 1 to 11, " + OUTSIDE),
        (annotation(("cat", -1, 1, 2, 2)), OUTSIDE),
        (annotation(("cat", 9, 1, 4, 2)), OUTSIDE),
        (annotation(("cat", 1, 1, "nan", 2)), OUTSIDE),
    ],
)  # fmt: skip
def test_a_wrong_annotation_is_named(tmp_path, text, message):
    folder = write(write(tmp_path, "a", ("cat", 1, 1, 2, 2)), "b", text=text or " ")
    with pytest.raises(ValueError, match=rf"b\.xml: .*{message}"):
        Task.from_dataset(folder)


def test_entities_do_not_unfold(tmp_path):
    """Ten lines that would unfold to 10^9 words, in an encoding that a search for the word DOCTYPE does not see."""
    levels = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 10))
    bomb = f'<?xml version="1.0" encoding="utf-16"?><!DOCTYPE a [<!ENTITY l0 "x">{levels}]><a>&l9;</a>'
    folder = write(tmp_path, "a")
    (folder / "Annotations" / "a.xml").write_bytes(bomb.encode("utf-16"))
    with pytest.raises(ValueError, match="declares a document type"):
        Task.from_dataset(folder)


def test_a_folder_that_lacks_something_says_what(tmp_path, pets):
    empty = tmp_path / "empty"
    for part in ("Annotations", "JPEGImages"):
        (empty / part).mkdir(parents=True)
    with pytest.raises(ValueError, match=r"Annotations: holds no \.xml file"):
        Task.from_dataset(empty)
    with pytest.raises(ValueError, match="none of 1 annotations names an object"):
        Task.from_dataset(write(tmp_path / "none", "a"))
    (pets / "JPEGImages" / "a.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"a\.png: cannot be read as an image"):
        Task.from_dataset(pets)
    (pets / "JPEGImages" / "a.png").unlink()
    with pytest.raises(ValueError, match=r"a\.xml: there is no image .*JPEGImages/a \(\.jpg, \.jpeg, \.png\); add it"):
        Task.from_dataset(pets)


def test_boxes_of_a_caller_are_checked():
    x = np.zeros((1, 3, 4, 4))
    for rows, message in [
        ([[0, 0.5, 0.5, 1]], r"image 0: boxes have shape \(1, 4\)"),
        ([[2, 0.5, 0.5, 1, 1]], r"classes are \[2.0\]; they count into the alphabet of 2"),
        ([[0.5, 0.5, 0.5, 1, 1]], "classes are"),
        ([[0, 0.6, 0.5, 1, 1]], "lies outside or has no area"),
        ([[0, 0.5, 0.5, 0, 1]], "lies outside or has no area"),
        ([[0, 0.5, np.nan, 1, 1]], "lies outside or has no area"),
    ]:
        with pytest.raises(ValueError, match=message):
            Task.from_arrays(x, [rows], target=Boxes(("a", "b")))
    with pytest.raises(ValueError, match="x has 1 rows and y has 2"):
        Task.from_arrays(x, [[], []], target=Boxes(("a",)))


def test_what_needs_one_label_an_example_refuses_boxes(pets):
    from infoscope.models import MLP
    from infoscope.prequential.coders import CODERS
    from infoscope.prequential.encode import encode
    from infoscope.training.learner import Learner

    task = Task.from_dataset(pets, size=8)
    word = "'pets' has boxes of objects, .* not one label an example"
    for ask in (
        lambda: task.labels,
        lambda: task.label_entropy,
        lambda: task.corrupted(Massart(0.1)),
        lambda: like(task, task),
    ):
        with pytest.raises(ValueError, match=word):
            ask()
    with pytest.raises(ValueError, match=r"Replay codes .* not boxes of .*; take the coder kernel"):
        encode(task, CODERS["replay"], Learner(MLP((4,))), 0)
    assert union(task, task).y.shape == (6, 2, 5)
    assert torch.equal(task.corrupted(MissingPixels(0.1)).y, task.y)
    assert task.corrupted(ShuffledLabels()).y.shape == task.y.shape
    digits = Task.from_dataset("digits")
    assert digits.labels is digits.y


def test_real_animals(shared_data):
    task = Task.from_dataset(str(shared_data("voc_animals")), size=96)
    assert (len(task), task.shape, task.alphabet) == (363, (3, 96, 96), ("kangaroo", "raccoon"))
    assert task.y.shape == (363, 8, 5)
    real = task.y[task.y[..., 0] >= 0]
    assert torch.bincount(real[:, 0].long()).tolist() == [263, 217]
