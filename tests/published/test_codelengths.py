"""The figures of the README, measured again. `benchmarks/codelength.py` times them beside a peer."""

from __future__ import annotations

import math

import numpy as np
import pytest

from infoscope.data.corruption import ShuffledLabels
from infoscope.data.task import Task
from infoscope.model_information.codelength import codelength, loss_curves
from infoscope.models import MLP
from infoscope.prequential.entk import NTK
from infoscope.prequential.kernel import Kernel
from infoscope.prequential.label_file import read_labels, write_labels
from infoscope.training.learner import Learner

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]

MIXED = 13
"""Experts of the kernel's mixture."""


@pytest.fixture(scope="module")
def digits() -> Task:
    return Task.from_dataset("digits")


def test_digits_in_100_bits(digits):
    length = codelength(digits, replicates=20)
    assert length.bits <= 100
    assert length.stderr_bits < 3


def test_a_network_s_own_code_for_digits_in_330_bits(digits):
    assert codelength(digits, NTK(), model=Learner(MLP((512,))), replicates=20).bits <= 330


def test_random_labels_cost_what_they_must(digits):
    """Between N log2 C − 20 and N log2 C + log2(experts) + 15, for each of 20 draws."""
    for seed in range(20):
        labels = np.random.default_rng(seed).integers(0, 10, len(digits))
        noise = Task.from_arrays(digits.x, labels, alphabet=digits.alphabet)
        bits = codelength(noise, replicates=1, seed=seed, strict=False).bits
        assert -20 <= bits - len(noise) * math.log2(10) <= math.log2(MIXED) + 15


def test_shuffled_labels_save_nothing(digits):
    noise = digits.corrupted(ShuffledLabels())
    assert codelength(noise, replicates=2, strict=False).bits > len(digits) * math.log2(10) - 20


def test_ten_thousand_mnist_labels_in_480_bits_and_back(shared_data, tmp_path):
    mnist = Task.from_dataset(f"{shared_data('mnist')}:train")[:10_000]
    (curve,) = loss_curves(mnist, Kernel(), replicates=1, keep_first=True)
    assert curve.total / math.log(2) <= 480
    written = write_labels(tmp_path / "labels.bits", mnist, curve, coder="kernel")
    assert written.payload_bits <= curve.total / math.log(2) + 32
    decoded = read_labels(written.path, mnist.x, Kernel())
    assert np.array_equal(decoded.labels, mnist.y.numpy())
