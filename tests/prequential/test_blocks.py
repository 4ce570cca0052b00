from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from infoscope.data.targets import Classes
from infoscope.prequential.blocks import Blocks, boundaries
from infoscope.training.recipe import Adam, Recipe


def of(classes):
    return Classes(tuple(map(str, range(classes))))


QUICK = Recipe(Adam(lr=0.05), epochs=30, patience=5)


def run(coder, x, y, network, classes=3, seed=0):
    code = coder.experts(x, of(classes), seed, network)
    rows = [next(code)]
    rows += [code.send(int(label)) for label in y[:-1]]
    with pytest.raises(StopIteration):
        code.send(int(y[-1]))
    return np.stack(rows)


@pytest.mark.parametrize(("n", "first", "growth"), [(1, 4, 2.0), (4, 4, 2.0), (1000, 1, 1.02), (777, 10, 3.0)])
def test_blocks_cover_every_example_once(n, first, growth):
    blocks = list(boundaries(n, first, growth))
    assert [i for start, stop in blocks for i in range(start, stop)] == list(range(n))
    assert all(stop - start >= first for start, stop in blocks[:-1])


def test_blocks_double():
    assert [stop for _, stop in boundaries(1797, 64, 2.0)] == [64, 128, 256, 512, 1024, 1797]


@pytest.fixture(scope="module")
def separable():
    draws = torch.Generator().manual_seed(0)
    y = torch.randint(0, 3, (128,), generator=draws)
    x = torch.randn(128, 4, generator=draws) * 0.1
    x[torch.arange(128), y] += 2
    return x, y


def test_first_block_is_uniform_and_later_ones_have_learnt(separable):
    x, y = separable
    rows = run(Blocks(first=32, recipe=QUICK), x, y, nn.Linear(4, 3))
    assert rows.shape == (128, 1, 3)
    assert (rows[:32] == -np.log(3)).all()
    nats = -rows[np.arange(128), 0, y]
    assert nats[32:].mean() < 0.1 * np.log(3)
    np.testing.assert_allclose(np.exp(rows).sum(-1), 1)


@pytest.mark.parametrize("warm", [False, True])
def test_later_labels_change_nothing_before_their_block_is_over(separable, warm):
    x, y = separable
    poisoned = y.clone()
    poisoned[40:] = 2 - poisoned[40:]
    coder, network = Blocks(first=16, warm=warm, recipe=QUICK), nn.Linear(4, 3)
    a, b = (run(coder, x, labels, network) for labels in (y, poisoned))
    np.testing.assert_array_equal(a[:64], b[:64])
    assert (a[64:] != b[64:]).any()


def test_warm_start_differs_from_scratch(separable):
    x, y = separable
    network = nn.Linear(4, 3)
    a, b = (run(Blocks(first=16, warm=warm, recipe=QUICK), x, y, network) for warm in (False, True))
    np.testing.assert_array_equal(a[:32], b[:32])
    assert (a[32:] != b[32:]).any()


def test_one_example_one_class_and_no_network():
    assert run(Blocks(), torch.zeros(1, 2), [0], nn.Linear(2, 3)).shape == (1, 1, 3)
    assert (run(Blocks(first=1, recipe=QUICK), torch.zeros(3, 2), [0, 0, 0], nn.Linear(2, 1), classes=1) == 0).all()
    with pytest.raises(ValueError, match="give a network"):
        next(Blocks().experts(torch.zeros(1, 2), of(2)))


def test_each_temperature_is_an_expert(separable):
    x, y = separable
    assert run(Blocks(temperatures=(1.0, 2.0), recipe=QUICK), x, y, nn.Linear(4, 3)).shape == (128, 2, 3)
