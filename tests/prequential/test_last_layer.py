from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from infoscope.data.targets import Classes, Labels, Real
from infoscope.prequential.last_layer import LastLayer, Regressions, last_features
from infoscope.prequential.readouts import by_example
from infoscope.prequential.replay import Replay, _Student


def of(classes):
    return Classes(tuple(map(str, range(classes))))


def sent(preset, target, batches, features, parts):
    """Predictions of all examples, the features taken anew where their reach ends."""
    state, rows, start = Regressions(preset, target), [], 0
    for stop in batches:
        if stop > state.reach:
            reach = state.next_reach(stop, len(features))
            state.renew([features[:reach]], torch.Generator().manual_seed(0))
        process = by_example(state.blocks(start, stop), state.read)
        rows.append(next(process))
        for part in parts[start:stop]:
            try:
                rows.append(process.send(part))
            except StopIteration as end:
                state.learn(end.value)
        start = stop
    return np.stack(rows)


def test_the_linear_kernel_is_ridge_regression_on_the_features():
    """Against a regression solved anew for every example, in one batch after another within one reach."""
    torch.manual_seed(0)
    f, y = torch.randn(40, 3, dtype=torch.float64), np.arange(40) % 3
    preset = LastLayer(refresh=50.0, readouts=((2.0, 0.0),))
    rows = sent(preset, of(3), (1, 3, 10, 40), f, y.tolist())[:, 0]
    g = (f - f.mean(0)).numpy()
    g /= np.sqrt((g**2).sum(1).mean())
    targets, noise = np.eye(3)[y] - 1 / 3, preset.noises[0]
    for i in range(40):
        mean = g[i] @ np.linalg.solve(g[:i].T @ g[:i] + noise * np.eye(3), g[:i].T @ targets[:i])
        np.testing.assert_allclose(rows[i], 2 * mean - np.logaddexp.reduce(2 * mean), atol=1e-9)


def test_what_was_learned_stays_when_the_features_are_taken_anew():
    torch.manual_seed(1)
    f, y = torch.randn(60, 3, dtype=torch.float64), np.arange(60) % 3
    state = Regressions(LastLayer(), of(3))
    state.renew([f], torch.Generator().manual_seed(0))
    state.targets = np.stack([np.eye(3)[y[:30]] - 1 / 3] * 2)
    state.renew([f], torch.Generator().manual_seed(0))
    once = state.blocks(30, 60)
    state.targets = np.empty((0, 0, 3))
    state.renew([f], torch.Generator().manual_seed(0))
    state.blocks(0, 30)
    state.learn(np.stack([np.eye(3)[y[:30]] - 1 / 3] * 2))
    for (factor, mean), (other, again) in zip(once, state.blocks(30, 60), strict=True):
        np.testing.assert_allclose(factor, other, atol=1e-12)
        np.testing.assert_allclose(mean, again, atol=1e-12)


def test_features_are_the_last_linear_layers_inputs_or_the_outputs():
    torch.manual_seed(0)
    x = torch.randn(5, 2, 4, 4)
    flat = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Flatten(), nn.ReLU(), nn.Linear(12, 4))
    torch.testing.assert_close(last_features(flat, x), flat[:3](x).detach().double())
    convolved = nn.Sequential(nn.Conv2d(2, 7, 4), nn.Flatten())
    torch.testing.assert_close(last_features(convolved, x), convolved(x).detach().double())
    bent = nn.Sequential(nn.Flatten(), nn.Linear(32, 4), nn.Tanh())
    torch.testing.assert_close(last_features(bent, x), bent(x).detach().double())


@pytest.mark.parametrize("x", [torch.zeros(12, 4), torch.full((12, 4), torch.inf)])
def test_features_that_are_equal_or_not_finite_tell_nothing(x):
    rows = sent(LastLayer(), of(3), (1, 4, 12), x.double(), [0, 1, 2] * 4)
    assert np.isfinite(rows).all()
    np.testing.assert_allclose(np.exp(rows).sum(-1), 1)
    np.testing.assert_allclose(rows, -np.log(3), atol=1e-9)


def test_numbers_and_several_labels_are_regressed_too():
    torch.manual_seed(0)
    f = torch.randn(80, 3, dtype=torch.float64)
    line = (f @ torch.tensor([[1.0], [2.0], [0.5]], dtype=torch.float64)).numpy()
    read = sent(LastLayer(), Real(0.01, -9.0, 9.0), (1, 80), f, list(line))
    assert np.abs(read[40:, 0, 0, 0] - line[40:, 0]).mean() < 0.2 * np.abs(line[40:]).mean()
    both = (line > 0).astype(np.int64) * np.ones((1, 2), dtype=np.int64)
    logits = sent(LastLayer(), Labels(("a", "b")), (1, 80), f, list(both))
    assert ((logits[40:, 3, 0] > 0) == both[40:, 0]).mean() > 0.9


def test_gradients_are_as_many_as_promised():
    """(1 + replays) n + start, up to one batch, and none is left out on the way."""
    torch.manual_seed(0)
    preset, x = Replay(), torch.randn(700, 4)
    y = torch.arange(700) % 3
    student = _Student(preset, nn.Linear(4, 3), x, of(3), 0)
    drawn = [0]
    for stop in (1, 2, 3, 5, 60, 61, 150, 400, 700):
        rows = student._rows(stop)
        drawn.append(drawn[-1] + len(rows))
        assert 0 <= 9 * stop + 5000 * np.log1p(20 * min(1, stop / 200)) / np.log(21) - drawn[-1] < preset.batch
        assert not len(rows) or rows.max() < stop
    assert 9 * 700 + 5000 - preset.batch < drawn[-1] <= 9 * 700 + 5000
    assert student.learned == 700
    student.learn(x, y)


def test_a_trained_network_knows_its_classes_under_other_names():
    """The last layer in closed form serves where gradients would first have to unlearn."""
    torch.manual_seed(0)
    x = torch.randn(1400, 6)
    network = nn.Sequential(nn.Linear(6, 64), nn.ReLU(), nn.Linear(64, 4))
    y = (2 * (x[:, 0] * x[:, 1] > 0) + (x[:, 2] > 0)).long()
    untrained = renamed_bits(network, x[1200:], y[1200:])
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(200):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(x[:1200]), y[:1200]).backward()
        optimizer.step()
    assert renamed_bits(network, x[1200:], y[1200:]) < 0.75 * untrained


def renamed_bits(network, x, y):
    """What the best last layer pays for the classes under other names."""
    names = (y + 1) % 4
    rows = sent(LastLayer(), of(4), (1, 20, len(y)), last_features(network, x), names.tolist())
    return -rows[np.arange(len(y)), :, names].sum(0).min() / np.log(2)


def test_what_cannot_be_done_is_told():
    with pytest.raises(ValueError, match="refresh is above 1"):
        LastLayer(refresh=1.0)
    with pytest.raises(ValueError, match="LastLayer"):
        LastLayer(landmarks=0)
