"""The kernel's code can be decoded, never cheats, and meets its figures."""

import math
import random

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from infoscope.data.targets import Classes
from infoscope.data.task import Task
from infoscope.prequential.encode import encode
from infoscope.prequential.kernel import Kernel
from infoscope.prequential.mixture import mixture


def of(classes):
    return Classes(tuple(map(str, range(classes))))


EXPERTS = len(next(Kernel().experts(torch.eye(3), of(2)))) + 4


@pytest.fixture(scope="module")
def digits():
    data = load_digits()
    order = np.random.default_rng(1000).permutation(len(data.target))
    return torch.from_numpy(data.images[order, None]).float(), data.target[order]


def predictions(code, labels):
    """Every prediction in turn; the label follows its prediction, never precedes it."""
    made = [next(code)]
    made += [code.send(int(label)) for label in labels[:-1]]
    with pytest.raises(StopIteration):
        code.send(int(labels[-1]))
    return np.stack(made)


def bits(p, labels):
    return -np.log2(p[np.arange(len(labels)), labels]).sum()


SMALL_LANDMARKS = Kernel(exact=50, landmarks=40, block=30, rank=20, components=10)


@pytest.mark.parametrize("kernel", [Kernel(block=50), SMALL_LANDMARKS], ids=["exact", "landmarks"])
def test_poisoned_labels_change_no_earlier_prediction(digits, kernel):
    x, y = digits[0][:160], digits[1][:160]
    clean = predictions(mixture(kernel.experts(x, of(10))), y)
    for i in (0, 1, 49, 50, 51, 120, 159):
        poisoned = y.copy()
        poisoned[i:] = (y[i:] + 1 + np.arange(len(y) - i) % 9) % 10
        other = predictions(mixture(kernel.experts(x, of(10))), poisoned)
        np.testing.assert_array_equal(other[: i + 1], clean[: i + 1])
        if i + 1 < len(y):
            assert (other[i + 1] != clean[i + 1]).any()


def test_receiver_decodes_what_the_sender_coded(digits):
    """The receiver has no labels: it takes each from its rank in the prediction, as a decoder does from a file."""
    x, y = digits[0][:120], digits[1][:120]
    sender = mixture(Kernel().experts(x, of(10)))
    p, ranks = next(sender), []
    for i, label in enumerate(y):
        ranks.append(np.argsort(-p, kind="stable").tolist().index(label))
        if i + 1 < len(y):
            p = sender.send(int(label))
    receiver = mixture(Kernel().experts(x, of(10)))
    p, decoded = next(receiver), []
    for i, rank in enumerate(ranks):
        decoded.append(int(np.argsort(-p, kind="stable")[rank]))
        if i + 1 < len(ranks):
            p = receiver.send(decoded[-1])
    np.testing.assert_array_equal(decoded, y)


@pytest.mark.parametrize("kernel", [Kernel(), SMALL_LANDMARKS], ids=["exact", "landmarks"])
def test_twice_the_same_bits_and_no_global_randomness(digits, kernel):
    x, y = digits[0][:100], digits[1][:100]
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate(), torch.get_num_threads()  # noqa: NPY002
    first = predictions(kernel.experts(x, of(10)), y)
    after = torch.get_rng_state(), np.random.get_state()[1], random.getstate(), torch.get_num_threads()  # noqa: NPY002
    torch.rand(5)
    np.testing.assert_array_equal(predictions(kernel.experts(x, of(10)), y), first)
    assert torch.equal(before[0], after[0])
    assert (before[1] == after[1]).all()
    assert before[2:] == after[2:]


@pytest.mark.parametrize("kernel", [Kernel(), SMALL_LANDMARKS], ids=["exact", "landmarks"])
@pytest.mark.parametrize("kind", ["one example", "constant", "duplicates", "wide", "huge", "one class", "line"])
def test_degenerate_inputs(kernel, kind):
    generator = torch.Generator().manual_seed(0)
    x = {
        "one example": torch.rand(1, 4, generator=generator),
        "constant": torch.ones(80, 4),
        "duplicates": torch.rand(8, 4, generator=generator).repeat(10, 1),
        "wide": torch.rand(80, 3072, generator=generator),
        "huge": 1e6 * torch.rand(80, 4, generator=generator) + 1e7,
        "one class": torch.rand(80, 4, generator=generator),
        "line": torch.arange(80.0)[:, None],
    }[kind]
    classes = 1 if kind == "one class" else 3
    y = np.zeros(len(x), int) if classes == 1 else np.random.default_rng(0).integers(classes, size=len(x))
    p = predictions(mixture(kernel.experts(x, of(classes))), y)
    assert np.isfinite(p).all()
    assert bits(p, y) <= len(y) * math.log2(classes) + math.log2(EXPERTS) + 1e-6


def test_random_labels_cost_what_uniform_does():
    x = torch.rand(300, 5, generator=torch.Generator().manual_seed(0))
    for seed in range(20):
        y = np.random.default_rng(seed).integers(4, size=300)
        cost = bits(predictions(mixture(Kernel().experts(x, of(4))), y), y)
        assert 600 - 20 <= cost <= 600 + math.log2(EXPERTS)


def test_labels_that_depend_on_inputs_cost_little():
    x = torch.rand(400, 2, generator=torch.Generator().manual_seed(0))
    y = (x[:, 0] > x[:, 1]).long().numpy()
    assert bits(predictions(mixture(Kernel().experts(x, of(2))), y), y) < 120


def test_unequal_classes_cost_less_than_their_frequencies_say():
    rng = np.random.default_rng(0)
    y = (rng.random(600) < 0.1).astype(int)
    x = torch.from_numpy(rng.standard_normal((600, 3)) + 3 * y[:, None]).float()
    frequency = y.mean()
    entropy = -600 * (frequency * np.log2(frequency) + (1 - frequency) * np.log2(1 - frequency))
    assert bits(predictions(mixture(Kernel().experts(x, of(2))), y), y) < 0.5 * entropy


def test_missing_classes_are_paid_for_by_the_declared_alphabet(digits):
    x, y = digits[0][:60], digits[1][:60] % 2
    assert predictions(mixture(Kernel().experts(x, of(7))), y).shape == (60, 7)


def test_landmarks_on_every_example_are_the_whole_kernels(digits):
    x, y = digits[0][:300], digits[1][:300]
    whole, projected = (
        np.exp(np.stack([row[:6] for row in predictions(kernel.experts(x, of(10)), y)]))
        for kernel in (Kernel(), Kernel(exact=0, landmarks=300))
    )
    np.testing.assert_allclose(projected, whole, atol=0.02)
    assert np.abs(projected - whole).mean() < 1e-3


def test_digits_cost_at_most_190_bits(digits):
    x, y = digits
    assert bits(predictions(mixture(Kernel().experts(x, of(10))), y), y) < 190


def test_a_hundred_thousand_classes_ask_for_no_square_of_them():
    """An identity of 100,000 classes would take 74.5 GiB."""
    task = Task.from_arrays(torch.rand(12, 3), np.arange(12) * 7000, alphabet=[str(i) for i in range(100_000)])
    assert Kernel().bytes_filled(task.x, task.target) < 2**28
    assert len(encode(task, Kernel(), None, 0)) == 12
