from __future__ import annotations

import copy
import random
from typing import ClassVar

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from infoscope.data.targets import Classes
from infoscope.data.task import Task
from infoscope.prequential.encode import encode
from infoscope.prequential.last_layer import LastLayer
from infoscope.prequential.mixture import mixture
from infoscope.prequential.replay import Replay
from infoscope.training.learner import Learner


def of(classes):
    return Classes(tuple(map(str, range(classes))))


def mlp(inputs=4, classes=3, width=32, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, classes))


def conv(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Flatten(), nn.Dropout(), nn.Linear(64, 3)
    )


def run(coder, x, y, network, classes=3, seed=0):
    code = coder.experts(x, of(classes), seed, network)
    rows = [next(code)]
    rows += [code.send(int(label)) for label in y[:-1]]
    with pytest.raises(StopIteration):
        code.send(int(y[-1]))
    return np.stack(rows)


def bits(rows, y):
    """What the mixture pays for the labels."""
    code = mixture(iterate(rows))
    p, total = next(code), 0.0
    for i, label in enumerate(np.asarray(y).tolist()):
        total -= np.log2(p[label])
        if i + 1 < len(rows):
            p = code.send(label)
    return total


def iterate(rows):
    for row in rows:  # noqa: UP028 - what is sent is let fall
        yield row


def images(n=20):
    draws = torch.Generator().manual_seed(1)
    return torch.randn(n, 1, 6, 6, generator=draws), torch.randint(0, 3, (n,), generator=draws).numpy()


def outside():
    """All that a coder could disturb outside of itself."""
    kind, words, *rest = np.random.get_state()  # noqa: NPY002
    return (
        torch.get_rng_state().tolist(), kind, words.tolist(), rest, random.getstate(), torch.get_num_threads(),
        torch.is_grad_enabled(), torch.get_default_dtype(),
    )  # fmt: skip


def inside(network):
    """All that a coder could disturb in a network."""
    state = {k: v.tolist() for k, v in network.state_dict().items()}
    return state, [m.training for m in network.modules()], [p.grad for p in network.parameters()]


def test_later_labels_change_nothing():
    x, y = torch.randn(30, 4), np.arange(30) % 3
    network = mlp()
    reference = run(Replay(), x, y, network)
    for i in (0, 1, 15, 28):
        poisoned = run(Replay(), x, np.where(np.arange(30) < i, y, (y + 1) % 3), network)
        np.testing.assert_array_equal(reference[: i + 1], poisoned[: i + 1])
        assert (reference[i + 1] != poisoned[i + 1]).any()


@pytest.mark.parametrize("make", [mlp, conv])
def test_paired_difference_of_a_network_with_itself_is_nothing(make):
    x, y = images() if make is conv else (torch.randn(40, 4), np.arange(40) % 3)
    network = make()
    a = run(Replay(), x, y, network, seed=3)
    torch.manual_seed(99)  # the caller's own state must not matter
    np.testing.assert_array_equal(a, run(Replay(), x, y, copy.deepcopy(network), seed=3))
    assert (a != run(Replay(), x, y, network, seed=4)).any()


def test_batch_norm_dropout_and_the_world_stay_as_they_are_between_labels():
    x, y = images()
    network = conv()
    world, own = outside(), inside(network)
    code = Replay().experts(x, of(3), 0, network)
    next(code)
    assert (outside(), inside(network)) == (world, own)
    for label in y[:-1]:
        code.send(int(label))
        assert outside() == world
    assert inside(network) == own
    code.close()
    assert (outside(), inside(network)) == (world, own)


def test_draws_of_the_caller_between_labels_change_nothing():
    x, y = images()
    network = conv()
    reference = run(Replay(), x, y, network)
    code = Replay().experts(x, of(3), 0, network)
    rows = [next(code)]
    for label in y[:-1]:
        torch.rand(3), np.random.rand(), random.random()  # noqa: NPY002
        rows.append(code.send(int(label)))
    np.testing.assert_array_equal(np.stack(rows), reference)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_callers_gradient_mode_does_not_matter(mode):
    x, y = torch.randn(20, 4), np.arange(20) % 3
    network = mlp()
    with mode():
        inner = run(Replay(), x, y, network)
    np.testing.assert_array_equal(inner, run(Replay(), x, y, network))


def test_a_failure_inside_leaves_the_world_as_it_was():
    class Breaks(nn.Linear):
        def forward(self, x):
            torch.rand(1)
            if self.training:
                raise RuntimeError("broken")
            return super().forward(x)

    network = Breaks(4, 3)
    world = outside()
    code = Replay(threads=2).experts(torch.zeros(5, 4), of(3), 0, network)
    next(code)
    with pytest.raises(RuntimeError, match="broken"):
        code.send(0)
    assert outside() == world


