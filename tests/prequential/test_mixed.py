"""The default code on tables, texts and numbers: it cannot cheat, it decodes, and it pays little for its choice."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from infoscope import Kernel, Massart, Mixed, Task
from infoscope.data.targets import Classes, Labels, Real
from infoscope.data.task import coding_order
from infoscope.data.texts import Texts
from infoscope.models import MLP
from infoscope.prequential.encode import code, encode
from infoscope.prequential.frozen import FrozenNetwork, frozen
from infoscope.prequential.label_file import read_labels, write_labels
from infoscope.prequential.loss_curve import predictions

N = 40


def table(n=N):
    draws = np.random.default_rng(0)
    kinds = np.eye(3)[draws.integers(3, size=n)]
    return torch.from_numpy(np.concatenate([draws.normal(size=(n, 3)), kinds], 1)).float()


def texts(n=N):
    draws = np.random.default_rng(1)
    words = np.array(["good", "bad", "film", "plot", "the", "a", "very", "not"])
    return Texts.of(" ".join(draws.choice(words, 5)) for _ in range(n))


X = table()
CASES = {
    "classes": (X, Classes(("a", "b", "c")), X[:, 3:].argmax(1)),
    "texts": (texts(), Classes(("n", "p")), torch.tensor(["good" in text for text in texts().words()]).long()),
    "labels": (X, Labels(("u", "v")), torch.where(X[:, 2:3] < 1, (X[:, :2] > 0).int(), torch.tensor([0, -1]))),
    "numbers": (X, Real(0.01, -8.0, 8.0), (X[:, :1] + X[:, 3:4]).double().round(decimals=2)),
    "texts, numbers": (texts(), Real(1.0, 0.0, 60.0), torch.tensor([[len(text)] for text in texts().words()]).double()),
}  # fmt: skip
each_case = pytest.mark.parametrize("name", CASES)


def task_of(name):
    x, target, y = CASES[name]
    return Task.from_arrays(x, y, target=target, name=name)


def said(name, symbols):
    x, target, y = CASES[name]
    return list(predictions(code(x, target, target.mask(y), Mixed(), 0, None), symbols))


@each_case
def test_no_symbol_reaches_its_own_prediction_or_an_earlier_one(name):
    _, target, y = CASES[name]
    symbols, _ = target.cut(y)
    before = said(name, symbols)
    place, other = len(symbols) // 2, symbols.copy()
    other[place:] = np.where(other[place:] == 0, 1, 0)
    again = said(name, other)
    assert all(np.array_equal(p, q) for p, q in zip(before[: place + 1], again[: place + 1], strict=True))
    assert not all(map(np.array_equal, before[place + 1 :], again[place + 1 :]))


@each_case
def test_a_file_gives_the_targets_back_to_one_who_has_the_inputs(name, tmp_path):
    task = task_of(name)
    curve = encode(task, Mixed(), None, 3, keep=True)
    written = write_labels(tmp_path / "labels", task, curve, coder="mixed")
    assert written.payload_bits <= written.header.codelength_bits + 32
    assert "scikit-learn" in written.header.versions
    decoded = read_labels(written.path, task.x, Mixed())
    assert np.allclose(decoded.labels, task.y.numpy(), atol=1e-9)


def test_random_labels_cost_what_uniform_does():
    x = torch.randn(120, 5, generator=torch.Generator().manual_seed(0))
    target = Classes(("a", "b", "c"))
    y = np.random.default_rng(0).integers(3, size=120)
    p = np.stack(list(predictions(code(x, target, np.ones(120, bool), Mixed(), 0, None), y)))
    cost = -np.log2(p[np.arange(120), y]).sum()
    experts = len(next(Mixed().experts(x, target))) + 4
    assert 120 * math.log2(3) - 20 <= cost <= 120 * math.log2(3) + math.log2(experts)


def test_label_noise_costs_its_entropy_and_hardly_more():
    """A fifth of the labels is drawn anew: above what that costs, at most 1.5 times what the clean labels cost."""
    digits = Task.from_dataset("digits").shuffled(1000)[:700]
    noisy = digits.corrupted(Massart(0.2), 0)
    wrong = int((noisy.y != digits.y).sum())
    entropy = -wrong * math.log2(0.02) - (700 - wrong) * math.log2(0.82)
    clean, plain = (encode(digits, coder, None, 0).total / math.log(2) for coder in (Mixed(), Kernel()))
    excess, before = (encode(noisy, coder, None, 0).total / math.log(2) - entropy for coder in (Mixed(), Kernel()))
    assert clean <= 1.05 * plain
    assert excess <= 1.5 * clean
    assert excess < before


def test_a_rule_on_one_of_many_columns_is_found():
    """A threshold on one of 30 columns takes some dozens of bits; likeness over all columns says it with difficulty."""
    x = torch.randn(300, 30, generator=torch.Generator().manual_seed(1))
    task = Task.from_arrays(x, (x[:, 7] > 0).long())
    mixed, likeness = (encode(task, coder, None, 0).total / math.log(2) for coder in (Mixed(), Kernel()))
    assert mixed < 100 < likeness


def test_columns_of_any_scale_cost_the_same():
    """Ranks, trees and standardised columns do not know the unit of a column."""
    x, target, y = CASES["classes"]
    units = torch.tensor([1e-3, 1.0, 1e4, 1.0, 1.0, 1.0])
    first, second = (
        encode(Task.from_arrays(each, y, target=target), Mixed(), None, 0).total for each in (x, x * units)
    )
    assert second == pytest.approx(first, rel=2e-3)


def test_inputs_of_one_kind_have_the_same_experts_whatever_the_labels():
    """Which experts there are follows from the inputs: their number is known before the first label."""
    draws = torch.Generator().manual_seed(0)
    for x in (torch.rand(20, 1, 8, 8, generator=draws), torch.rand(20, 5, generator=draws), texts(20)):
        sizes = set()
        for labels in (np.zeros(20, int), np.arange(20) % 2):
            sender = Mixed().experts(x, Classes(("a", "b")))
            sizes.add(len(next(sender)))
            sizes |= {len(sender.send(int(label))) for label in labels[:-1]}
        assert len(sizes) == 1


def test_features_are_given_beside_the_inputs_and_bad_ones_cost_little():
    draws = torch.Generator().manual_seed(0)
    x = torch.rand(120, 1, 8, 8, generator=draws)
    y = torch.randint(3, (120,), generator=draws)
    task = Task.from_arrays(x, y)
    known = torch.eye(3)[y] + 0.1 * torch.randn(120, 3, generator=draws)
    plain, good, bad = (
        encode(task, Mixed(features=features), None, 5).total / math.log(2)
        for features in (None, known.numpy(), torch.randn(120, 3, generator=draws).numpy())
    )
    assert good < 60
    assert bad < plain + math.log2(24)
    curve = encode(task, Mixed(features=known.numpy()), None, 5)
    assert "own information is excluded" in curve.receipt.notes[0]
    assert Mixed(features=known.numpy()).features.digest in curve.receipt.coder


def test_a_network_s_weights_give_what_its_last_layer_is_given(tmp_path):
    """Features by NAME=FILE are the activations before the head, whatever the head's classes."""
    network = MLP((7,))((1, 8, 8), 4)
    save_file(network.state_dict(), tmp_path / "net.safetensors")
    x = torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    features = FrozenNetwork(f"{__name__}:small", tmp_path / "net.safetensors", (0.0,), (1.0,))
    hidden = torch.relu(torch.nn.functional.linear(x.flatten(1), *list(network.parameters())[:2]))
    assert torch.allclose(features(x), hidden, atol=1e-6)
    assert features == frozen(features)
    assert len({features.digest, FrozenNetwork("mlp", tmp_path / "net.safetensors").digest}) == 1
    with pytest.raises(ValueError, match="no such file"):
        frozen("mlp=nowhere.safetensors")


def test_functions_and_arrays_are_features_too():
    x = torch.rand(6, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(frozen(twice)(x), 2 * x)
    values = np.arange(12.0).reshape(6, 2)
    rows = coding_order(6, 3)[:4]
    assert np.array_equal(frozen(values)(x[:4], 3).numpy(), values[rows])
    assert Mixed(features=values) == Mixed(features=values.copy())
    assert Mixed(features=values) != Mixed(features=values + 1)
    assert " at 0x" not in repr(Mixed(features=twice))
    with pytest.raises(ValueError, match="finite"):
        frozen(np.array([[np.nan]]))
    with pytest.raises(TypeError, match="NAME=FILE"):
        frozen(3)


def twice(x):
    return 2 * x


small = MLP((7,))
