"""Several labels at once: what is sent of an example may tell about the rest; masks are neither coded nor learned."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from infoscope.data.targets import Labels
from infoscope.data.task import Task
from infoscope.prequential.blocks import Blocks
from infoscope.prequential.encode import code, encode
from infoscope.prequential.entk import NTK
from infoscope.prequential.kernel import Kernel
from infoscope.prequential.labels import Chain, Counts, mixture
from infoscope.prequential.loss_curve import predictions
from infoscope.prequential.replay import Replay
from infoscope.training.learner import Learner
from infoscope.training.recipe import Recipe

CODERS = [Kernel(), Replay(start=64, replays=2), NTK(), Blocks(first=16, recipe=Recipe(epochs=10))]


def silent(n, names):
    """Heads that know nothing."""
    for _ in range(n):
        yield np.zeros((1, names))


def cost(y: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Bits of labels that no head tells anything about."""
    mask = np.ones(y.shape, bool) if mask is None else mask
    symbols = y[mask]
    rows = predictions(mixture(silent(*y.shape), mask), symbols)
    return -sum(math.log2(p[s]) for p, s in zip(rows, symbols, strict=True))


def test_two_identical_labels_cost_one_and_a_chain():
    half = np.random.default_rng(0).permutation([0] * 500 + [1] * 500)
    counts, independent, chained = (Counts(1), Counts(1)), 0.0, 0.0
    nothing = np.empty(0, int)
    lone = Counts(1), Counts(1)
    for label in half:
        for column in (0, 1):
            independent -= lone[column].row(nothing)[label] / math.log(2)
            lone[column].learn(label)
            chained -= counts[column].row(half[:0] if column == 0 else np.array([label]))[label] / math.log(2)
            counts[column].learn(label)
    assert independent == pytest.approx(2010.618, abs=5e-4)
    assert chained == pytest.approx(1015.927, abs=5e-4)
    assert cost(np.stack([half, half], 1)) < 1015.927 + 2 * math.log2(8)


def test_random_labels_cost_a_bit_each_and_a_few_bits_for_the_mixtures():
    y = np.random.default_rng(0).integers(0, 2, (400, 3))
    assert 1200 - 20 < cost(y) < 1200 + 3 * math.log2(8)


def test_the_chain_knows_a_label_that_is_the_sum_of_two():
    """No head, no pair of neighbours alone: the third is 1 where both before it are."""
    y = np.random.default_rng(0).integers(0, 2, (600, 2))
    y = np.column_stack([y, y.all(1)])
    assert cost(y) < 1200 + 60


def test_masked_labels_are_neither_coded_nor_learned():
    draws = np.random.default_rng(0)
    y, mask = draws.integers(0, 2, (200, 2)), draws.random((200, 2)) < 0.7
    poisoned = np.where(mask, y, 1 - y)
    assert cost(y, mask) == cost(poisoned, mask)
    assert cost(y, np.zeros((200, 2), bool)) == 0
    task = Task.from_arrays(draws.standard_normal((200, 3)), np.where(mask, y, -1), target=Labels(("a", "b")))
    curve = encode(task, Kernel(), None, 0)
    assert curve.symbols == mask.sum()
    assert (curve.nats[~mask[curve.index].any(1)] == 0).all()
    assert curve.uniform == pytest.approx(mask.sum() * math.log(2))


def separable(n=80):
    draws = torch.Generator().manual_seed(0)
    x = torch.randn(n, 4, generator=draws)
    y = torch.stack([x[:, 0] > 0, x[:, 1] > 0, (x[:, 0] > 0) ^ (x[:, 1] > 0)], 1).long()
    return Task.from_arrays(x, y, target=Labels(("first", "second", "odd")))


def network():
    return nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 3))


@pytest.mark.parametrize("coder", CODERS, ids=lambda c: type(c).__name__)
def test_every_coder_learns_labels_and_cannot_see_those_to_come(coder):
    task = separable()
    curve = encode(task, coder, Learner(network), 0)
    assert curve.total < 0.85 * curve.uniform
    torch.manual_seed(0)
    net = network() if coder.needs_network else None
    target, mask = task.target, np.ones((80, 3), bool)
    symbols = target.cut(task.y)[0]
    poisoned = np.where(np.arange(240) < 100, symbols, 1 - symbols)
    a, b = (np.stack(list(predictions(code(task.x, target, mask, coder, 0, net), s))) for s in (symbols, poisoned))
    np.testing.assert_array_equal(a[:101], b[:101])
    assert (a[101:] != b[101:]).any()
    np.testing.assert_allclose(a.sum(1), 1)


def test_newton_s_chain_finds_the_weights_of_a_logistic_model():
    draws = np.random.default_rng(0)
    chain, weights = Chain(3, heads=False), np.array([0.5, -2.0, 1.0])
    for _ in range(3000):
        inputs = np.array([1.0, *draws.standard_normal(2)])
        chain.predict(inputs)
        chain.learn(int(draws.random() < 1 / (1 + np.exp(-weights @ inputs))))
    np.testing.assert_allclose(chain.weights, weights, atol=0.3)