def test_random_labels_cost_no_more_than_uniform_and_a_few_bits():
    y = np.random.default_rng(0).integers(0, 3, 300)
    rows = run(Replay(start=128), torch.randn(300, 4), y, mlp())
    cost = bits(rows, y)
    assert 300 * np.log2(3) - 20 < cost < 300 * np.log2(3) + np.log2(rows.shape[1] + 4) + 1e-6


def test_one_example_one_class_missing_classes():
    assert run(Replay(), torch.zeros(1, 4), [2], mlp()).shape == (1, 14, 3)
    assert (run(Replay(), torch.randn(5, 4), [0] * 5, mlp(classes=1), classes=1) == 0).all()
    rows = run(Replay(), torch.randn(9, 4), [1] * 9, mlp(classes=7), classes=7)
    np.testing.assert_allclose(np.exp(rows).sum(-1), 1)


def test_a_network_that_cannot_learn_is_coded_as_it_is():
    network = mlp().requires_grad_(False)
    rows = run(Replay(last_layer=None), torch.randn(9, 4), [1] * 9, network)
    np.testing.assert_array_equal(rows[:, :5], rows[:, 5:10])


def test_an_expert_that_diverges_becomes_uniform():
    x, y = torch.randn(30, 4), np.arange(30) % 3
    rows = run(Replay(lr=1e30, pull=0.0), x, y, mlp())
    assert np.isfinite(rows).all()
    np.testing.assert_allclose(np.exp(rows).sum(-1), 1)


def test_what_cannot_be_done_is_told():
    with pytest.raises(ValueError, match="give a network"):
        next(Replay().experts(torch.zeros(2, 4), of(3)))
    with pytest.raises(ValueError, match=r"shape \(1, 3\) for 1 examples of 5 classes"):
        next(Replay().experts(torch.zeros(2, 4), of(5), 0, mlp()))


@pytest.fixture(scope="module")
def digits():
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(1000).permutation(len(y))
    return torch.tensor(x[order] / 16, dtype=torch.float32), y[order]


def test_digits(digits):
    x, y = digits
    assert bits(run(Replay(), x, y, mlp(64, 10, 128, seed=1000), classes=10), y) < 370


def test_a_trained_network_keeps_what_it_knows(digits):
    x, y = digits
    network = mlp(64, 10, 128)
    trained = copy.deepcopy(network)
    optimizer = torch.optim.Adam(trained.parameters(), 1e-2)
    for _ in range(200):
        loss = nn.functional.cross_entropy(trained(x[:1200]), torch.tensor(y[:1200]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    x, y = x[1200:], y[1200:]
    rows = run(Replay(), x, y, trained, classes=10)
    given = nn.functional.cross_entropy(trained(x), torch.tensor(y), reduction="sum").item() / np.log(2)
    first, second = bits(run(Replay(), x, y, network, classes=10), y), bits(rows, y)
    assert second < 0.95 * given
    assert second < 0.6 * first


def test_a_network_is_never_asked_about_no_examples():
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 3)

        def forward(self, x):
            asked.append(len(x))
            return self.layer(x)

    asked: list[int] = []
    encode(Task.from_dataset("iris")[:60], Replay(replays=1, start=50), Learner(Counting), 0)
    assert asked
    assert min(asked) > 0


class Counting(nn.Module):
    """A network that tells how many examples it was given, by its mode."""

    looked: ClassVar[dict[bool, int]] = {}

    def __init__(self, pixels):
        super().__init__()
        self.end = nn.Linear(pixels, 2)

    def forward(self, x):
        self.looked[self.training] = self.looked.get(self.training, 0) + len(x)
        return self.end(x.flatten(1))


@pytest.mark.parametrize("side", [4, 14])
@pytest.mark.parametrize("last", [None, LastLayer()], ids=["alone", "with last layers"])
def test_it_learns_from_and_looks_at_as_many_examples_as_it_says(side, last):
    """Images from 14 pixels on are looked at with their neighbours; after the last label nothing is learned."""
    n, coder = 90, Replay(replays=1, start=200, last_layer=last)
    task = Task.from_arrays(torch.rand(n, 1, side, side), np.arange(n) % 2)
    Counting.looked.clear()
    encode(task, coder, Learner(lambda: Counting(side**2)), 0)
    assert Counting.looked[True] == pytest.approx(coder.gradients(n - 1), abs=coder.batch)
    assert Counting.looked[False] == pytest.approx(coder.passes(task.x, n), rel=0.0 if last is None else 0.3)
