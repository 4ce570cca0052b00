"""Features of images and vectors, and the graph of their neighbours."""

import numpy as np
import pytest
import torch

from infoscope import Task
from infoscope.prequential.features import (
    POWER,
    SET_OFF,
    Patches,
    features,
    normalised_patches,
    spherical_kmeans,
    tempered,
    tents,
)
from infoscope.prequential.gram import squared_distances
from infoscope.prequential.graph import affinity, leading, leading_components, nearest, nearest_by_rows, spread
from infoscope.prequential.upright import Upright, set_off


def images(n=40, channels=1, side=12, seed=0):
    return torch.rand(n, channels, side, side, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    "shape", [(5, 1, 8, 8), (5, 3, 32, 32), (2, 1, 128, 96), (5, 2, 3, 9), (5, 7), (1, 1), (1, 1, 8, 8)]
)
@pytest.mark.parametrize("kind", ["random", "constant", "two values"])
def test_every_shape_gives_finite_features(shape, kind):
    x = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    x = {"random": x, "constant": torch.ones(shape), "two values": (x > 0.5).float()}[kind]
    f = features(x)
    assert f.shape[0] == shape[0]
    assert f.dtype == torch.float32
    assert torch.isfinite(f).all()


def test_entries_that_are_not_numbers_are_refused():
    x = torch.ones(5, 3)
    x[1, 2], x[4, 0] = torch.nan, torch.inf
    with pytest.raises(ValueError, match="2 of 5 examples"):
        features(x)


def test_shift_and_scale_of_all_values_change_nothing():
    x = images()
    torch.testing.assert_close(features(255 * x - 7), features(x), atol=2e-3, rtol=2e-3)


def test_a_small_shift_moves_patch_features_less_than_pixels():
    x = torch.zeros(60, 1, 20, 20)
    x[:, :, 5:15, 5:15] = torch.nn.functional.interpolate(images(60, side=5), size=10, mode="bilinear")
    both = torch.cat([x, x.roll(1, dims=3)])

    def relative(f):
        return ((f[:60] - f[60:]).square().sum() / (f[:60] - f[:60].roll(1, dims=0)).square().sum()).item()

    assert relative(Patches()(both)) < 0.5 * relative(both.flatten(1))


def test_features_are_those_of_a_plain_loop():
    x, patches = images(3, side=9), Patches(filters=6)
    plain = (x - x.mean()) / x.std(correction=0)
    size = 3
    filters, offsets = patches._dictionary(plain, size, torch.Generator().manual_seed(0))
    answer = normalised_patches(plain, size, patches.contrast) @ filters - offsets
    weights = tents(7, 3, patches.overlap)
    maps = [(sign * answer - patches.threshold).relu().reshape(3, 7, 7, 6) for sign in (1, -1)]
    pooled = [torch.einsum("ai,bj,nijf->nabf", weights, weights, m) for m in maps]
    slow = torch.cat(pooled, dim=3).reshape(3, -1).sqrt()
    torch.testing.assert_close(patches(x), slow, atol=2e-3, rtol=0)


def blobs(shear, stretch, shift, side=41):
    """Gaussian ink under affine maps; its moments, and so its upright form, are known."""
    place = torch.arange(side) - (side - 1) / 2
    row, column = place[:, None] - shift, place[None, :] + shift
    u = row / stretch
    v = (column - shear * row) * stretch
    return torch.exp(-(u.square() / 32 + v.square() / 18))[None]


def test_ink_that_leans_was_stretched_or_lies_aside_comes_upright_alike():
    given = torch.stack([blobs(0, 1, 0), blobs(0.5, 1, 0), blobs(-0.4, 1, 3), blobs(0.3, 1.3, -2), blobs(0, 0.8, 1)])
    brought = Upright.of(given, scaled=1.0)(given)
    spread_before = (given - given.mean(0)).square().sum()
    assert (brought - brought.mean(0)).square().sum() < 1e-3 * spread_before


def test_what_is_upright_stays_as_it_is():
    x = torch.stack([blobs(0, 1, 0), 2 * blobs(0, 1, 0)])
    torch.testing.assert_close(Upright.of(x)(x), x, atol=1e-5, rtol=0)


@pytest.mark.parametrize("x", [torch.ones(3, 2, 6, 9), torch.zeros(1, 1, 5, 5)])
def test_images_without_ink_stay_as_they_are(x):
    torch.testing.assert_close(Upright.of(x)(x), x, atol=1e-5, rtol=0)


def test_ink_may_be_dark_or_bright():
    x = images(30)
    x[:, :, [0, -1]], x[:, :, :, [0, -1]] = 0.0, 0.0
    negative = 255 - 200 * x
    torch.testing.assert_close(Upright.of(negative)(negative), 255 - 200 * Upright.of(x)(x), atol=1e-2, rtol=0)


