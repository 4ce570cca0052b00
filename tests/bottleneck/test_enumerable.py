"""Worlds small enough to be written down: the theorem of invariance, and the catch."""

from __future__ import annotations

import math

import pytest
import torch

from infoscope.bottleneck.enumerable import complete_nuisance, table_entropy, table_information, through


def world(seed: int, y: int = 3, n: int = 4, x: int = 6, noisy: bool = True) -> torch.Tensor:
    """p(y, n, x): a label and a nuisance that is independent of it, and an input that both make."""
    draws = torch.Generator().manual_seed(seed)
    p_y, p_n = (torch.rand(k, generator=draws, dtype=torch.float64).softmax(0) for k in (y, n))
    if noisy:
        given = torch.rand(y, n, x, generator=draws, dtype=torch.float64).square()
        given = given / given.sum(2, keepdim=True)
    else:  # the input tells the label: y · 2 + a bit of the nuisance
        given = torch.zeros(y, n, x, dtype=torch.float64)
        given[torch.arange(y)[:, None], torch.arange(n), 2 * torch.arange(y)[:, None] + torch.arange(n) % 2] = 1
    return p_y[:, None, None] * p_n[:, None] * given


def channel(seed: int, x: int, z: int) -> torch.Tensor:
    return (3 * torch.randn(x, z, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)).softmax(1)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("noisy", [True, False])
def test_a_nuisance_is_told_no_better_than_what_a_code_keeps_beyond_the_label(seed, noisy):
    joint = world(seed, noisy=noisy)
    told = through(joint, channel(seed, 6, 4))
    about_nuisance = table_information(told, [3], [1])
    beyond = table_information(told, [3], [2]) - table_information(told, [3], [0])
    assert 0 <= about_nuisance <= beyond + 1e-12
    # A code that is sufficient for the label: the theorem as it is stated.
    same = through(joint, torch.eye(6, dtype=torch.float64))
    theirs = table_information(same, [3], [2]) - table_information(same, [2], [0])
    assert table_information(same, [3], [1]) <= theirs + 1e-12


@pytest.mark.parametrize("seed", range(4))
def test_the_bound_is_met_by_some_nuisance_where_the_input_tells_the_label(seed):
    p = world(seed, noisy=False).sum(1)  # (y, x)
    joint = complete_nuisance(p)
    assert torch.allclose(joint.sum(1), p)
    assert table_information(joint, [1], [0]) == pytest.approx(0, abs=1e-12)
    assert table_entropy(joint, [0, 1, 2]) == pytest.approx(table_entropy(joint, [0, 1]), abs=1e-12)  # X = g(Y, N)
    for code in (torch.eye(6, dtype=torch.float64), sufficient(seed)):
        told = through(joint, code)
        rate, label = table_information(told, [3], [2]), table_information(told, [3], [0])
        assert label == pytest.approx(table_information(told, [2], [0]), abs=1e-12)
        assert table_information(told, [3], [1]) == pytest.approx(rate - label, abs=1e-12)


def sufficient(seed: int) -> torch.Tensor:
    """A noisy code of the six inputs that keeps their three labels apart."""
    found = torch.zeros(6, 6, dtype=torch.float64)
    for y in range(3):
        found[2 * y : 2 * y + 2, 2 * y : 2 * y + 2] = channel(seed + y, 2, 2)
    return found


@pytest.mark.parametrize("seed", range(4))
def test_where_labels_are_noisy_it_is_met_up_to_what_the_label_has_left_over(seed):
    p = world(seed).sum(1)
    joint = complete_nuisance(p)
    assert torch.allclose(joint.sum(1), p)
    assert table_information(joint, [1], [0]) == pytest.approx(0, abs=1e-12)
    told = through(joint, torch.eye(6, dtype=torch.float64))
    rest = table_information(told, [3], [2]) - table_information(told, [2], [0]) - table_information(told, [3], [1])
    residual = table_information(told, [3], [0], given=[1]) - table_information(told, [2], [0])
    left_over = table_entropy(told, [0, 2]) - table_entropy(told, [2])
    assert rest == pytest.approx(residual, abs=1e-12)
    assert 0 < residual <= left_over + 1e-12


def test_minimal_sufficient_is_maximally_invariant():
    """The code that keeps the label alone tells nothing of any nuisance, and holds no more than H(Y)."""
    joint = world(1, noisy=False)
    label_alone = torch.zeros(6, 3, dtype=torch.float64)
    label_alone[torch.arange(6), torch.arange(6) // 2] = 1
    told = through(joint, label_alone)
    assert table_information(told, [3], [2]) == pytest.approx(table_entropy(joint, [0]), abs=1e-12)
    assert table_information(told, [3], [1]) == pytest.approx(0, abs=1e-12)


def test_the_catch_the_index_of_an_image_is_sufficient_and_cheap_and_says_nothing_of_a_new_one():
    images, classes, pixels = 64, 4, 28 * 28
    label = torch.arange(images) % classes
    p = torch.zeros(classes, images, dtype=torch.float64)
    p[label, torch.arange(images)] = 1 / images
    index = through(p, torch.eye(images, dtype=torch.float64))
    rate, label_bits = table_information(index, [2], [1]), table_information(index, [2], [0])
    assert label_bits == pytest.approx(math.log(classes), abs=1e-12)  # sufficient: all of I(X;Y)
    assert rate == pytest.approx(math.log(images), abs=1e-12)
    assert rate - label_bits < 0.01 * pixels * math.log(256)  # of what an image may hold
    # A code of inputs that it has never seen, drawn for each by itself: no more than chance about their labels.
    new = torch.full((classes, images), 1 / (classes * images), dtype=torch.float64)
    assert table_information(through(new, torch.eye(images, dtype=torch.float64)), [2], [0]) == pytest.approx(0)


@pytest.mark.parametrize(
    ("joint", "told"), [(torch.tensor([[0.5, 0.6]]), "sums to 1.1"), (torch.tensor([[1.2, -0.2]]), "none below 0")]
)
def test_tables_that_are_no_probabilities_are_refused(joint, told):
    with pytest.raises(ValueError, match=told):
        table_entropy(joint, [0])
    with pytest.raises(ValueError, match="a row of p"):
        through(torch.tensor([[0.5, 0.5]]), torch.eye(3))
