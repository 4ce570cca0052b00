from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from infoscope.data.near_duplicates import CHANCE, LEAST, chance_of, near_duplicates
from infoscope.data.partition import unseen
from infoscope.data.shared_passages import shared_passages
from infoscope.data.targets import Tokens
from infoscope.data.task import Task
from infoscope.data.tishby import tishby


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def digits() -> Task:
    return Task.from_dataset("digits").shuffled(0)


def shifted(x: torch.Tensor, down: int, right: int) -> torch.Tensor:
    height, width = x.shape[2:]
    return F.pad(x, (1, 1, 1, 1), mode="replicate")[:, :, 1 + down : 1 + down + height, 1 + right : 1 + right + width]


CHANGES = {
    "bytes": lambda x: (x * 255).round() / 255,
    "moved": lambda x: x + 1e-7 * torch.randn(x.shape, generator=draws()),
    "half precision": lambda x: x.half().float(),
    "scaled": lambda x: (x - 0.3) / 0.25,
    "noise": lambda x: x + 0.01 * torch.randn(x.shape, generator=draws()),
    "a pixel to the right": lambda x: shifted(x, 0, -1),
    "a pixel up and left": lambda x: shifted(x, 1, 1),
}


@pytest.mark.parametrize("change", CHANGES)
def test_images_that_were_stored_again_or_shifted_are_found(digits, change):
    old, new = digits.array[:1000], digits.array[1000:1400]
    coded = torch.cat([CHANGES[change](old[:300]), CHANGES[change](new)])
    found = near_duplicates(coded, old)
    assert found.near[:300].all()
    assert not found.near[300:].any()


