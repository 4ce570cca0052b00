from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from infoscope.data.partition import partition, room
from infoscope.data.task import Task
from infoscope.model_information import budget
from infoscope.model_information.budget import Sizes, Work, affordable, duration
from infoscope.model_information.difficulty import Difficulty
from infoscope.models import MLP, SmallCNN
from infoscope.prequential.replay import Replay
from infoscope.training.learner import Learner
from infoscope.training.recipe import Recipe

DIGITS = Task.from_dataset("digits")


def work(task=DIGITS, factory=MLP(), most=10_000):
    return Work(task, Learner(factory), most, most, most)


def test_what_the_budget_allows_takes_no_longer_than_it():
    flops = budget.flops_of(Learner(SmallCNN()), DIGITS)
    for seconds in (60.0, 300.0, 1000.0):
        sizes = affordable([work(factory=SmallCNN())], Replay(), 3, seconds)
        train, k = sizes.train or 10_000, sizes.k or 10_000
        spent = budget.fit_seconds(flops, Recipe(), train) + 2 * budget.own_seconds(Replay(), flops, DIGITS.x, k)
        assert 3 * spent <= 2 * seconds * 5 / 6


def test_more_time_allows_no_less_and_more_tasks_no_more():
    one, two = [work(factory=SmallCNN())], [work(factory=SmallCNN())] * 2
    ladder = [affordable(one, Replay(), 3, seconds) for seconds in (10, 60, 300, 3600, 1e6)]
    assert [s.train or 10_000 for s in ladder] == sorted(s.train or 10_000 for s in ladder)
    assert [s.k or 10_000 for s in ladder] == sorted(s.k or 10_000 for s in ladder)
    assert ladder[-1] == Sizes()
    both = affordable(two, Replay(), 3, 300)
    assert (both.train or 10_000) <= (ladder[2].train or 10_000)


def test_a_matrix_is_counted_as_it_is_multiplied():
    """A linear layer of i inputs and o outputs takes 2 i o forward; Newton and Schulz iterate the Gram matrix.

    That is two products with the weights, and four and four and two products of it.
    """
    learner = Learner(lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 10)))
    flops = budget.flops_of(learner, DIGITS)
    assert flops.forward == 2 * 64 * 10
    assert flops.step == 2 * (2 * 100 * 64) + 10 * 2 * 1000


@pytest.mark.parametrize("name", ["digits", "iris", "wine"])
def test_small_data_are_taken_whole(name):
    question = Difficulty(Task.from_dataset(name))
    assert question._sizes([Task.from_dataset(name)], [Learner(MLP())]) == Sizes()


def test_room_is_what_the_partition_takes():
    for task in (DIGITS, Task.from_dataset("iris"), DIGITS[:40]):
        parts, (k, train) = partition(task), room(task)
        assert (k, train) == (len(parts.coded), len(parts.train)) or "equal to trained" in " ".join(parts.notes)


def test_what_is_asked_for_is_not_changed_and_full_takes_all():
    many = Task.from_arrays(torch.rand(6000, 1, 28, 28), torch.arange(6000) % 10)
    short = Difficulty(many, budget="30s")
    learner = [Learner(SmallCNN())]
    assert (short._sizes([many], learner).train or 6000) < 2000
    asked = dataclasses.replace(short, train=3000, k=77)
    assert (asked._sizes([many], learner).train, asked._sizes([many], learner).k) == (3000, 77)
    assert dataclasses.replace(short, full=True)._sizes([many], learner) == Sizes()


def test_compared_tasks_get_the_same():
    many = Task.from_arrays(torch.rand(6000, 1, 16, 16), torch.arange(6000) % 10, name="images")
    tasks, learners = [many, DIGITS], [Learner(SmallCNN()), Learner(SmallCNN())]
    question = Difficulty(tasks, budget="10s", replicates=1)
    sizes = question._sizes(tasks, learners)
    assert sizes.train is not None
    assert sizes.train < 1000
    assert {len(question._cut(task, sizes).train) for task in tasks} == {sizes.train}


def test_sizes_that_were_asked_for_are_never_cut_in_silence():
    """More than the default share may be coded; more than there is is refused, not trimmed."""
    for full in (False, True):
        question = Difficulty(DIGITS, k=900, full=full)
        parts = question._cut(DIGITS, question._sizes([DIGITS], [Learner(MLP())]))
        assert len(parts.coded) == 900
    for asked, told in (({"k": 5000}, "k = 5000"), ({"train": 9000}, "9000 were asked for")):
        question = Difficulty(DIGITS, **asked)
        with pytest.raises(ValueError, match=told):
            question._cut(DIGITS, question._sizes([DIGITS], [Learner(MLP())]))


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("5m", 300), ("2h", 7200), ("0.5 m", 30)])
def test_times(text, seconds):
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "m", "-5m", "0m", "5 days"])
def test_what_is_no_time_is_told(text):
    with pytest.raises(ValueError, match="90s, 5m or 2h"):
        Difficulty(DIGITS, budget=text)
