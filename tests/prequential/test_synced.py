"""Synced distillation: a student whose teacher knows the labels that are sent, and no others."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from infoscope.data.task import Task
from infoscope.measurement import NATS_PER_BIT
from infoscope.models import MLP
from infoscope.prequential.encode import encode
from infoscope.prequential.label_file import read_labels, write_labels
from infoscope.prequential.replay import Replay
from infoscope.prequential.synced import Synced
from infoscope.testing import check_coder
from infoscope.training.learner import Learner
from infoscope.training.recipe import Adam, Recipe

QUICK = Replay(replays=1, start=100, last_layer=None)
STUDENT = Learner(MLP((8,)))
TEACHER = Learner(MLP((32,)), Recipe(epochs=20))


@pytest.fixture(scope="module")
def digits():
    return Task.from_dataset("digits")


@pytest.mark.parametrize(
    "teaches",
    ["labels", *(pytest.param(one, marks=pytest.mark.long) for one in ("random-labels", "label-smoothing"))],
)
def test_nobody_sees_a_label_before_it_is_sent_and_it_decodes(teaches):
    teacher = Learner(MLP((8,)), Recipe(epochs=5))
    check_coder(Synced(teacher, teaches=teaches, student=QUICK, everywhere=True))


def test_without_a_share_for_the_teacher_it_is_the_plain_code_bit_for_bit(digits):
    plain = encode(digits[:150], QUICK, STUDENT, 0)
    silent = encode(digits[:150], Synced(TEACHER, alpha=0.0, student=QUICK), STUDENT, 0)
    taught = encode(digits[:150], Synced(TEACHER, student=QUICK), STUDENT, 0)
    assert np.array_equal(plain.nats, silent.nats)
    # The first labels come before the first teacher; then they part.
    assert np.array_equal(plain.nats[:32], taught.nats[:32])
    assert not np.array_equal(plain.nats, taught.nats)


def test_the_student_takes_as_many_steps_with_a_teacher_as_without(digits, monkeypatch):
    from infoscope.prequential import replay

    counted = []

    class Counted(replay.Muon):
        def step(self, closure=None):
            counted.append(1)
            return super().step(closure)

    monkeypatch.setattr(replay, "Muon", Counted)
    steps = []
    for alpha in (0.0, 0.5):
        counted.clear()
        encode(digits[:100], Synced(TEACHER, alpha=alpha, student=QUICK), STUDENT, 0)
        steps.append(len(counted))
    assert steps[0] == steps[1] > 0


def test_labels_come_back_through_a_file(digits, tmp_path):
    coder = Synced(TEACHER, student=QUICK)
    some = digits[:60]
    write_labels(tmp_path / "labels", some, encode(some, coder, STUDENT, 0, keep=True), coder=repr(coder))
    decoded = read_labels(tmp_path / "labels", some.x, coder, STUDENT)
    assert np.array_equal(decoded.labels, some.y.numpy()[decoded.index])


def bits(task: Task, coder: Any, learner: Learner) -> float:
    return float(encode(task, coder, learner, 0).nats.sum() / NATS_PER_BIT)


def cells(n: int, tied: bool, seed: int = 0) -> Task:
    """64 cells of 10 classes, of which pairs have one class if `tied`; cell and half of the cells, one-hot."""
    draws = np.random.default_rng(seed)
    pairs = draws.integers(10, size=32)
    cell = np.repeat(np.arange(64), n)
    draws.shuffle(cell)
    y = pairs[cell % 32] if tied else draws.integers(10, size=64)[cell]
    return Task.from_arrays(np.eye(64, dtype=np.float32)[cell], y, alphabet=list("abcdefghij"), as_is=True)


class Pairs(nn.Module):
    """A table of pairs of cells: what it learns of one it says of the other."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Linear(32, 10)

    def forward(self, x):
        return self.table(x[:, :32] + x[:, 32:])


def test_a_teacher_that_ties_cells_in_pairs_tells_more_than_one_of_the_student_s_own_class():
    task, table = cells(4, tied=True), Learner(lambda: nn.Linear(64, 10))
    recipe, student = Recipe(Adam(0.1), epochs=40, patience=None), Replay(start=2000, last_layer=None)
    plain, gain = bits(task, student, table), {}
    for name, factory in (("pairs", Pairs), ("own", lambda: nn.Linear(64, 10))):
        teacher = Learner(factory, recipe)
        coder = Synced(teacher, 0.9, 1.0, everywhere=True, student=student, first=8, refit=1.1, held_out=0.0)
        gain[name] = plain - bits(task, coder, table)
    assert gain["pairs"] > gain["own"] + 30


class Memory(nn.Module):
    """A table that remembers which inputs it was trained on, and says class 0, so firmly, of all others."""

    def __init__(self, firmly: float) -> None:
        super().__init__()
        self.firmly, self.table = firmly, nn.Linear(80, 10)
        self.register_buffer("seen", torch.zeros(80))

    def forward(self, x):
        if self.training:
            self.seen = torch.maximum(self.seen, x.amax(0))
        says = torch.zeros(10).index_fill(0, torch.tensor([0]), self.firmly)
        return self.table(x) + (1 - x @ self.seen)[:, None] * says


def test_what_a_teacher_says_of_examples_that_he_has_not_learned_is_not_heard():
    task = Task.from_arrays(np.eye(80, dtype=np.float32), np.arange(80) % 10, alphabet=list("abcdefghij"), as_is=True)
    recipe = Recipe(epochs=3, patience=None)
    heard, others = [], []
    for firmly in (0.0, 50.0):
        teacher = Learner(lambda firmly=firmly: Memory(firmly), recipe)
        coder = Synced(teacher, student=QUICK, first=16, refit=2.0)
        heard.append(encode(task, coder, Learner(lambda: nn.Linear(80, 10)), 0).nats)
        everywhere = dataclasses.replace(coder, everywhere=True)
        others.append(encode(task, everywhere, Learner(lambda: nn.Linear(80, 10)), 0).nats)
    assert np.array_equal(*heard)
    assert not np.array_equal(*others)


@pytest.mark.parametrize("given", [{"alpha": 1.5}, {"temperature": 0.0}, {"refit": 1.0}, {"held_out": 1.0}])
def test_options_out_of_range_are_told(given):
    with pytest.raises(ValueError, match=next(iter(given))):
        Synced(**given)


def test_a_teacher_that_came_with_weights_is_refused():
    weights = MLP((8,))((4,), 2).state_dict()
    with pytest.raises(ValueError, match="may have seen the labels"):
        Synced(Learner(MLP((8,))).starting_from(weights))


def test_a_teacher_of_other_classes_is_refused_before_any_training(digits):
    teacher = Learner(lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 7)))
    with pytest.raises(ValueError, match="does not speak of the 10 classes"):
        encode(digits[:50], Synced(teacher, student=QUICK), STUDENT, 0)


def test_smoothed_labels_need_no_network(digits):
    assert torch.isfinite(
        torch.from_numpy(encode(digits[:50], Synced(teaches="label-smoothing", student=QUICK), STUDENT, 0).nats)
    ).all()
