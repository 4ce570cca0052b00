from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from infoscope import Labels, Real, Task
from infoscope.prequential.gaussian_process import Regression
from infoscope.prequential.leave_one_out import LeaveOneOut, leave_one_out, left_out, regressions

N, WIDTH, NOISE = 40, 3, 0.3


@pytest.fixture
def draws():
    generator = torch.Generator().manual_seed(0)
    phi = torch.randn(N, 7, generator=generator, dtype=torch.float64)
    return phi, torch.randn(N, WIDTH, generator=generator, dtype=torch.float64)


def plainly(k, y):
    """The regression fitted anew without each example."""
    means, variances = torch.empty_like(y), torch.empty(len(y), dtype=torch.float64)
    for i in range(len(y)):
        others = [j for j in range(len(y)) if j != i]
        inverse = torch.linalg.inv(k[others][:, others] + NOISE * torch.eye(len(others), dtype=torch.float64))
        means[i] = k[i, others] @ inverse @ y[others]
        variances[i] = k[i, i] + NOISE - k[i, others] @ inverse @ k[others, i]
    return means, variances


def test_one_inverse_says_what_leaving_each_example_out_says(draws):
    phi, y = draws
    for regression in (Regression(phi @ phi.T, NOISE), Regression(phi, NOISE, whole=False)):
        for found, slow in zip(left_out(regression, y), plainly(phi @ phi.T, y), strict=True):
            torch.testing.assert_close(found, slow, rtol=1e-9, atol=1e-9)


def test_an_examples_own_target_does_not_change_what_is_said_of_it(draws):
    phi, y = draws
    changed = y.clone()
    changed[5] += 100
    for regression in (Regression(phi @ phi.T, NOISE), Regression(phi, NOISE, whole=False)):
        before, after = left_out(regression, y)[0], left_out(regression, changed)[0]
        torch.testing.assert_close(before[5], after[5], rtol=1e-8, atol=1e-8)
        assert (before[6] - after[6]).abs().max() > 1e-3


def test_masked_labels_are_left_out_of_their_own_column_alone():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 4)), rng.integers(0, 2, (30, 2))
    masked = y.copy()
    masked[::3, 1] = -1
    whole, part = (leave_one_out(Task.from_arrays(x, each, target=Labels(("a", "b")))) for each in (y, masked))
    assert np.array_equal(whole.means[:, :, 0], part.means[:, :, 0])
    assert np.isnan(part.means[:, ::3, 1]).all()
    kept = np.arange(30) % 3 > 0
    alone = torch.from_numpy(y[kept, 1:] - 0.5)
    first = next(regressions(*_seeded(x), seed=0))
    order = np.random.default_rng(0).permutation(30)
    k = first.kernel[np.argsort(order)][:, np.argsort(order)][kept][:, kept]
    mean = left_out(dataclasses.replace(first, kernel=k), alone)[0][:, 0]
    assert np.allclose(part.means[0, kept, 1], mean.numpy(), atol=1e-5)


def _seeded(x):
    task = Task.from_arrays(x[np.random.default_rng(0).permutation(len(x))], np.arange(len(x)) % 2)
    return task.x, Labels(("a", "b"))


def test_features_given_as_an_array_stay_with_their_examples():
    """Their own row alone tells the label, so a permuted table would tell nothing."""
    rng = np.random.default_rng(1)
    y = rng.integers(0, 2, 60)
    task = Task.from_arrays(rng.normal(size=(60, 2)), y)
    found = leave_one_out(task, features=_given(y[:, None] + 0.01 * rng.normal(size=(60, 1))), seed=3)
    right = (found.means.argmax(2) == y).mean(1)
    assert right.max() > 0.98


def _given(values):
    from infoscope.prequential.frozen import Given

    return Given(values)


def test_it_is_kept_without_loss():
    task = Task.from_arrays(np.arange(12.0)[:, None], np.arange(12.0), target=Real(1.0, 0.0, 11.0))
    found = leave_one_out(task)
    again = LeaveOneOut.from_bytes(found.to_bytes())
    assert np.array_equal(found.means, again.means)
    assert np.array_equal(found.variances, again.variances)


def test_landmarks_say_nearly_what_the_whole_kernel_says(monkeypatch):
    from infoscope.prequential import leave_one_out as room

    task = Task.from_dataset("digits")[:400]
    whole = leave_one_out(task)
    monkeypatch.setattr(room, "NEAR", dataclasses.replace(room.NEAR, exact=100, landmarks=300))
    few = leave_one_out(task)
    assert (whole.means[0].argmax(1) == few.means[0].argmax(1)).mean() > 0.97
