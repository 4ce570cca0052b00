"""Kernel matrices against their definitions."""

import numpy as np
import pytest
import torch

from infoscope.prequential.gram import (
    centred,
    centred_features,
    exponential,
    gaussian,
    median,
    nystrom,
    squared_distances,
)


@pytest.fixture
def points():
    return torch.from_numpy(np.random.default_rng(0).standard_normal((60, 7)))


def test_distances_and_likeness_by_definition(points):
    slow = ((points[:, None] - points) ** 2).sum(2)
    squares = squared_distances(points, points)
    torch.testing.assert_close(squares, slow, atol=1e-10, rtol=0)
    torch.testing.assert_close(gaussian(slow), torch.exp(-slow / 2))
    torch.testing.assert_close(exponential(slow), torch.exp(-slow.sqrt()))


def test_centring_a_kernel_is_centring_its_features(points):
    whole = centred(points @ points.T)
    phi = centred_features(points.clone())
    torch.testing.assert_close(whole, phi @ phi.T, atol=1e-12, rtol=0)
    assert whole.mean().abs() < 1e-12
    assert whole.diagonal().mean() == pytest.approx(1)


def test_constant_inputs_have_a_scale():
    assert median(torch.zeros(5, 5)) == 1
    assert (centred(torch.ones(5, 5)) == 0).all()
    assert (centred_features(torch.ones(5, 2)) == 0).all()


def test_nystrom_on_every_point_is_the_kernel(points):
    k = gaussian(squared_distances(points, points))
    phi = nystrom(k.clone(), k.clone(), jitter=1e-12)
    torch.testing.assert_close(phi @ phi.T, k, atol=1e-8, rtol=0)


def test_nystrom_bears_landmarks_that_are_equal():
    k = torch.ones(30, 30)
    phi = nystrom(k.clone(), k.clone())
    torch.testing.assert_close(phi @ phi.T, k, atol=1e-3, rtol=0)
