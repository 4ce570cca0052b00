"""What is made block by block is what would have been held whole."""

import math

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from infoscope import Task
from infoscope.data.mapped import Mapped
from infoscope.prequential.encode import encode
from infoscope.prequential.features import feature_rows, features
from infoscope.prequential.gaussian_process import Ridge, projected
from infoscope.prequential.gram import (
    Landmarks,
    centred_features,
    centred_rows,
    exponential,
    gaussian,
    squared_distances,
)
from infoscope.prequential.graph import nearest_by_cells, nearest_by_rows
from infoscope.prequential.kernel import Kernel
from infoscope.prequential.label_file import read_labels, write_labels
from infoscope.prequential.rows import Made, changed, held, parts, sample, whole


@pytest.fixture
def streaming(monkeypatch):
    """As if 400 rows were too many to hold."""
    monkeypatch.setattr("infoscope.prequential.rows.SAMPLE", 400)
    monkeypatch.setattr("infoscope.prequential.features.HELD", 0)
    monkeypatch.setattr("infoscope.prequential.graph.BY_ROWS", 400)


@pytest.fixture(scope="module")
def digits():
    data = load_digits()
    order = np.random.default_rng(1000).permutation(len(data.target))
    return torch.from_numpy(data.images[order, None]).float(), data.target[order]


