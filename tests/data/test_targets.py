"""Every target takes its examples apart into symbols, puts them together again, and knows what they cost."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from infoscope.data.targets import Boxes, Classes, Labels, Real, Tokens, check_outputs

CASES = [
    (Classes(("a", "b", "c")), torch.tensor([0, 2, 1, 2])),
    (Labels(("p", "q")), torch.tensor([[0, 1], [-1, 1], [-1, -1]])),
    (Real(0.5, -2.0, 2.0, dim=2), torch.tensor([[0.5, -2.0], [2.0, 0.0]])),
    (Real(1e-6, 0.0, 1.0), torch.tensor([[0.123456], [1.0], [0.0]], dtype=torch.float64)),
    (Tokens(50_257), torch.tensor([[50_256, 3, -100], [0, -100, -100]])),
    (Boxes(("cat",), 1 / 8), torch.tensor([[[0, 0.5, 0.5, 1, 0.25], [-1, 0, 0, 0, 0]], [[-1.0, 0, 0, 0, 0]] * 2])),
]


@pytest.mark.parametrize(("target", "y"), CASES, ids=str)
def test_what_is_cut_is_joined_again(target, y):
    target.check(y)
    symbols, counts = target.cut(y)
    assert counts.sum() == len(symbols)
    assert len(counts) == len(y) == len(target.uniform(y))
    torch.testing.assert_close(target.join(symbols, target.mask(y)), y, check_dtype=False, rtol=0, atol=1e-9)


@given(st.integers(2, 10**12), st.data())
@settings(max_examples=200, deadline=None)
def test_any_number_of_bins_is_sent_in_digits(bins, data):
    target = Real(1.0, 0.0, float(bins - 1))
    index = data.draw(st.integers(0, bins - 1))
    symbols, counts = target.cut(torch.tensor([[float(index)]], dtype=torch.float64))
    assert target.bins == bins
    assert target.base**target.digits >= bins > (target.base - 1) ** target.digits
    assert symbols.max() < target.base <= 64
    assert counts.tolist() == [target.digits]
    assert float(target.join(symbols, np.ones((1, 1), bool))) == index


def test_uniform_costs_are_the_closed_forms():
    diabetes = Real(1.0, 0.0, 400.0)
    assert diabetes.uniform(torch.zeros(442, 1)).sum() / math.log(2) == pytest.approx(3822.18, abs=5e-3)
    labels = torch.tensor([[0, 1, -1], [-1, -1, -1]])
    assert Labels(("a", "b", "c")).uniform(labels) / math.log(2) == pytest.approx([2, 0])
    assert Tokens(8).uniform(torch.tensor([[1, -100], [1, 1]])) / math.log(2) == pytest.approx([3, 6])
    one, none = [[0.0, 0.5, 0.5, 1, 1]], [[-1.0, 0, 0, 0, 0]]
    assert Boxes(("a", "b"), 1 / 7).uniform(torch.tensor([one, none])) / math.log(2) == pytest.approx([14, 1])


def test_losses_are_the_textbook_s():
    draws = torch.Generator().manual_seed(0)
    logits, y = torch.randn(5, 3, generator=draws), torch.tensor([0, 1, 2, 2, 1])
    assert torch.equal(Classes(("a", "b", "c")).loss(logits, y), F.cross_entropy(logits, y))
    marks = torch.tensor([[0, 1, -1]] * 5)
    wanted = F.binary_cross_entropy_with_logits(logits[:, :2], marks[:, :2].float(), reduction="sum") / 5
    torch.testing.assert_close(Labels(("a", "b", "c")).loss(logits, marks), wanted)
    torch.testing.assert_close(
        Real(1.0, 0.0, 8.0, dim=3).loss(logits, torch.full((5, 3), 6.0)), 0.5 * (logits - 1).square().sum() / 5
    )
    words = torch.tensor([[0, 1, -100, 2, -100]])
    kept = F.cross_entropy(logits[[0, 1, 3]], words[0, [0, 1, 3]])
    torch.testing.assert_close(Tokens(3).loss(logits[None], words), kept)


@pytest.mark.parametrize("target", [Classes(("a",) * 3), Labels(("a",) * 3), Tokens(3)], ids=str)
def test_half_precision_is_summed_in_float32(target):
    y = {Classes: torch.tensor([0, 1]), Labels: torch.zeros(2, 3).long(), Tokens: torch.zeros(2, 4).long()}[
        type(target)
    ]
    outputs = torch.randn(*target.shape(y), dtype=torch.bfloat16)
    assert target.loss(outputs, y).dtype == torch.float32
    assert torch.equal(target.loss(outputs, y), target.loss(outputs.float(), y))


@pytest.mark.parametrize(
    ("target", "y", "match"),
    [
        (Classes(("a", "b")), torch.tensor([0, 2]), "1 of 2 targets lie outside the alphabet of 2.* 2 in row 1"),
        (Classes(("a", "b")), torch.zeros(3, 2), r"shape \(3, 2\); give one class"),
        (Labels(("a", "b")), torch.tensor([[0, 2]]), "outside 0 and 1"),
        (Labels(("a", "b")), torch.tensor([[0, 1, 1]]), r"\(n, 2\)"),
        (Real(1.0, 0.0, 4.0), torch.tensor([[1.0], [4.6]]), "1 of 2 rows .* the first is row 1"),
        (Real(1.0, 0.0, 4.0), torch.tensor([[torch.nan]]), "NaN"),
        (Tokens(4), torch.tensor([[1, 4]]), "vocabulary of 4"),
        (Boxes(("a",)), torch.zeros(2, 5), r"\(n, k, 5\)"),
    ],
)  # fmt: skip
def test_targets_of_another_kind_are_refused(target, y, match):
    with pytest.raises(ValueError, match=match):
        target.check(y)


def test_outputs_of_another_shape_are_refused_in_one_line():
    network = torch.nn.Linear(2, 3)
    for target, y, gave in [
        (Classes(("a", "b")), torch.zeros(4).long(), "logits of shape (4, 2)"),
        (Labels(("a", "b")), torch.zeros(4, 2).long(), "logits of shape (4, 2)"),
        (Real(1.0, 0.0, 4.0, dim=2), torch.zeros(4, 2), "numbers of shape (4, 2)"),
        (Tokens(7), torch.zeros(4, 5).long(), "logits of shape (4, 5, 7)"),
    ]:
        with pytest.raises(ValueError, match="it must give") as found:
            check_outputs(torch.zeros(4, 3), target, y, network)
        assert str(found.value).endswith(
            f"Linear gave an output of shape (4, 3) for 4 examples of {target}; it must give {gave}"
        )
        assert "\n" not in str(found.value)
    with pytest.raises(ValueError, match="gave a tuple"):
        check_outputs((1, 2), Tokens(7), torch.zeros(4, 5).long(), network)


@pytest.mark.parametrize(
    "options", [{"resolution": 0.0}, {"high": -1.0}, {"dim": 0}, {"scale": -1.0}, {"high": math.inf}]
)
def test_a_real_target_that_makes_no_sense_is_refused(options):
    with pytest.raises(ValueError, match=r"above 0"):
        Real(**({"resolution": 1.0, "low": 0.0, "high": 4.0} | options))


def test_a_network_of_boxes_brings_its_own_loss():
    with pytest.raises(ValueError, match="Recipe"):
        Boxes(("a",)).loss(torch.zeros(1), torch.zeros(1, 1, 5))
