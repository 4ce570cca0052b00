from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from infoscope.data.targets import Classes
from infoscope.observation.jacobians import gram
from infoscope.prequential.entk import NTK


def of(classes):
    return Classes(tuple(map(str, range(classes))))


def mlp(inputs=4, classes=3, width=32, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, classes))


def run(coder, x, y, network, classes=3, seed=0):
    code = coder.experts(x, of(classes), seed, network)
    rows = [next(code)]
    rows += [code.send(int(label)) for label in y[:-1]]
    with pytest.raises(StopIteration):
        code.send(int(y[-1]))
    return np.stack(rows)


def bits(rows, y):
    """Of the Bayes mixture of all experts and a uniform one."""
    n, experts, classes = rows.shape
    nats = np.append(-rows[np.arange(n), :, y].sum(0), n * np.log(classes))
    return (np.log(experts + 1) - np.logaddexp.reduce(-nats)) / np.log(2)


def test_predictions_are_probabilities_and_do_not_know_the_labels_to_come():
    rng = np.random.default_rng(0)
    x, y = torch.randn(60, 4), rng.integers(0, 3, 60)
    poisoned = np.where(np.arange(60) < 30, y, (y + 1) % 3)
    a, b = (run(NTK(), x, labels, mlp()) for labels in (y, poisoned))
    np.testing.assert_allclose(np.exp(a).sum(-1), 1)
    np.testing.assert_array_equal(a[:31], b[:31])
    assert (a[31:] != b[31:]).any()


def test_predictions_are_those_of_a_gaussian_process():
    """One expert, p ∝ exp(2 (P + m)), against m = k (K + λ)⁻¹ Y, one example at a time; blocks of 7 to cross some."""
    coder = NTK(temperatures=(1.0,), noises=(0.03,), slopes=(2.0,), powers=(0.0,), block=7)
    x, y, network = torch.randn(30, 4), np.arange(30) % 3, mlp()
    rows = run(coder, x, y, network)[:, 0]
    k, logits = (t.numpy() for t in gram(network, x))
    k = k / np.diag(k).mean() + 0.03 * np.eye(30)
    prior = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    targets = np.eye(3)[y] - prior
    for i in (0, 1, 6, 7, 8, 29):
        z = 2 * (prior[i] + k[i, :i] @ np.linalg.solve(k[:i, :i], targets[:i]))
        np.testing.assert_allclose(rows[i], z - np.log(np.exp(z).sum()), atol=1e-9)


def test_paired_difference_of_a_network_with_itself_is_nothing():
    x, y = torch.randn(40, 4), np.arange(40) % 3
    network = mlp()
    np.testing.assert_array_equal(run(NTK(), x, y, network, seed=1), run(NTK(), x, y, copy.deepcopy(network), seed=2))


def test_random_labels_cost_no_more_than_uniform_and_a_few_bits():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 300)
    cost = bits(run(NTK(), torch.randn(300, 4), y, mlp()), y)
    assert 300 * np.log2(3) - 20 < cost < 300 * np.log2(3) + np.log2(1 + 48) + 1e-6


def test_batch_norm_and_dropout_stay_as_they_are():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Flatten(), nn.Dropout(), nn.Linear(64, 3)
    )
    before, state = copy.deepcopy(network.state_dict()), torch.get_rng_state()
    x = torch.randn(12, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    run(NTK(), x, np.arange(12) % 3, network)
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
    assert all(m.training for m in network.modules())
    assert torch.equal(torch.get_rng_state(), state)


def test_one_example_one_class_missing_classes():
    assert run(NTK(), torch.zeros(1, 4), [2], mlp()).shape == (1, 48, 3)
    assert (run(NTK(), torch.randn(5, 4), [0] * 5, mlp(classes=1), classes=1) == 0).all()
    assert np.isfinite(run(NTK(), torch.randn(9, 4), [1] * 9, mlp(classes=7), classes=7)).all()


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_callers_gradient_mode_does_not_matter(mode):
    x, y, network = torch.randn(20, 4), np.arange(20) % 3, mlp()
    with mode():
        inner = run(NTK(), x, y, network)
    np.testing.assert_array_equal(inner, run(NTK(), x, y, network))


def test_what_cannot_be_done_is_told():
    with pytest.raises(ValueError, match="give a network"):
        next(NTK().experts(torch.zeros(2, 4), of(3)))
    with pytest.raises(ValueError, match=r"raise NTK\.memory"):
        next(NTK(memory=10_000).experts(torch.zeros(100, 4), of(3), 0, mlp()))
    with pytest.raises(ValueError, match=r"shape \(2, 3\) for 2 examples of 5 classes"):
        next(NTK().experts(torch.zeros(2, 4), of(5), 0, mlp()))
    with pytest.raises(ValueError, match=r"shape \(2,\) for 2 examples of 1 classes"):
        next(NTK().experts(torch.zeros(2, 4), of(1), 0, nn.Sequential(nn.Linear(4, 1), nn.Flatten(0))))
    lost = mlp()
    lost[0].weight.data[0, 0] = torch.nan
    with pytest.raises(ValueError, match="not finite"):
        next(NTK().experts(torch.zeros(2, 4), of(3), 0, lost))
    with pytest.raises(ValueError, match="no trainable parameters"):
        next(NTK().experts(torch.zeros(2, 4), of(3), 0, mlp().requires_grad_(False)))


def test_memory_bounds_the_factors_and_changes_nothing():
    x, y = torch.randn(30, 4), np.arange(30) % 3
    a, b = (run(NTK(memory=memory), x, y, mlp()) for memory in (2**32, 8 * 3 * 900 + 5000))
    np.testing.assert_allclose(a, b, atol=1e-9)


def test_digits_from_an_untrained_network():
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(1000).permutation(len(y))
    x, y = torch.tensor(x[order] / 16, dtype=torch.float32), y[order]
    assert bits(run(NTK(), x, y, mlp(64, 10, 512, seed=1000), classes=10), y) < 330


def test_a_trained_network_needs_fewer_bits():
    x, y = load_digits(return_X_y=True)
    x = torch.tensor(x / 16, dtype=torch.float32)
    network = mlp(64, 10, 64)
    trained = copy.deepcopy(network)
    optimizer = torch.optim.Adam(trained.parameters(), 1e-2)
    for _ in range(200):
        loss = nn.functional.cross_entropy(trained(x[:1200]), torch.tensor(y[:1200]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    x, y = x[1200:], y[1200:]
    first, second = (bits(run(NTK(), x, y, each, classes=10), y) for each in (network, trained))
    with torch.no_grad():
        untouched = float(nn.functional.cross_entropy(trained(x), torch.tensor(y), reduction="sum")) / np.log(2)
    assert second < 0.75 * first
    assert second < untouched