@pytest.mark.parametrize("name", ["digits", "iris", "wine", "breast_cancer"])
def test_no_new_example_is_taken_for_an_old_one(name):
    task = Task.from_dataset(name).shuffled(1)
    task = task[np.unique(task.content_hashes, return_index=True)[1]]
    found = near_duplicates(task.array[: len(task) // 3], task.array[len(task) // 3 :])
    assert not found.near.any()
    assert not found.crowded


@pytest.mark.parametrize("d", [1, 2, 5, 20, 200])
def test_chance_takes_as_few_as_it_is_said_to(d):
    """On points that are drawn uniformly, whose neighbours' distances have the law that is read off them."""
    x = torch.rand(22_000, d, generator=draws(d))
    found = near_duplicates(x[2000:], x[:2000])
    assert found.near.sum() <= 20_000 * (2 * (5 * CHANCE + 8 * LEAST * (d == 1)))  # two views; a few of 20,000
    assert not found.crowded


@pytest.mark.parametrize("d", [2, 5, 20, 200])
def test_columns_in_other_units_are_found_where_they_can_be(d):
    x = torch.rand(3000, d, generator=draws(d))
    coded = x[:1000] * (1 + torch.arange(d)) + 3
    found = near_duplicates(coded, x)
    assert found.near.mean() > 0.95 or found.crowded


def test_a_grid_has_neighbours_and_no_near_ones():
    x = tishby().array[torch.randperm(4096, generator=draws())]
    found = near_duplicates(x[:1000], x[1000:])
    assert not found.near.any()
    assert not found.crowded


def test_changes_that_are_not_looked_for_leave_a_doubt(digits):
    x = digits.array[:1000]
    found = near_duplicates(x[:300] + 0.12 * torch.randn(x[:300].shape, generator=draws()), x)
    assert found.near.all() or found.crowded


def test_chance_is_read_off_the_dimension():
    p = np.linspace(0.0005, 0.9995, 1000)
    for m in (1.0, 3.0, 10.0):
        assert chance_of(p ** (1 / m), 1e-3) == pytest.approx(min(1e-3 ** (1 / m), 0.1 ** (1 / m) / 2), rel=0.1)
    assert chance_of(np.zeros(50)) == LEAST


def test_what_cannot_be_compared_is_not_checked(digits):
    assert near_duplicates(digits.array[:5], digits.array[:20]) is None  # too few to tell chance
    assert near_duplicates(digits.array[:5], digits.array[:100, :, 1:]) is None
    assert near_duplicates(digits.array[:0], digits.array[:100]).near.shape == (0,)
    few = unseen(Task.from_arrays(digits.array[40:60] + 1, [0] * 20), Task.from_arrays(digits.array[:20], [0] * 20))
    assert (few.verified, few.notes) == (
        False,
        ("against 20 trained examples equal inputs could be checked",),
    )


def test_all_of_what_was_trained_on_leaves_nothing(digits):
    again = Task.from_arrays((digits.array[:200] * 255).round() / 255 + 1e-7, digits.labels[:200])
    with pytest.raises(ValueError, match=r"every example of 'arrays' is one that was trained on.*nothing is left"):
        unseen(again, digits[:1000])


def test_what_is_dropped_is_counted_and_what_was_looked_for_is_said(digits):
    mixed = torch.cat([digits.array[:100] + 1e-6, digits.array[1000:1100], digits.array[50:60]])
    found = unseen(Task.from_arrays(mixed, [0] * 210), digits[:1000])
    assert (len(found.task), found.verified) == (100, True)
    assert found.notes == (
        "10 examples equal to trained ones were not coded",
        "100 examples nearly equal to trained ones were not coded",
        "checked against 1000 trained examples: equal inputs, and rounding, noise, brightness, a shift by a pixel",
    )


def test_real_images_of_a_test_set_are_new(shared_data):
    task = Task.from_dataset(str(shared_data("usps")))
    new, old = task["test"], task["train"]
    found = near_duplicates(torch.cat([new.array, shifted(old.array[:200], 1, 0)]), old.array)
    assert not found.near[: len(new)].any()
    assert found.near[len(new) :].mean() > 0.99


@pytest.mark.long
def test_ten_thousand_images_against_sixty_thousand(shared_data):
    task = Task.from_dataset(str(shared_data("mnist")))
    found = near_duplicates(task["test"].array, task["train"].array)
    assert (int(found.near.sum()), found.crowded) == (0, False)


TEXT = (
    "it was the best of times it was the worst of times it was the age of wisdom it was the age of foolishness it was"
)


def tokens(*texts: str) -> Task:
    width = max(map(len, texts))
    y = torch.full((len(texts), width), -100)
    for row, text in zip(y, texts, strict=True):
        row[: len(text)] = torch.tensor(list(text.encode()))
    x = torch.nn.functional.pad(y[:, :-1].clamp(min=0), (1, 0))
    return Task.from_arrays(x, y, target=Tokens(256))


def test_text_is_found_in_other_letters_and_other_places():
    new = "an essay on something that nobody has ever written a single word about in any of the books of this library"
    old = tokens(TEXT, "something else altogether")
    coded = tokens(TEXT.upper(), "Well! " + TEXT[:80].replace(" ", ",  "), new, "Something else, altogether.")
    assert shared_passages(coded, old).near.tolist() == [True, True, False, True]


def test_tokens_by_name_are_compared_where_the_mask_is(digits):
    ids = np.random.default_rng(0).integers(1, 5000, (6, 30))
    mask = np.ones_like(ids)
    mask[:, 20:] = 0
    other = ids.copy()
    other[:, 20:] = 0
    one, two = (
        Task.from_arrays({"input_ids": held, "attention_mask": mask[: len(held)]}, [0] * len(held))
        for held in (ids, other[[5, 0]])
    )
    assert shared_passages(two, one[:4]) is not None
    assert shared_passages(two, one[:4]).near.tolist() == [False, True]
    assert shared_passages(digits, digits) is None


def test_lines_of_two_parts_of_a_book_differ(shared_data):
    task = Task.from_dataset(str(shared_data("wikitext2") / "valid.txt"), length=256)
    found = shared_passages(task[3000:3500], task[:3000])
    assert found.near.mean() < 0.02
    assert shared_passages(task[100:200], task[:3000]).near.all()