@pytest.mark.parametrize(("name", "framed"), [("usps", True), ("notmnist", True), ("office31_dslr", False)])
def test_what_lies_on_a_background_is_told_from_parts_of_the_world(shared_data, name, framed):
    x = Task.from_dataset(str(shared_data(name)))["train"].x[:300].float()
    assert (set_off(x) > SET_OFF) == framed


def test_parts_of_the_world_are_taken_as_they_are_and_what_is_set_off_is_turned_upright():
    world = images(50)
    assert torch.equal(features(world), Patches()(world))
    framed = torch.nn.functional.pad(world, (1, 1, 1, 1))
    assert features(framed).shape == (50, 49)


def test_tempered_features_are_the_singular_vectors_with_a_power_of_their_values():
    f = torch.randn(50, 30, generator=torch.Generator().manual_seed(0)) * torch.linspace(1, 3, 30)
    phi = tempered(f).double()
    u, s, _ = torch.linalg.svd((f - f.mean(0)).double(), full_matrices=False)
    slow = u * s**POWER
    torch.testing.assert_close(phi @ phi.T, slow @ slow.T * phi.numel() / slow.square().sum(), atol=1e-3, rtol=1e-3)
    assert phi.square().mean().item() == pytest.approx(1, abs=1e-4)


def test_components_that_some_rows_show_are_those_of_all(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    f = torch.randn(60, 4, generator=generator) @ torch.randn(4, 30, generator=generator)
    whole = tempered(f)
    monkeypatch.setattr("infoscope.prequential.features.MEASURED", 59)
    some = tempered(f)
    torch.testing.assert_close(some @ some.T, whole @ whole.T, atol=0.5, rtol=0.1)


def test_kmeans_finds_directions():
    generator = torch.Generator().manual_seed(0)
    truth = torch.eye(4)
    z = truth.repeat(50, 1) * 3 + 0.01 * torch.randn(200, 4, generator=generator)
    atoms = spherical_kmeans(z, 16, 10, generator)
    assert (atoms @ truth.T).max(0).values.min() > 0.999


def test_tents_are_averages():
    weights = tents(23, 4, 0.75)
    torch.testing.assert_close(weights.sum(1), torch.ones(4))
    torch.testing.assert_close(weights, weights.flip(0, 1))


def test_nearest_are_nearest():
    f = torch.from_numpy(np.random.default_rng(0).standard_normal((50, 3)))
    squares = squared_distances(f, f)
    indices, values = nearest(squares[10:20], 4, start=10)
    slow = ((f[10:20, None] - f) ** 2).sum(2)
    slow[torch.arange(10), torch.arange(10, 20)] = torch.inf
    torch.testing.assert_close(indices, slow.argsort(1)[:, :4])
    torch.testing.assert_close(values, slow.sort(1).values[:, :4])


def test_nearest_by_rows_are_the_nearest():
    f = torch.rand(50, 3, generator=torch.Generator().manual_seed(0))
    whole, parts = nearest(squared_distances(f, f), 4), nearest_by_rows(f, 4, rows=7)
    torch.testing.assert_close(parts[0], whole[0])
    torch.testing.assert_close(parts[1], whole[1])


def test_leading_eigenvectors_are_those_of_a_dense_solver():
    f = torch.rand(300, 2, generator=torch.Generator().manual_seed(0))
    s = affinity(*nearest(squared_distances(f, f), 6))
    values, vectors = (found.numpy() for found in leading(s, 40))
    dense = np.linalg.eigvalsh(s.toarray())[::-1]
    assert dense[0] == pytest.approx(1, abs=1e-9)
    np.testing.assert_allclose(values[:20], dense[:20], atol=1e-4)
    np.testing.assert_allclose((s @ vectors)[:, :20], vectors[:, :20] * values[:20], atol=1e-3)


def test_spread_of_full_rank_is_the_kernel_of_zhou_et_al():
    f = torch.rand(60, 2, generator=torch.Generator().manual_seed(0))
    edges = nearest(squared_distances(f, f), 5)
    k = np.linalg.inv(np.eye(60) - 0.9 * affinity(*edges).toarray())
    k /= np.sqrt(np.outer(np.diag(k), np.diag(k)))
    phi = spread(*edges, rank=60, alpha=0.9).double().numpy()
    np.testing.assert_allclose(phi @ phi.T, k, atol=1e-4)


def test_leading_components_keep_distances_of_low_dimensional_data():
    generator = torch.Generator().manual_seed(0)
    f = torch.randn(80, 5, generator=generator) @ torch.randn(5, 40, generator=generator)
    g = leading_components(f, 5, generator)
    torch.testing.assert_close(squared_distances(g, g), squared_distances(f, f), atol=1e-2, rtol=1e-3)