@pytest.fixture
def points():
    return torch.randn(500, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def gathered(rows, size=70):
    return torch.cat(list(parts(rows, size)))


def test_a_slice_is_made_once_and_then_forgotten():
    asked = []
    rows = Made((6, 1), lambda which: asked.append(which) or torch.arange(6.0)[which, None])
    assert rows[:2] is rows[:2]
    assert len(rows[2:4]) == len(rows[torch.tensor([5, 0])]) == 2
    assert rows[:2].tolist() == [[0.0], [1.0]]
    assert asked[0] == asked[-1] == slice(None, 2)
    assert len(asked) == 4


@pytest.mark.parametrize("kind", [gaussian, exponential])
def test_streamed_landmarks_are_the_held_ones(points, kind, streaming, monkeypatch):
    streamed = Landmarks.drawn(points, 60, torch.Generator().manual_seed(1)).features(kind)
    assert isinstance(streamed, Made)
    monkeypatch.setattr("infoscope.prequential.rows.SAMPLE", 500)
    once = Landmarks.drawn(points, 60, torch.Generator().manual_seed(1)).features(kind)
    torch.testing.assert_close(gathered(streamed), once, atol=1e-10, rtol=0)
    torch.testing.assert_close(whole(streamed), once, atol=1e-10, rtol=0)


def test_centre_and_scale_of_a_sample(points, streaming):
    rows = centred_rows(changed(Made(tuple(points.shape), lambda which: points[which]), lambda t: t + 3, 5))
    some = sample(points)
    assert len(some) == 400
    by_sample = (points - some.mean(0)) / (some - some.mean(0)).square().sum(1).mean().sqrt()
    torch.testing.assert_close(gathered(rows), by_sample, atol=1e-12, rtol=0)
    assert sample(points[:150]) is not points
    torch.testing.assert_close(centred_rows(points[:150].clone()), centred_features(points[:150].clone()))


def test_predictions_by_streamed_features_are_those_by_held_ones(points, streaming):
    y = points[:, :2].sin().numpy()
    runs = []
    for phi in (points, Made(tuple(points.shape), lambda rows: points[rows])):
        blocks = projected(phi, 0.1, 2, 90)
        found = [next(blocks)]
        found += [blocks.send(y[start : start + 90]) for start in range(0, 450, 90)]
        runs.append(found)
    for a, b in zip(*runs, strict=True):
        np.testing.assert_array_equal(a[0], b[0])
        np.testing.assert_array_equal(a[1], b[1])


def test_a_million_rows_need_sums_in_double():
    """Features of rank 3 in 5 columns: in two directions A is λ alone, in the others up to a million times it."""
    mix = torch.randn(3, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    truth, mixed, single = Ridge(5, 1, 0.02), Ridge(5, 1, 0.02), Ridge(5, 1, 0.02, torch.float32)
    generator = torch.Generator().manual_seed(1)
    for _ in range(500):
        drawn = torch.randn(2000, 3, generator=generator, dtype=torch.float64)
        rows = torch.nn.functional.normalize(drawn @ mix)
        truth.learn(rows, rows[:, :1].sin())
        for ridge in (mixed, single):
            ridge.learn(rows.float(), rows[:, :1].sin())
    for found, exactly in zip(mixed.block(rows[:50].float()), truth.block(rows[:50]), strict=True):
        np.testing.assert_allclose(found, exactly, atol=1e-6)
    with pytest.raises(torch.linalg.LinAlgError):
        single.block(rows[:50].float())


@pytest.mark.parametrize("kind", ["images", "vectors", "words", "by name", "mapped"])
def test_streamed_features_are_the_held_ones(kind, streaming):
    generator = torch.Generator().manual_seed(2)
    images, vectors = torch.rand(450, 1, 9, 9, generator=generator), torch.randn(450, 4, generator=generator)
    words = torch.randint(0, 3000, (450, 12), generator=generator)
    x = {"images": images, "vectors": vectors, "words": words, "by name": {"a": images, "b": vectors},
         "mapped": Mapped(images, range(449, -1, -1))}[kind]  # fmt: skip
    streamed = feature_rows(x, seed=3)
    assert isinstance(streamed, Made)
    once = features(x, seed=3)
    torch.testing.assert_close(gathered(streamed), once, atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(streamed[torch.tensor([440, 3])], once[[440, 3]], atol=2e-5, rtol=1e-4)


def test_streamed_features_of_images_on_a_background_are_about_the_held_ones(streaming):
    """Only the mean size of what they show and its background are those of a sample."""
    inside = torch.rand(450, 1, 9, 9, generator=torch.Generator().manual_seed(2))
    x = torch.nn.functional.pad(inside, (1, 1, 1, 1))
    streamed, once = feature_rows(x, seed=3)[:], features(x, seed=3)
    between = squared_distances(once, once)
    assert (squared_distances(streamed, streamed) - between).square().mean() < 0.02 * between.var()


def test_long_features_are_held_while_they_fill_little():
    rows = Made((40_000, 3), lambda which: torch.arange(120_000.0).view(40_000, 3)[which])
    assert held(rows) is rows
    assert torch.equal(held(rows, most=480_000), whole(rows))
    assert held(rows, most=479_999) is rows


def test_neighbours_by_cells():
    generator = torch.Generator().manual_seed(4)
    centres = 4 * torch.randn(12, 6, generator=generator)
    f = centres[torch.randint(12, (1200,), generator=generator)] + torch.randn(1200, 6, generator=generator)
    indices, squares = nearest_by_rows(f, 8)
    everywhere = nearest_by_cells(f, 8, candidates=1200, cell=100)
    torch.testing.assert_close(everywhere[1], squares, atol=1e-4, rtol=1e-4)
    near, among = nearest_by_cells(f, 8, candidates=500, cell=60)
    found = (near[:, :, None] == indices[:, None, :]).any(2).double().mean()
    assert found > 0.97
    assert (among >= squares - 1e-4).all()
    assert not (near == torch.arange(1200)[:, None]).any()
    assert all(len(set(row)) == 8 for row in near.tolist())


def test_equal_points_have_neighbours_by_cells():
    indices, squares = nearest_by_cells(torch.ones(300, 2), 3, candidates=50, cell=20)
    assert (squares == 0).all()
    assert not (indices == torch.arange(300)[:, None]).any()


def test_a_streamed_code_costs_what_the_held_one_costs_and_comes_back(digits, streaming, monkeypatch, tmp_path):
    task = Task.from_arrays(digits[0][:420], digits[1][:420], alphabet=[str(i) for i in range(10)])
    coder = Kernel(exact=0, landmarks=150, block=100)
    streamed = encode(task, coder, None, 0, keep=True)
    written = write_labels(tmp_path / "labels", task, streamed, coder="kernel")
    assert (read_labels(written.path, task.x, coder).labels == task.y.numpy()).all()
    monkeypatch.undo()
    once = encode(task, coder, None, 0)
    assert streamed.total / math.log(2) == pytest.approx(once.total / math.log(2), rel=0.03)
