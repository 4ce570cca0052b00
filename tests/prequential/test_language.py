"""Tokens: counts of contexts by their closed forms, and the online code of a causal network."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from infoscope.data.targets import Tokens
from infoscope.data.task import Task
from infoscope.prequential.encode import code, encode
from infoscope.prequential.kernel import Kernel
from infoscope.prequential.language import Counts, check_behind, known, mixture
from infoscope.prequential.loss_curve import predictions
from infoscope.prequential.online import Online
from infoscope.prequential.replay import Replay
from infoscope.training.learner import Learner

ABAB = [0, 1] * 500


class TableLM(nn.Module):
    """Logits of what follows a token, from a table: the bits of the frozen model are known exactly."""

    def __init__(self, table: torch.Tensor):
        super().__init__()
        self.table = nn.Embedding.from_pretrained(table.clone(), freeze=False)

    def forward(self, x):
        return self.table(x)


class SmallGPT(nn.Module):
    """One block of causal attention, with dropout and an output as Hugging Face models give it."""

    def __init__(self, vocabulary: int, length: int, width: int = 16):
        super().__init__()
        self.tokens, self.places = nn.Embedding(vocabulary, width), nn.Embedding(length, width)
        self.mix, self.out = nn.Linear(width, 3 * width), nn.Linear(width, vocabulary)
        self.drop = nn.Dropout(0.2)

    def forward(self, input_ids, attention_mask=None):
        h = self.drop(self.tokens(input_ids) + self.places(torch.arange(input_ids.shape[1])))
        q, k, v = self.mix(h).chunk(3, -1)
        return {"logits": self.out(h + F.scaled_dot_product_attention(q, k, v, is_causal=True))}


def tokens(y, vocabulary, x=None) -> Task:
    y = torch.as_tensor(y)
    ids = F.pad(y[:, :-1].clamp(min=0), (1, 0))
    return Task.from_arrays(ids if x is None else x(ids), y, target=Tokens(vocabulary))


def bits_of(counts, sequence):
    total, past = 0.0, []
    for token in sequence:
        total -= counts.row(past)[token] / math.log(2)
        counts.learn(token)
        past.append(token)
    return total


@pytest.mark.parametrize(
    ("vocabulary", "order", "alpha", "bits"),
    [
        (2, 0, 0.5, 1005.309), (2, 1, 0.5, 11.617), (256, 0, 0.5, 1573.059), (256, 1, 0.5, 920.636),
        (50_257, 0, 0.5, 7121), (50_257, 0, 1 / 50_257, 1044),
    ],
)  # fmt: skip
def test_alternating_tokens_cost_what_counts_say(vocabulary, order, alpha, bits):
    assert bits_of(Counts(order, alpha, vocabulary), ABAB) == pytest.approx(bits, abs=5e-4 if bits % 1 else 0.5)


def test_two_contexts_of_one_in_ten_cost_their_entropy_and_half_a_log_each():
    """4500 and 500 in each of two contexts: order 1 pays 4702.895 each and order 0 all of 10006.970."""
    each = bits_of(Counts(0, 0.5, 2), np.random.default_rng(0).permutation([0] * 4500 + [1] * 500).tolist())
    both = bits_of(Counts(0, 0.5, 2), np.random.default_rng(0).permutation([0] * 5000 + [1] * 5000).tolist())
    assert 2 * each == pytest.approx(4702.895, abs=5e-4)
    assert both == pytest.approx(10006.970, abs=5e-4)


@pytest.mark.parametrize(("vocabulary", "bits"), [(2, 11.617), (256, 920.636)])
def test_the_model_free_code_finds_the_pattern(vocabulary, bits):
    curve = encode(tokens([ABAB], vocabulary), Kernel(), None, 0)
    assert curve.total / math.log(2) < bits + math.log2(12)


def test_random_tokens_cost_their_logarithm_and_a_few_bits():
    y = np.random.default_rng(0).integers(0, 8, (32, 32))
    experts = 6 + 2 + 4
    for coder, learner in ((Kernel(), None), (Replay(), Learner(lambda: TableLM(torch.zeros(8, 8))))):
        bits = encode(tokens(y, 8), coder, learner, 0).total / math.log(2)
        assert 3072 - 10 < bits < 3072 + math.log2(experts) + 1e-6


def markov(n=24, length=16, vocabulary=4, seed=0):
    draws = np.random.default_rng(seed)
    table = draws.dirichlet(np.full(vocabulary, 0.3), vocabulary)
    y = np.zeros((n, length), int)
    for t in range(length):
        before = y[:, t - 1] if t else np.zeros(n, int)
        y[:, t] = [draws.choice(vocabulary, p=table[b]) for b in before]
    return tokens(y, vocabulary), torch.tensor(np.log(table + 1e-9), dtype=torch.float32)


def test_the_online_code_begins_with_the_frozen_model_bit_for_bit():
    task, table = markov()
    curve = Replay().experts(task.x, task.target, 0, TableLM(table))
    frozen = table.double().log_softmax(1).numpy()
    row = next(curve)
    for t in range(16):
        np.testing.assert_array_equal(row[0], row[2])  # at temperature 1 the learning network, not yet taught
        np.testing.assert_allclose(row[0], frozen[int(task.x[0, t])], atol=1e-12)
        row = curve.send(int(task.y[0, t]))
    assert (row[0] != row[2]).any()


def test_the_online_code_never_pays_more_than_the_frozen_model_and_the_mixture():
    task, table = markov()
    frozen = -table.double().log_softmax(1)[task.x, task.y].sum().item()
    curve = encode(task, Replay(), Learner(lambda: TableLM(table)), 0)
    assert curve.total <= frozen + math.log(7 + 2 + 4) + 1e-6
    ignorant = encode(task, Replay(), Learner(lambda: TableLM(torch.zeros(4, 4))), 0)
    assert curve.total < ignorant.total < ignorant.uniform


def test_a_network_of_many_dimensions_learns_a_text():
    text = np.frombuffer(b"the cat sat on the mat and the dog sat on the log. " * 8, np.uint8)[:384]
    curve = encode(tokens(text.reshape(24, 16).astype(int), 128), Replay(), Learner(lambda: SmallGPT(128, 16)), 0)
    assert curve.total < 0.6 * curve.uniform


def test_tokens_to_come_change_nothing_even_where_the_inputs_hold_them():
    task, _ = markov(6, 8)
    torch.manual_seed(0)
    net, mask = SmallGPT(4, 8).eval(), np.ones((6, 8), bool)
    symbols = task.target.cut(task.y)[0]
    for coder, network in ((Replay(), net), (Kernel(), None)):
        full = list(predictions(code(task.x, task.target, mask, coder, 0, network), symbols))
        blind = list(predictions(code(known(task.x, mask), task.target, mask, coder, 0, network), symbols))
        np.testing.assert_array_equal(np.stack(full), np.stack(blind))


def test_a_network_that_looks_ahead_is_refused():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.out = nn.Embedding(4, 4)

        def forward(self, x):
            return self.out(x).mean(1, keepdim=True).expand(-1, x.shape[1], -1)

    with pytest.raises(ValueError, match="Both looks ahead: what it says at place 0 changes"):
        encode(markov()[0], Replay(), Learner(Both), 0)


def test_masked_tokens_are_neither_coded_nor_learned_and_masks_go_in_by_name():
    task, _ = markov()
    y = task.y.clone()
    y[:, 12:] = -100
    y[3, 2:] = -100
    named = tokens(y, 4, lambda ids: {"input_ids": ids, "attention_mask": (ids >= 0).long()})
    for coder in (Kernel(), Replay()):
        curve = encode(named, coder, Learner(lambda: SmallGPT(4, 16)), 0)
        assert curve.symbols == (y != -100).sum()
        assert curve.uniform == pytest.approx(int((y != -100).sum()) * math.log(4))
        assert len(curve) == len(task)
    short = tokens(y[:, :12], 4)
    assert encode(short, Kernel(), None, 0).total == pytest.approx(encode(named, Kernel(), None, 0).total, abs=1e-9)


def test_inputs_that_are_not_one_place_behind_are_refused():
    y = torch.tensor([[1, 2, 3], [1, 2, -100]])
    check_behind(torch.tensor([[0, 1, 2], [0, 1, 3]]), torch.tensor([[1, 2, 3], [1, -100, -100]]))
    with pytest.raises(ValueError, match=r"1 of 2 sequences .*the first is row 1\): x\[:, t \+ 1\] must be y\[:, t\]"):
        check_behind(torch.tensor([[0, 1, 2], [0, 3, 2]]), y)
    with pytest.raises(ValueError, match=r"shape \(2, 2\) for tokens of shape \(2, 3\)"):
        check_behind(torch.zeros(2, 2).long(), y)
    with pytest.raises(ValueError, match="no input_ids"):
        check_behind({"words": torch.zeros(2, 3).long()}, y)


def test_large_vocabularies_are_mixed_too():
    def silent():
        for _ in range(60):
            yield np.full((1, 1000), -math.log(1000))

    y = [3, 5] * 30
    found = list(predictions(mixture(silent(), np.ones((1, 60), bool), 1000), np.array(y)))
    assert -sum(math.log2(p[s]) for p, s in zip(found, y, strict=True)) < 60 + 40


@pytest.mark.parametrize("options", [{"growth": 1.0}, {"batch": 0}, {"lr": 0.0}, {"temperatures": (0.0,)}])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        Online(**options)
